"""Futures for calls that nobody waits for yet.

Fetched by a bare peer when first used, and imported when first used here:
:mod:`concurrent.futures` costs milliseconds.

Layer: just below :mod:`.connection`.
"""

from __future__ import annotations

import threading
import time
from _thread import RLock, allocate_lock, get_ident
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Callable

from .interrupts import SIGNAL_PAUSE, shield

if TYPE_CHECKING:
    from .calls import Calls, PendingCall


# States of a future, as concurrent.futures has them: its done() takes a lock.
_NOT_OVER = ('PENDING', 'RUNNING')


class _Guard(RLock):  # type: ignore[misc]  # it is a class, whatever typeshed says
    """Stands in for the condition that a future has: as a lock only, as nobody waits for it.

    A condition is ten objects to make and for the garbage collector to look at. And an exception of
    a signal handler can leave it held, as it is entered by byte code.
    """

    __slots__ = ()

    def notify_all(self) -> None:
        pass


class CallFuture(Future):  # type: ignore[type-arg]  # subscriptable from Python 3.9 on
    """A future for the result of a call."""

    at_once = False  # completing it runs callbacks

    def __init__(self, calls: Calls, call: PendingCall) -> None:
        # What that of the base class does, but for the condition.
        self._condition: Any = _Guard()  # guards the attributes, for moments
        self._state = 'PENDING'
        self._result = self._exception = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Any] = []
        self._calls = calls
        self._call = call
        self._owner = calls.owner  # stays alive until the result is there
        self._pauses: list[Any] = []  # what threads sleep on that wait for it

    def result(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        """Sleep until it is over; in the main thread, signal handlers run meanwhile.

        Raises:
            concurrent.futures.TimeoutError: It is not.
        """
        if self._state not in _NOT_OVER:
            return
        pause = allocate_lock()
        pause.acquire()
        with self._condition:
            self._pauses.append(pause)
        end = None if timeout is None else time.monotonic() + timeout
        longest = SIGNAL_PAUSE if get_ident() == shield.thread else threading.TIMEOUT_MAX
        try:
            while self._state in _NOT_OVER:
                rest = longest if end is None else min(end - time.monotonic(), longest)
                if rest < 0:
                    raise FutureTimeoutError
                pause.acquire(timeout=rest)
        finally:
            with self._condition:
                self._pauses.remove(pause)

    def _invoke_callbacks(self) -> None:
        # What every future calls when it is over. Callbacks of the user may take their time.
        with self._condition:
            for pause in self._pauses:
                pause.release()
        super()._invoke_callbacks()  # type: ignore[misc]

    def cancel(self) -> bool:
        """Drop the result, and tell the peer: there ``current_call().cancelled`` turns true."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        self._calls.cancel(self._call)
        self._owner = None
        return True

    def complete(self, get_result: Callable[[], Any]) -> bool:
        """Set the result, or the exception that getting it raises; False if it was cancelled."""
        self._call.future = None  # each refers to the other: without a cycle both go at once
        if not self.set_running_or_notify_cancel():
            return False
        try:
            result = get_result()
        except BaseException as exc:
            self.set_exception(exc)
        else:
            self.set_result(result)
        self._owner = None
        return True
