"""The floor: two processes, blocking reads and writes, and nothing else.

A message is a header (kind, size) and so many bytes; each is answered by one of the same kind. The
kinds do the work of :mod:`.targets` on bare bytes. One more, `PICKLED`, carries any call as a
pickle, and its result: the least that a library for remote calls has to do.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import TYPE_CHECKING, Any

from . import targets

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = struct.Struct('!BQ')
PICKLE_PROTOCOL = 5


def _run_pickled(data: bytes) -> bytes:
    func, args, kwargs = pickle.loads(data)
    return pickle.dumps(func(*args, **kwargs), PICKLE_PROTOCOL)


def _nap(_: bytes) -> bytes:
    targets.nap()
    return b''


# What answers each kind of message.
ANSWERS: list[Callable[[bytes], bytes]] = [
    lambda data: b'',
    lambda data: data,
    _nap,
    _run_pickled,
]
# Answered by as many messages as the number says, each with one item.
NUMBERS, PICKLED_NUMBERS = 4, 5
NUMBER = struct.Struct('!Q')
KINDS: dict[Any, int] = {targets.noop: 0, targets.swallow: 0, targets.echo: 1, targets.nap: 2}
PICKLED = 3


class Wire:
    """Messages over two blocking file descriptors: one write and, if it is small, one read each."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._file = os.fdopen(read_fd, 'rb', 1 << 16, closefd=False)
        self._fd = write_fd

    def send(self, kind: int, data: Any = b'') -> None:
        """Write a message; `data` is any buffer of bytes."""
        header = HEADER.pack(kind, len(data))
        sent = os.writev(self._fd, (header, data)) - len(header)
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def receive(self) -> bytes:
        """Read a message of a kind that the caller knows."""
        return self.receive_any()[1]

    def receive_any(self) -> tuple[int, bytes]:
        """Read a message.

        Raises:
            EOFError: The other side closed.
        """
        header = self._file.read(HEADER.size)
        if len(header) < HEADER.size:
            raise EOFError
        kind, size = HEADER.unpack(header)
        return kind, self._file.read(size) if size else b''


def serve(wire: Wire) -> None:
    """Answer messages until the other side closes."""
    while True:
        try:
            kind, data = wire.receive_any()
        except (EOFError, ConnectionResetError):
            return
        if kind in (NUMBERS, PICKLED_NUMBERS):
            send_numbers(wire, kind, NUMBER.unpack(data)[0])
        else:
            wire.send(kind, ANSWERS[kind](data))


def send_numbers(wire: Wire, kind: int, count: int) -> None:
    """Write a message for each item."""
    for number in targets.numbers(count):
        if kind == PICKLED_NUMBERS:
            wire.send(kind, pickle.dumps(number, PICKLE_PROTOCOL))
        else:
            wire.send(kind, NUMBER.pack(number))


def call_bare(wire: Wire, func: Callable[..., Any], *args: Any) -> Any:
    """Have the work of a function of :mod:`.targets` done, on bare bytes if it has a kind."""
    kind = KINDS.get(func)
    if kind is None:
        return call_pickled(wire, func, *args)
    wire.send(kind, *(memoryview(arg).cast('B') for arg in args))
    return wire.receive()


def call_pickled(wire: Wire, func: Callable[..., Any], *args: Any) -> Any:
    """Call any function that the other side can import."""
    send_pickled(wire, func, *args)
    return pickle.loads(wire.receive())


def send_pickled(wire: Wire, func: Callable[..., Any], *args: Any) -> None:
    """Call a function, without waiting for the result."""
    wire.send(PICKLED, pickle.dumps((func, args, {}), PICKLE_PROTOCOL))
