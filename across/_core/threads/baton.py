"""The reader role of a connection: at most one thread reads, the others wait or run handlers.

Layer: threads. Knows nothing of messages or I/O. Tested with plain threads.
"""

from __future__ import annotations

import _thread

from ..interrupts import shield

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable


class Waiter:
    """A thread that waits for an event which whoever reads will notice.

    All attributes are guarded by the baton's mutex.
    """

    # On the class, as most of them never change for most waiters.
    done = False  # what this thread waits for has happened
    busy = False  # this thread runs an errand
    errand: Any = None  # something that this very thread must do while it waits
    lock: _thread.LockType | None = None  # made when the waiter first has to sleep


#: What holds the baton for a thread that waits for nothing.
NO_WAITER = Waiter()


class Baton:
    """Says who reads.

    Args:
        on_free: Called, without the mutex, when the baton was left to nobody.
    """

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._on_free = on_free
        #: Guards everything here, and the waiters. Never held over I/O, pickling or user code.
        self.mutex = _thread.allocate_lock()
        #: The waiter that reads, `NO_WAITER` for a thread that waits for nothing, None for nobody.
        #: It changes in one step, as an exception of a signal handler may come in between two.
        self.holder: Waiter | None = None
        #: Goes up each time it is given away: the watchdog sees whether anything moves.
        self.changes = 0
        self._room: dict[Waiter, None] = {}  # who sleeps, in the order of arrival

    def try_take(self, waiter: Waiter | None = None) -> bool:
        """Become the reader if there is none.

        Args:
            waiter: Who does, if that is a waiter, and not done.
        """
        with self.mutex:
            if self.holder is not None:
                return False
            if waiter is not None and (waiter.done or waiter.errand is not None):
                return False
            self.holder = waiter or NO_WAITER
            return True

    @property
    def free(self) -> bool:
        return self.holder is None

    @property
    def nobody_waits(self) -> bool:
        return not self._room

    def take_or_sleep(self, waiter: Waiter, timeout: float = -1) -> bool:
        """Become the reader, or sleep until woken.

        Returns:
            Whether the waiter is done, or reads now, or was woken for something else; False when
            the timeout (seconds; -1: none) ran out.

        Raises:
            BaseException: Of a signal handler; the waiter has to :meth:`leave`, then.
        """
        with self.mutex:
            if waiter.done or self.holder is waiter or waiter.errand is not None:
                return True
            if self.holder is None:
                self.holder = waiter
                return True
            if waiter.lock is None:
                waiter.lock = _thread.allocate_lock()
                waiter.lock.acquire()
            self._room[waiter] = None
        return waiter.lock.acquire(timeout=timeout) or not self._left_room(waiter)

    def _left_room(self, waiter: Waiter) -> bool:
        """Take a sleeper out of the room; False if somebody else did, and is waking it."""
        with self.mutex:
            if waiter in self._room:
                del self._room[waiter]
                return True
        assert waiter.lock is not None
        waiter.lock.acquire()
        return False

    def leave(self, waiter: Waiter) -> Any:
        """Stop waiting, for whatever reason; a baton that was handed over is passed on.

        Threads: any, for a waiter whose thread will not wait any more; in a shield.

        Returns:
            The errand that somebody else has to do; None for none.
        """
        with self.mutex:
            waiter.done = True
            self._room.pop(waiter, None)
            errand, waiter.errand = waiter.errand, None
            if self.holder in self._room:  # an exception came before it was woken
                self._wake_locked(self.holder)
        if self.take_from(waiter):
            self.pass_on()
        elif self.holder is None:  # it was put down, and perhaps nobody told
            self._on_free()
        return errand

    def finish(self, waiter: Waiter) -> None:
        """Mark a waiter done and wake it."""
        with self.mutex:
            waiter.done = True
            self._wake_locked(waiter)

    def give_errand(self, waiter: Waiter, errand: Any) -> bool:
        """Have the waiting thread do something, and wait on; False if it is done or busy."""
        with self.mutex:
            if waiter.done or waiter.busy:
                return False
            waiter.busy = True
            waiter.errand = errand
            self._wake_locked(waiter)
        return True

    def end_errand(self, waiter: Waiter) -> None:
        with self.mutex:
            waiter.busy = False

    def pass_on(self) -> None:
        """Give the baton, which this thread holds, to who sleeps longest, else leave it free."""
        self.changes += 1
        if self.put_down():
            self._on_free()

    def put_down(self) -> bool:
        """The same, but tell nobody that it is free; whether it is."""
        with self.mutex:
            if not self._room:
                self.holder = None
                return True
        with shield, self.mutex:  # Ctrl-C must not leave it with one that stays asleep
            if not self._room:
                self.holder = None
                return True
            heir = next(iter(self._room))
            self.holder = heir
            self._wake_locked(heir)
        return False

    def take_from(self, holder: Waiter) -> bool:
        """Become the reader in place of another one; False if it is the reader no longer."""
        with self.mutex:
            if self.holder is not holder:
                return False
            self.holder = NO_WAITER
            return True

    def _wake_locked(self, waiter: Waiter) -> None:
        """With the mutex: take a sleeper out of the room and wake it."""
        if waiter in self._room:
            assert waiter.lock is not None
            del self._room[waiter]
            waiter.lock.release()
