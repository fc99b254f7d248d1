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
        self._unsent = memoryview(b'')

    def flush(self) -> bool:
        """Write it, without waiting; whether nothing is left.

        Raises:
            OSError: The stream broke.
        """
        while True:
            if not self._unsent:
                with self._lock:
                    self._unsent = memoryview(self._outgoing.read())
                if not self._unsent:
                    return True
            count = self._inner.send([self._unsent])
            if not count:
                return False
            self._unsent = self._unsent[count:]


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
