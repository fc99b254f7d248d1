"""Where idle connections wait: one thread for all of them, rather than one for each.

A connection that nothing has come over for a while gives up its service thread, and leaves its
descriptor here. The parking thread waits for all such descriptors at once, and tells the one that
turned readable. It runs no user code, and never blocks on a peer.

Layer: threads. Standard library only; knows nothing of messages. Not needed by a peer on its
standard streams, which has one connection, and would only exchange one thread for another.
"""

from __future__ import annotations

import _thread
import os
import select
import threading
from contextlib import suppress

from .context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Protocol

    class Guest(Protocol):
        """What can be parked.

        Attributes:
            parked: The parking thread waits for it. Both are written by the
                :class:`ParkingLot` only.
            left: It will never be parked again.
        """

        parked: bool
        left: bool

        def on_readable(self) -> None:
            """Its descriptor turned readable while it was parked, which it is no more.

            Threads: the parking thread; must neither block nor raise.
            """

    class Poller(Protocol):
        """Waits for many descriptors; each is reported once, and then has to be armed again."""

        def arm(self, fd: int) -> None: ...
        def disarm(self, fd: int) -> None: ...  # also one that is not armed
        def wait(self) -> list[int]: ...
        def interrupt(self) -> None: ...
        def close(self) -> None: ...


class ParkingLot:
    """Waits for the descriptors of idle connections, in a thread that ends with the last of them.

    Args:
        make_poller: How to wait; only for testing.
    """

    def __init__(self, make_poller: type[Poller] | None = None) -> None:
        self._make_poller = make_poller or (EpollPoller if hasattr(select, 'epoll') else PollPoller)
        # Guards all of this, `parked` of the guests, and changes of the poller.
        self._mutex = _thread.allocate_lock()
        self._guests: dict[int, Guest] = {}  # by descriptor: those that were ever parked
        self._fds: dict[Guest, int] = {}
        self._poller: Poller | None = None
        self._hooked = False

    def park(self, guest: Guest, fd: int) -> bool:
        """Wait for a descriptor from now on; False if that is not possible."""
        with self._mutex:
            if guest.left:
                return False
            try:
                poller = self._poller or self._open_locked()
                self._fds[guest] = fd
                self._guests[fd] = guest
                guest.parked = True
                poller.arm(fd)
            except (OSError, RuntimeError, MemoryError):  # no descriptors, no threads; a file
                guest.parked = False
                return False
            return True

    def unpark(self, guest: Guest) -> bool:
        """Wait for it no longer; False if nobody did."""
        with self._mutex:
            if not guest.parked:
                return False
            guest.parked = False
            assert self._poller is not None
            self._poller.disarm(self._fds[guest])
            return True

    def leave(self, guest: Guest) -> None:
        """Forget a guest; its descriptor may be closed then."""
        with self._mutex:
            guest.left = True
            guest.parked = False
            fd = self._fds.get(guest, -1)
            if fd < 0:
                return
            # If a signal handler ends this, it begins anew: what tells of a step still to be done
            # goes last.
            if self._poller is not None:
                self._poller.disarm(fd)
                self._guests.pop(fd, None)
                if not self._guests:
                    self._poller.interrupt()
            del self._fds[guest]

    def forget(self) -> None:
        """In a forked child: the thread does not exist any more, nor do the connections live."""
        self._mutex = _thread.allocate_lock()
        poller, self._poller = self._poller, None
        self._guests, self._fds = {}, {}
        if poller is not None:
            with suppress(OSError):  # the thread was about to do so
                poller.close()

    def _open_locked(self) -> Poller:
        if not self._hooked:
            self._hooked = True
            os.register_at_fork(after_in_child=self.forget)
        poller = self._make_poller()
        try:
            threading.Thread(
                target=self._watch, args=(poller,), name='across-parking', daemon=True
            ).start()
        except BaseException:
            poller.close()
            raise
        self._poller = poller
        return poller

    def _watch(self, poller: Poller) -> None:
        context.thread.critical = True
        while True:
            for fd in poller.wait():
                guest = self._guests.get(fd)
                if guest is not None and self._call_out(guest):
                    guest.on_readable()
                guest = None
            with self._mutex:
                if not self._guests and self._poller is poller:
                    self._poller = None
                    poller.close()
                    return

    def _call_out(self, guest: Guest) -> bool:
        with self._mutex:
            parked, guest.parked = guest.parked, False
            return parked


class EpollPoller:
    """With Linux's epoll, which costs the same for ten descriptors and ten thousand.

    Source: epoll(7), EPOLLONESHOT.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        try:
            self._alarm, self._ringer = os.pipe()
        except OSError:
            self._epoll.close()
            raise
        self._epoll.register(self._alarm, select.EPOLLIN)

    # The system alone knows what is registered: a signal handler may end any of these midway, and
    # a set of ours would then be wrong.
    def arm(self, fd: int) -> None:
        mask = select.EPOLLIN | select.EPOLLONESHOT
        try:
            self._epoll.modify(fd, mask)
        except FileNotFoundError:
            self._epoll.register(fd, mask)

    def disarm(self, fd: int) -> None:
        # Not a mask of 0, which would still report the end of the stream, again and again.
        with suppress(FileNotFoundError, PermissionError):  # not registered; a file, never so
            self._epoll.unregister(fd)

    def wait(self) -> list[int]:
        ready = [fd for fd, _ in self._epoll.poll()]
        if self._alarm in ready:
            os.read(self._alarm, 4096)
        return ready

    def interrupt(self) -> None:
        os.write(self._ringer, b'\0')

    def close(self) -> None:
        self._epoll.close()
        os.close(self._alarm)
        os.close(self._ringer)


class PollPoller:
    """With poll(), which every system has."""

    def __init__(self) -> None:
        self._armed: set[int] = set()
        self._alarm, self._ringer = os.pipe()
        os.set_blocking(self._ringer, False)

    def arm(self, fd: int) -> None:
        self._armed.add(fd)
        self.interrupt()

    def disarm(self, fd: int) -> None:
        self._armed.discard(fd)

    def wait(self) -> list[int]:
        poll = select.poll()
        poll.register(self._alarm, select.POLLIN)
        for fd in tuple(self._armed):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll()]
        if self._alarm in ready:
            os.read(self._alarm, 4096)
        self._armed.difference_update(ready)
        return ready

    def interrupt(self) -> None:
        try:
            os.write(self._ringer, b'\0')
        except BlockingIOError:
            pass  # it will wake up anyway

    def close(self) -> None:
        os.close(self._alarm)
        os.close(self._ringer)


parking_lot = ParkingLot()
