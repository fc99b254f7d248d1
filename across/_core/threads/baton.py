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

    Written under the baton's mutex, but for two: the thread that reads may mark its own call done,
    and who runs an errand takes it off.
    """

    # On the class, as most of them never change for most waiters.
    done = False  # what this thread waits for has happened
    busy = False  # this thread runs an errand
    errand: Any = None  # something that this very thread must do while it waits
    lock: _thread.LockType | None = None  # made when the waiter first has to sleep


class Baton:
    """Says who reads.

    Args:
        on_free: Called, without the mutex, when the baton was left to nobody.
    """

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._on_free = on_free
        # Under 0, the waiter that reads; empty: nobody. Taken by setdefault() when it is free, and
        # left by clear(), each of which is one step, for other threads and for signal handlers: a
        # lock would take four times as long. Else it changes under the mutex, or by its holder.
        self._held: dict[int, Waiter] = {}
        #: Guards the waiting room, and the waiters. Never held over I/O, pickling or user code.
        self.mutex = _thread.allocate_lock()
        self._room: dict[Waiter, None] = {}  # who sleeps, in the order of arrival
        #: Goes up each time the baton is given away: the watchdog sees whether anything moves.
        self.changes = 0

    @property
    def holder(self) -> Waiter | None:
        """Who reads; None for nobody."""
        return self._held.get(0)

    @property
    def free(self) -> bool:
        return not self._held

    @property
    def nobody_waits(self) -> bool:
        return not self._room

    def take(self, waiter: Waiter) -> bool:
        """Become the reader if there is none; whether the waiter is it now, or was it before."""
        return self._held.setdefault(0, waiter) is waiter

    def try_take(self) -> bool:
        """The same for a thread that waits for nothing."""
        return self.take(Waiter())

    def sleep(self, waiter: Waiter, timeout: float = -1) -> bool:
        """Sleep until woken, unless there is something to do.

        Returns:
            Whether the waiter is done, or reads now, or was woken for something else; False when
            the timeout (seconds; -1: none) ran out.

        Raises:
            BaseException: Of a signal handler; the waiter has to :meth:`leave`, then.
        """
        with self.mutex:
            if waiter.done or waiter.errand is not None:
                return True
            if waiter.lock is None:
                waiter.lock = _thread.allocate_lock()
                waiter.lock.acquire()
            self._room[waiter] = None
        if self.take(waiter):  # who left it free just now may have seen an empty room
            self._left_room(waiter)
            return True
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
            holder = self.holder
            if holder in self._room:  # an exception came before it was woken
                self._wake_locked(holder)
        if self.take_from(waiter):
            self.pass_on()
        elif self.free and not self._hand_over():  # it was left, and perhaps nobody told
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
        self._held.clear()
        if not self._room or not self._hand_over():
            self._on_free()

    def put_down(self) -> None:
        """The same, but tell nobody that it is free."""
        self._held.clear()
        self._hand_over()

    def _hand_over(self) -> bool:
        """Give it, once left free, to who sleeps longest; False if nobody does.

        A thread that comes just now may be faster, and passes it on in its turn.
        """
        with shield, self.mutex:  # Ctrl-C must not leave it with one that stays asleep
            for heir in self._room:
                if self.take(heir):
                    self._wake_locked(heir)
                return True
        return False

    def entrust(self, heir: Waiter) -> None:
        """Give the baton, which this thread holds, to a waiter whose thread is yet to come."""
        self._held[0] = heir

    def take_from(self, holder: Waiter) -> bool:
        """Become the reader in place of one that is not at it; False if it is none any longer."""
        mine = Waiter()  # not under the mutex: what is made may set off finalizers, which call
        with self.mutex:
            if self.holder is not holder:
                return False
            self._held[0] = mine
            return True

    def _wake_locked(self, waiter: Waiter) -> None:
        """With the mutex: take a sleeper out of the room and wake it."""
        if waiter in self._room:
            assert waiter.lock is not None
            del self._room[waiter]
            waiter.lock.release()
