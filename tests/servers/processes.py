"""Servers and clients in processes of their own, to be stopped and killed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import across
from across.servers.running import DRAIN_TIME
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

SERVER = """
import resource, sys, threading, time
from across.servers import *
from across import Options

def tell():
    while not any(each.name == 'across-listener' for each in threading.enumerate()):
        time.sleep(0.001)
    print('listening', flush=True)

path, handler, options, descriptors, drain = sys.argv[1:]
if int(descriptors):
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors), hard_limit))
threading.Thread(target=tell).start()
run_unix(path, handler=globals()[handler](options=eval(options)), drain=float(drain))
print('returned')
"""

CLIENT = """
import os, sys
from across import Connection
address = eval(sys.argv[1])
connect = Connection.from_unix if isinstance(address, str) else Connection.from_tcp
with connect(*([address] if isinstance(address, str) else address)) as conn:
    print(conn.call(os.getpid), flush=True)
    sys.stdin.read()
"""


class Process(subprocess.Popen[str]):
    """A Python process that runs a script, and is killed in the end."""

    def __init__(self, script: str, *arguments: object, pass_fds: Sequence[int] = ()) -> None:
        super().__init__(
            [sys.executable, '-c', script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
            env={**os.environ, 'PYTHONPATH': str(Path(across.__file__).parents[1])},
        )

    def read_line(self) -> str:
        """The next line that it prints; it must come soon."""
        return self._read(self.stdout)

    def read_error(self) -> str:
        """The next line of its standard error; it must come soon."""
        return self._read(self.stderr)

    def _read(self, pipe: IO[str] | None) -> str:
        assert pipe is not None
        ready, _, _ = select.select([pipe], [], [], 10 * SECOND)
        assert ready, 'it prints nothing'
        return pipe.readline().strip()

    def finish(self, limit: float = 10 * SECOND) -> tuple[str, str, int]:
        """Wait for its end: what it printed, its errors, its status."""
        out, err = self.communicate(timeout=limit)
        return out.strip(), err.strip(), self.returncode


@contextmanager
def running(script: str, *arguments: object, pass_fds: Sequence[int] = ()) -> Iterator[Process]:
    process = Process(script, *arguments, pass_fds=pass_fds)
    try:
        yield process
    finally:
        process.kill()
        # Not communicate(): processes that it has left may hold the other ends.
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


@contextmanager
def running_server(
    path: Path,
    handler: str = 'LocalConnectionHandler',
    options: str = 'None',
    descriptors: int = 0,
    drain: float = DRAIN_TIME,
) -> Iterator[Process]:
    """`run_unix` in a process of its own, with a limit of descriptors unless 0, listening."""
    with running(SERVER, path, handler, options, descriptors, drain) as process:
        assert process.read_line() == 'listening'
        yield process


@contextmanager
def running_client(address: object) -> Iterator[Process]:
    """A client in a process of its own, connected; the next line it prints is its server's pid."""
    with running(CLIENT, repr(address)) as process:
        yield process


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to take notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
