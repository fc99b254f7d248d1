"""The sides of a comparison: what is asked of the floor and of `across` alike.

Each is connected to a process of its own that was started for it.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from . import floor, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from across import Connection

    Call = Callable[..., Any]

FLOOR = 'floor'
PICKLED = 'pickled'
ACROSS = 'across'
SIDES = (FLOOR, PICKLED, ACROSS)
TRANSPORTS = ('tcp', 'unix', 'pipe')

LOCALHOST = '127.0.0.1'
# An interpreter with nothing but the standard library.
BARE_PYTHON = [sys.executable, '-I', '-S']


class Peer(Protocol):
    """The other process."""

    @property
    def call(self) -> Call:
        """Calls a function of :mod:`.targets` over there."""

    def call_of_thread(self) -> Call:
        """What one more thread calls with, while others do."""

    def pipeline(self, count: int) -> None:
        """Begin so many no-ops, one by one, and then wait for all."""

    def receive_numbers(self, count: int) -> None:
        """Take so many items that are produced over there."""


class FloorPeer:
    """Reached by blocking reads and writes. Each thread needs a connection of its own."""

    def __init__(self, connect: Callable[[], floor.Wire], *, pickled: bool) -> None:
        self._connect = connect
        self._function: Call = floor.call_pickled if pickled else floor.call_bare
        self._wire = connect()
        self.call: Call = partial(self._function, self._wire)

    def call_of_thread(self) -> Call:
        """A call by a connection of its own."""
        return partial(self._function, self._connect())

    def pipeline(self, count: int) -> None:
        """Write in this thread, read in another: neither can block the other for good."""
        reader = threading.Thread(target=self._receive, args=(count,))
        reader.start()
        for _ in range(count):
            self._send()
        reader.join()

    def receive_numbers(self, count: int) -> None:
        """Ask for them, then read as many messages."""
        is_pickled = self._function is not floor.call_bare
        kind = floor.PICKLED_NUMBERS if is_pickled else floor.NUMBERS
        self._wire.send(kind, floor.NUMBER.pack(count))
        for _ in range(count):
            item = self._wire.receive()
            if is_pickled:
                pickle.loads(item)

    def _send(self) -> None:
        if self._function is floor.call_bare:
            self._wire.send(floor.KINDS[targets.noop])
        else:
            floor.send_pickled(self._wire, targets.noop)

    def _receive(self, count: int) -> None:
        for _ in range(count):
            answer = self._wire.receive()
            if answer:
                pickle.loads(answer)


class AcrossPeer:
    """Reached by one connection, however many threads call."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.call: Call = connection.call

    def call_of_thread(self) -> Call:
        """The same call."""
        return self.call

    def pipeline(self, count: int) -> None:
        """Submit, then wait for the futures."""
        for future in [self.connection.submit(targets.noop) for _ in range(count)]:
            future.result()

    def receive_numbers(self, count: int) -> None:
        """Iterate."""
        for _ in self.connection.iterate(targets.numbers, count):
            pass


class Served(NamedTuple):
    """A server in a process of its own.

    Attributes:
        pid: Of the process.
        connect: Makes one more connection, which lasts as long as the server.
    """

    pid: int
    connect: Callable[[], Peer]


@contextmanager
def served(side: str, transport: str, processor: int | None) -> Iterator[Served]:
    """Start a server on a processor."""
    with ExitStack() as stack:
        address, pid = _start_server(side if side == ACROSS else FLOOR, transport, processor, stack)
        connections: list[Connection] = []  # one that nobody refers to is closed

        def connect() -> Peer:
            if side == ACROSS:
                connection = _across_connection(transport, address)
                connection.__enter__()
                connections.append(connection)
                return AcrossPeer(connection)
            return FloorPeer(
                lambda: _floor_wire(transport, address, stack), pickled=side == PICKLED
            )

        yield Served(pid, connect)
        if side == ACROSS:
            os.kill(pid, signal.SIGKILL)  # not by thousands of goodbyes


@contextmanager
def connected(side: str, transport: str, processor: int | None) -> Iterator[Peer]:
    """Start a process on a processor, and connect to it."""
    with ExitStack() as stack:
        if side == ACROSS:
            yield AcrossPeer(_connect_across(transport, processor, stack))
        else:
            connect = _floor_connector(transport, processor, stack)
            yield FloorPeer(connect, pickled=side == PICKLED)


def _connect_across(transport: str, processor: int | None, stack: ExitStack) -> Connection:
    from across import Connection, get_bios

    if transport == 'pipe':
        script = _preamble(processor) + get_bios()
        return stack.enter_context(Connection.from_command([*BARE_PYTHON, '-c', script]))
    address, _ = _start_server('across', transport, processor, stack)
    return stack.enter_context(_across_connection(transport, address))


def _across_connection(transport: str, address: str) -> Connection:
    from across import Connection

    if transport == 'tcp':
        return Connection.from_tcp(LOCALHOST, int(address))
    return Connection.from_unix(address)


def _preamble(processor: int | None) -> str:
    """What a bare peer runs first: it has to find the functions that are called, no more."""
    path = str(Path(__file__).parents[targets.__name__.count('.')])
    pinning = '' if processor is None else f'import os; os.sched_setaffinity(0, [{processor}])\n'
    return f'{pinning}import sys; sys.path.append({path!r})\n'


def _floor_connector(
    transport: str, processor: int | None, stack: ExitStack
) -> Callable[[], floor.Wire]:
    if transport == 'pipe':
        process = _start('floor', transport, '', processor, stack)
        assert process.stdin
        assert process.stdout
        wire = floor.Wire(process.stdout.fileno(), process.stdin.fileno())
        return lambda: wire
    address, _ = _start_server('floor', transport, processor, stack)
    return lambda: _floor_wire(transport, address, stack)


def _floor_wire(transport: str, address: str, stack: ExitStack) -> floor.Wire:
    sock = _connect_socket(transport, address)
    stack.callback(sock.close)
    return floor.Wire(sock.fileno(), sock.fileno())


def _connect_socket(transport: str, address: str) -> socket.socket:
    if transport == 'tcp':
        sock = socket.create_connection((LOCALHOST, int(address)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address)
    return sock


def _start_server(
    side: str, transport: str, processor: int | None, stack: ExitStack
) -> tuple[str, int]:
    """Start a process that listens; return its port, or the path of its socket, and its pid."""
    address = LOCALHOST
    if transport == 'unix':
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = os.path.join(folder, 'socket')
    process = _start(side, transport, address, processor, stack)
    assert process.stdout
    line = process.stdout.readline().decode().strip()
    if not line:
        raise RuntimeError(f'the {side} server ended early')
    return line, process.pid


def _start(
    side: str, transport: str, address: str, processor: int | None, stack: ExitStack
) -> subprocess.Popen[bytes]:
    module = f'{__package__}.server'
    command = [sys.executable, '-m', module, side, transport, address]
    if processor is not None:
        command.append(str(processor))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment()
    )
    stack.enter_context(process)  # closes its input, which ends it, and waits
    return process


def environment() -> dict[str, str]:
    """For processes that import the library and these modules from where this one does."""
    path = os.pathsep.join(path or os.getcwd() for path in sys.path)
    # Who imports the library for the second time finds its bytecode, whatever is set here.
    return {**os.environ, 'PYTHONPATH': path, 'PYTHONDONTWRITEBYTECODE': ''}
