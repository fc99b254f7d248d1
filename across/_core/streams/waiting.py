"""Threads that wait for something of a stream; like callers, they read for themselves.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

import time

from ..calls import PendingCall, interrupted_critical_section
from ..interrupts import SIGNAL_PAUSE
from ..threads.context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Callable

    from ..link import Link

# For so long (seconds) at a time: who closes a stream here does not wake a thread that reads. Less
# than SIGNAL_PAUSE, for which a transport may wait in a way that signals prolong.
_PAUSE = SIGNAL_PAUSE / 2


def deadline_of(timeout: float | None) -> float | None:
    """The time (monotonic) at which so many seconds from now are over."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f'the timeout must be seconds, or None, not {type(timeout).__name__}')
    return time.monotonic() + timeout


def refuse_in_critical_section() -> None:
    """Raise where a finalizer or signal handler interrupts a thread in sending or receiving."""
    if context.thread.critical:
        raise interrupted_critical_section()


class Waiters:
    """The threads that wait for one half of a stream.

    Lock-free: a thread joins, then looks whether there is still a reason to wait; who removes the
    reason does it the other way round.
    """

    __slots__ = ('_link', '_waiting')

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: list[PendingCall] = []  # append, remove and copying are atomic

    def wake(self) -> bool:
        """Wake all of them; whether one may have been asleep."""
        woke = False
        baton = self._link.reader.baton
        for waiter in self._waiting[:]:
            woke = woke or baton.holder is not waiter
            baton.finish(waiter)
        return woke

    def wait(self, ready: Callable[[], object], deadline: float | None) -> bool:
        """Wait until woken, unless ``ready()``; read meanwhile if nobody else does.

        Args:
            deadline: In monotonic time; None for none. One that is over still lets through what
                has arrived already.

        Returns:
            False if the deadline came first.
        """
        reader = self._link.reader
        waiter = PendingCall()
        thread = context.thread
        outer_critical, thread.critical = thread.critical, True
        try:
            self._waiting.append(waiter)
            while not waiter.done and not ready():
                left = _PAUSE if deadline is None else max(0.0, deadline - time.monotonic())
                if not reader.wait(waiter, min(left, _PAUSE)) and not left:
                    return bool(waiter.done or ready())
            return True
        finally:
            thread.critical = outer_critical
            if waiter in self._waiting:  # else Ctrl-C came first
                self._waiting.remove(waiter)

    def forget(self) -> None:
        """In a forked child: the threads that wait don't exist here."""
        self._waiting = []
