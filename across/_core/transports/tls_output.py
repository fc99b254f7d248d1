"""The sending side of TLS: plain bytes gathered to records, encrypted bytes on their way.

Layer: transports. Imported with :mod:`.tls` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    import threading

    from across._core.transports.base import Buffer, Transport

# What one record can hold (RFC 8446, section 5.1).
RECORD_SIZE = 1 << 14


class Outflow:
    """What OpenSSL has encrypted and the transport below has not taken yet.

    Args:
        inner: The transport below.
        outgoing: Where OpenSSL puts it.
        lock: Guards ``outgoing``.

    Threads: the holder of the send lock.
    """

    def __init__(self, inner: Transport, outgoing: ssl.MemoryBIO, lock: threading.Lock) -> None:
        self._inner = inner
        self._outgoing = outgoing
        self._lock = lock
        self._taken: list[bytes] = []  # out of `_outgoing`; at most one
        # What is left of that, and what the transport below had said about earlier bytes.
        self._unsent: tuple[memoryview, list[int]] = (memoryview(b''), [])

    def flush(self) -> bool:
        """Write it, without waiting; whether nothing is left.

        Goes on where it was after the exception of a signal handler, wherever that came.

        Raises:
            OSError: The stream broke.
        """
        inner = self._inner
        while True:
            rest = self._rest()
            if not rest:
                rest = self._take()
                if not rest:
                    return True
            # In one step: what `inner.sent` says of earlier bytes counts no more.
            self._unsent = rest, inner.sent
            if not inner.send([rest]):
                return False

    def _rest(self) -> memoryview:
        rest, counted = self._unsent
        sent = self._inner.sent
        return rest if sent is counted or not sent else rest[sent[0] :]

    def _take(self) -> memoryview:
        """What OpenSSL has encrypted since; a second time what an exception made us forget."""
        if not self._taken or not self._taken[0] or self._taken[0] is self._unsent[0].obj:
            self._taken = []
            with self._lock:
                self._taken.extend(map(self._outgoing.read, (-1,)))
        return memoryview(self._taken[0])


def gather(buffers: list[Buffer], skip: int) -> Buffer:
    """The bytes for one record: the start of the buffers, but for what is to be skipped."""
    first = buffers[0]
    if len(buffers) == 1 or len(first) >= skip + RECORD_SIZE:
        return (
            first
            if skip == 0 and len(first) <= RECORD_SIZE
            else memoryview(first)[skip : skip + RECORD_SIZE]
        )
    parts, room = [], RECORD_SIZE
    for buffer in buffers:
        part = memoryview(buffer)[skip : skip + room]
        skip = max(0, skip - len(buffer))
        parts.append(part)
        room -= len(part)
        if not room:
            break
    return b''.join(parts)
