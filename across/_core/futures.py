"""Futures for calls that nobody waits for yet.

Fetched by a bare peer when first used, and imported when first used here:
:mod:`concurrent.futures` costs milliseconds.

Layer: just below :mod:`.connection`.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Callable

from .interrupts import SIGNAL_PAUSE, shield

if TYPE_CHECKING:
    from .calls import Calls, PendingCall


# States of a future, as concurrent.futures has them: its done() takes a lock.
_NOT_OVER = ('PENDING', 'RUNNING')


class CallFuture(Future):  # type: ignore[type-arg]  # subscriptable from Python 3.9 on
    """A future for the result of a call."""

    at_once = False  # completing it runs callbacks
    _pause: Any = None  # what the main thread sleeps on

    def __init__(self, calls: Calls, call: PendingCall) -> None:
        super().__init__()
        self._calls = calls
        self._call = call
        self._owner = calls.owner  # stays alive until the result is there

    def result(self, timeout: float | None = None) -> Any:
        """As that of every future, but a signal that comes right before the wait ends it, too."""
        self._wait(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The same goes for this."""
        self._wait(timeout)
        return super().exception(timeout)

    def _wait(self, timeout: float | None) -> None:
        # By a lock of our own: an exception of a signal handler can leave one of `threading` held,
        # and who is to set the result would wait for ever.
        if timeout is None and self._state in _NOT_OVER and get_ident() == shield.thread:
            pause = allocate_lock()
            pause.acquire()
            self._pause = pause
            while self._state in _NOT_OVER:
                pause.acquire(timeout=SIGNAL_PAUSE)

    def _invoke_callbacks(self) -> None:
        # What every future calls when it is over. Callbacks of the user may take their time.
        pause, self._pause = self._pause, None
        if pause is not None:
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
