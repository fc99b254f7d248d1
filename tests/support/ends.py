"""What the tests connect to: bare children, this process itself, sockets that speak plain bytes.

Scripts in a process of their own too, for what ends, forks or interrupts a whole process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import across
from across import Connection, DisconnectError, Options, ProtocolError
from across._core.handshake import describe_process
from across._core.wire.frames import HEADER, HEADER_SIZE
from across._core.wire.greeting import encode_greeting
from support.interpreters import bare_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    'AT_ONCE',
    'WORK',
    'Script',
    'at_once',
    'bare_peer',
    'finish',
    'greeting',
    'is_running',
    'pair',
    'plain_peer',
    'raised_by',
    'receive',
    'receive_frame',
    'run_script',
    'run_work',
    'stay',
    'stop_process',
    'together',
]


# Far more than anything takes that waits for nothing, and less than any timeout it might wait for.
AT_ONCE = 2 * SECOND


@contextmanager
def at_once() -> Iterator[None]:
    """A block that must wait for no timeout."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < AT_ONCE


WORK: list[Callable[[], object]] = []


def run_work() -> object:
    """Go by reference to another connection of this process; runs what the test has appended."""
    return WORK[-1]()


def stay(entered: threading.Semaphore | None = None) -> None:
    """Run, as a call of a peer, until nobody waits for it."""
    if entered is not None:
        entered.release()
    while not across.current_call().cancelled:
        time.sleep(0.001)


@contextmanager
def bare_peer(**options: Any) -> Iterator[Connection]:
    """A connection to a bare child; however it ended, it is closed."""
    conn = Connection.from_command(bare_command(), options=Options(**options))
    try:
        conn.call(int)
        yield conn
    finally:
        finish(conn)


@contextmanager
def pair(here: Options | None = None, there: Options | None = None) -> Iterator[list[Connection]]:
    """Two connections of this process, connected to each other; the first has options `here`."""
    ours, theirs = socket.socketpair()
    with ExitStack() as stack:
        conns = [
            Connection.from_socket(ours, options=here),
            Connection.from_socket(theirs, options=there if there is not None else here),
        ]
        for conn in conns:
            stack.callback(finish, conn)
        yield conns


@contextmanager
def plain_peer(greet: bool = True, **options: Any) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the blocking socket at its other end.

    Args:
        greet: Whether the handshake is through already.
    """
    ours, theirs = socket.socketpair()
    theirs.settimeout(10 * SECOND)
    conn = Connection.from_socket(ours, options=Options(**options))
    with theirs:
        try:
            if greet:
                theirs.sendall(greeting())
                receive(theirs, b'\n')
            yield conn, theirs
        finally:
            conn.cancel()
            finish(conn)


def greeting() -> bytes:
    """What a peer like this process says first."""
    return encode_greeting(describe_process(Options()))


def receive(sock: socket.socket, ending: bytes) -> bytes:
    """Read bytes one by one until they end in that way."""
    data = b''
    while not data.endswith(ending):
        byte = sock.recv(1)
        assert byte, data
        data += byte
    return data


def receive_frame(sock: socket.socket) -> tuple[int, int, bytes]:
    """Read a frame; its kind, its call's id, its body."""

    def read(size: int) -> bytes:
        data = b''
        while len(data) < size:
            data += (chunk := sock.recv(size - len(data)))
            assert chunk
        return data

    kind, _, _, size, call_id, _ = HEADER.unpack(read(HEADER_SIZE))
    return kind, call_id, read(size)


def finish(conn: Connection) -> None:
    """Close a connection that may be broken."""
    try:
        conn.close()
    except (DisconnectError, ProtocolError):
        pass


def raised_by(func: Callable[..., Any], *args: Any) -> BaseException:
    """What a call raises."""
    try:
        result = func(*args)
    except BaseException as exc:
        return exc
    raise AssertionError(f'it returned {result!r}')


def is_running(pid: int) -> bool:
    """Whether a process lives; one that ended and was not waited for does not."""
    run = subprocess.run(['ps', '-o', 'stat=', '-p', str(pid)], capture_output=True, text=True)
    return run.stdout.strip()[:1] not in ('', 'Z')


def stop_process(pid: int) -> None:
    """Send SIGSTOP, and wait until no thread runs: each goes on until it takes notice itself."""
    os.kill(pid, signal.SIGSTOP)

    def has_stopped() -> bool:
        run = subprocess.run(['ps', '-L', '-o', 'stat=', '-p', str(pid)], capture_output=True)
        states = run.stdout.split()
        return bool(states) and all(state.startswith(b'T') for state in states)

    wait_until(has_stopped, f'process {pid} to stop')


class Script:
    """A Python process that runs a script; use it in a `with` statement.

    Attributes:
        process: Its standard output and error are pipes.
    """

    def __init__(self, source: str, *args: object, **popen: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-X', 'faulthandler', '-c', textwrap.dedent(source), *map(str, args)],
            **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **popen},
        )

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()  # not read to its end: an orphan may have it open for long

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def line(self, timeout: float = 10 * SECOND) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        deadline, data = time.monotonic() + timeout, b''
        while not data.endswith(b'\n'):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise TimeoutError(f'no line within {timeout:g} s, only {data!r}\n{self._abort()}')
            byte = os.read(fd, 1)
            if not byte:
                raise EOFError(f'it ended: {data.decode()}{self.errors()}')
            data += byte
        return data.decode().rstrip('\n')

    def _abort(self) -> str:
        """End it; what it wrote to standard error, with what its threads were doing."""
        self.process.send_signal(signal.SIGABRT)
        if self.process.stderr is None:
            return ''
        fd, written, more = self.process.stderr.fileno(), b'', True
        while more and select.select([fd], [], [], 2 * SECOND)[0]:
            data = os.read(fd, 1 << 16)
            written += data
            more = bool(data)
        return str(written, 'utf-8', 'replace')

    def errors(self) -> str:
        """What it wrote to standard error until its end."""
        assert self.process.stderr is not None
        return str(self.process.stderr.read(), 'utf-8')

    def wait(self, timeout: float = 10 * SECOND) -> int:
        return self.process.wait(timeout)


def run_script(source: str, *args: object, timeout: float = 10 * SECOND) -> str:
    """Run a script to its end, and return what it printed; a status other than 0 is an error."""
    with Script(source, *args) as script:
        out, err = script.process.communicate(timeout=timeout)
        status = script.process.returncode
        if status or err:
            raise AssertionError(f'status {status}\n{out.decode()}\n{err.decode()}')
        return str(out, 'utf-8')


def together(*funcs: Callable[[], Any], timeout: float = 10 * SECOND) -> list[Any]:
    """Run functions at the same moment, each in a thread; what they return or raise."""
    barrier = threading.Barrier(len(funcs))
    results: dict[int, Any] = {}

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = funcs[i]()
        except BaseException as exc:
            results[i] = exc

    # Daemons, so that one that hangs fails its test only.
    threads = [threading.Thread(target=run, args=[i], daemon=True) for i in range(len(funcs))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    assert len(results) == len(funcs), f'only {sorted(results)} of {len(funcs)} returned'
    return [results[i] for i in range(len(funcs))]
