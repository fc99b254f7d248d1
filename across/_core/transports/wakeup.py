"""A switch with a descriptor: what makes a wait in ``poll`` cancellable.

Layer: transports. Imports nothing of ours.
"""

from __future__ import annotations

import os
import select
import sys
from _thread import RLock
from contextlib import suppress

# An eventfd takes exactly eight bytes; a pipe doesn't mind.
_ONE = (1).to_bytes(8, sys.byteorder)


class Wakeup:
    """Once set it stays set, and its descriptor readable: what was written is never read back.

    The descriptors are made when first asked for, so a transport that never connects has none.

    Attributes:
        is_set: Turns true before the descriptor turns readable; read-only.
    """

    __slots__ = ('_closed', '_read_fd', '_write_fd', 'is_set', 'lock')

    def __init__(self) -> None:
        self.is_set = False
        self._read_fd = self._write_fd = -1
        self._closed = False
        #: Keeps set(), and what else a transport does to wake its waits, from using a number that
        #: close() has just made somebody else's.
        # Reentrant, because a signal handler that calls set() may interrupt any of the methods.
        self.lock = RLock()

    def set(self) -> None:
        """Set it, for good.

        Threads: any, signal handlers too; does not block.
        """
        self.is_set = True
        with self.lock:
            # Each time: a first attempt may have been ended by the exception of a signal handler.
            if self._write_fd >= 0:
                with suppress(BlockingIOError):
                    os.write(self._write_fd, _ONE)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        with self.lock:
            if self._read_fd < 0 and not self._closed:
                self._open_locked()
        return self._read_fd

    def _open_locked(self) -> None:
        eventfd = getattr(os, 'eventfd', None)  # Linux, Python 3.10; half the descriptors of a pipe
        if eventfd is not None:
            self._read_fd = self._write_fd = eventfd(0)
        else:
            self._read_fd, self._write_fd = os.pipe()
            os.set_blocking(self._write_fd, False)
        if self.is_set:
            os.write(self._write_fd, _ONE)

    def wait(self, timeout: float) -> bool:
        """Sleep for ``timeout`` seconds or until it is set; tell whether it is."""
        if not self.is_set:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.poll(timeout * 1000)
        return self.is_set

    def close(self) -> None:
        """Close the descriptors; setting it stays possible. Idempotent."""
        with self.lock:
            self._close_locked()

    def abandon(self) -> None:
        """Close the descriptors in a forked child, where a vanished thread may hold the lock."""
        self.lock = RLock()
        self._close_locked()

    def _close_locked(self) -> None:
        fds = {self._read_fd, self._write_fd} - {-1}
        self._read_fd = self._write_fd = -1
        self._closed = True
        for fd in fds:
            os.close(fd)
