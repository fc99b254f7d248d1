"""The real program in child processes: with pipes, as a server, in a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import across
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = (sys.executable, '-m', 'across')
TIMEOUT = 15 * SECOND

# Prints its process, and goes on sleeping when it is interrupted.
STUBBORN = """\
import os, time
try:
    print(os.getpid(), flush=True)
    while True: pass
except KeyboardInterrupt:
    time.sleep(1000)
"""


def environment(**more: str) -> dict[str, str]:
    """Variables with which child processes find the library that is tested."""
    return {**os.environ, 'PYTHONPATH': str(Path(across.__file__).parents[1]), **more}


class Result(NamedTuple):
    """How the program ended."""

    status: int
    out: str
    err: str


def run_program(*words: object, stdin: str = '', folder: Path | None = None) -> Result:
    """Run the program to its end."""
    run = subprocess.run(
        [*PROGRAM, *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=TIMEOUT,
    )
    return Result(run.returncode, run.stdout, run.stderr)


class Running(subprocess.Popen[str]):
    """The program while it runs; its standard streams are pipes."""

    def __init__(self, *words: object) -> None:
        super().__init__(
            [*PROGRAM, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def read_line(self) -> str:
        """The next line that it prints; it must come soon."""
        assert self.stdout is not None
        ready, _, _ = select.select([self.stdout], [], [], TIMEOUT)
        assert ready, 'it prints nothing'
        return self.stdout.readline().rstrip('\n')

    def finish(self) -> Result:
        """Wait for its end."""
        out, err = self.communicate(timeout=TIMEOUT)
        return Result(self.returncode, out, err)


@contextmanager
def running(*words: object) -> Iterator[Running]:
    """The program, running; it is killed in the end."""
    process = Running(*words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving(endpoint: str, *words: str, refused: tuple[str, ...] = ()) -> Iterator[str]:
    """``across serve``, listening: the TARGET for its clients.

    Args:
        refused: What it says, in parts, of those that it has refused in the end.
    """
    with running('serve', endpoint, *words) as server:
        line = server.read_line()
        assert line.startswith('listening on '), (line, server.finish())
        yield line.partition('listening on ')[2]
        server.send_signal(signal.SIGTERM)
        result = server.finish()
        said = result.err.splitlines()
        assert (result.status, result.out, len(said)) == (0, '', len(refused)), result
        for i, line in enumerate(said):
            assert line.startswith('a client was refused: '), result
            assert refused[i] in line


class InTerminal:
    """A program in a terminal of its own, which the test has the other side of.

    Attributes:
        pid: Of the program; 0 in it, and once it has ended.
    """

    def __init__(self) -> None:
        self.pid, self._fd = pty.fork()

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def finish(self) -> int:
        """Read the rest; the exit status."""
        while self._receive():
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def _receive(self) -> bytes:
        """What has come; nothing if nothing will."""
        try:
            return os.read(self._fd, 1 << 16)
        except OSError:  # Linux says so of a terminal that nobody has open any more
            return b''


class Terminal(InTerminal):
    """The program in a terminal of its own; a user who types and reads the screen."""

    def __init__(self, *words: object) -> None:
        self._screen = ''
        super().__init__()
        if self.pid == 0:
            # Plain output: no colours, no bracketed paste.
            os.execve(
                sys.executable,
                [*PROGRAM, *map(str, words)],
                environment(TERM='dumb', PYTHON_BASIC_REPL='1'),
            )

    def press_until(self, key: str, pattern: str) -> str:
        """Press a key, and once more each second, until the screen shows a pattern.

        For Ctrl-C at a prompt: just when that appears, the readline module may miss a signal.
        """
        for _ in range(10):
            self.type(key)
            try:
                return self.read_until(pattern, SECOND)
            except AssertionError:
                continue
        raise AssertionError(f'{pattern!r} is not on the screen: {self._screen!r}')

    def read_until(self, pattern: str, timeout: float = TIMEOUT) -> str:
        """Read the screen up to where it shows a pattern, which must come soon.

        Returns:
            What is new on it, the pattern included.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self._screen)
            if found:
                shown, self._screen = self._screen[: found.end()], self._screen[found.end() :]
                return shown
            ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f'{pattern!r} is not on the screen: {self._screen!r}'
            data = self._receive()
            assert data, f'{pattern!r} is not on the screen, and will not be: {self._screen!r}'
            self._screen += data.decode().replace('\r\n', '\n').replace('\x07', '')


@contextmanager
def terminal(*words: object) -> Iterator[Terminal]:
    """The program in a terminal; it is killed in the end."""
    term = Terminal(*words)
    try:
        yield term
    finally:
        term.close()
