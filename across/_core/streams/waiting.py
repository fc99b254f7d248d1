"""Threads that wait for something of a stream; like callers, they read for themselves.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

import _thread
import threading
import time

from ..calls import PendingCall, interrupted_critical_section
from ..reader import SIGNAL_PAUSE
from ..threads.context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..link import Link

_MAIN = threading.main_thread().ident
_NO_CALL = -1  # no frame has this id

# The least time (seconds) that the main thread gives the one that reads for it.
_SHORTEST_WAIT = 0.002


def deadline_of(timeout: float | None) -> float | None:
    """The time (monotonic) at which so many seconds from now are over."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f'the timeout must be seconds, or None, not {type(timeout).__name__}')
    return time.monotonic() + timeout


def refuse_in_critical_section() -> None:
    """Raise where a finalizer or signal handler interrupts a thread in sending or receiving."""
    if context.critical:
        raise interrupted_critical_section()


class _Sleeper:
    """The main thread, which lets a service thread read.

    Items come often. Where Ctrl-C is raised while a frame is being taken in, nobody knows what
    became of it, and the connection would be lost.
    """

    __slots__ = ('lock',)

    def __init__(self) -> None:
        self.lock = _thread.allocate_lock()  # released to wake the thread
        self.lock.acquire()

    def wake(self) -> None:
        try:
            self.lock.release()
        except RuntimeError:
            pass  # it was released before


class Waiters:
    """The threads that wait for one half of a stream.

    Lock-free: a thread joins, then looks whether there is still a reason to wait; who removes the
    reason does it the other way round.
    """

    __slots__ = ('_link', '_waiting')

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: list[Any] = []  # append, remove and copying are atomic

    def wake(self) -> bool:
        """Wake all of them; whether one may have been asleep."""
        woke = False
        for waiter in self._waiting[:]:
            if type(waiter) is _Sleeper:
                woke = True
                waiter.wake()
            else:
                woke = woke or not waiter.reading
                self._link.reader.baton.finish(waiter)
        return woke

    def wait(self, ready: Callable[[], object], deadline: float | None) -> bool:
        """Wait until woken, unless ``ready()``; read meanwhile if nobody else does.

        Args:
            deadline: In monotonic time; None for none. One that is over still lets through what
                has arrived already.

        Returns:
            False if the deadline came first.
        """
        is_main = _thread.get_ident() == _MAIN
        waiter: Any = _Sleeper() if is_main else PendingCall(_NO_CALL)
        outer_critical, context.critical = context.critical, True
        try:
            self._waiting.append(waiter)
            wait = self._sleep if is_main else self._read
            return wait(waiter, ready, deadline)
        finally:
            context.critical = outer_critical
            if waiter in self._waiting:  # else Ctrl-C came first
                self._waiting.remove(waiter)

    def _read(
        self, waiter: PendingCall, ready: Callable[[], object], deadline: float | None
    ) -> bool:
        reader = self._link.reader
        while not waiter.done and not ready():
            left = SIGNAL_PAUSE if deadline is None else max(0.0, deadline - time.monotonic())
            # For so long at most: who closes the stream here does not wake a thread that reads.
            if not reader.wait(waiter, min(left, SIGNAL_PAUSE)) and not left:
                return bool(waiter.done or ready())
        return True

    def _sleep(
        self, sleeper: _Sleeper, ready: Callable[[], object], deadline: float | None
    ) -> bool:
        reader = self._link.reader
        while not ready():
            reader.find()
            pause = SIGNAL_PAUSE
            if deadline is not None:
                left = deadline - time.monotonic()
                pause = min(max(left, _SHORTEST_WAIT), SIGNAL_PAUSE)
                if not sleeper.lock.acquire(timeout=pause) and left <= pause:
                    return bool(ready())
            else:
                sleeper.lock.acquire(timeout=pause)
        return True

    def forget(self) -> None:
        """In a forked child: the threads that wait don't exist here."""
        self._waiting = []
