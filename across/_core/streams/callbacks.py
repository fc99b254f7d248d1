"""Hands the items of a stream to a function, in service threads.

Layer: just below :mod:`..connection`. Fetched by a bare peer when first used.
"""

from __future__ import annotations

import _thread

from ..states import OPEN
from ..threads.cache import service_threads
from ..threads.context import context
from .inlet import NOTHING, OVER, Inlet

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..link import Link


class Callback:
    """What gets the items of one stream.

    Args:
        fail: Ends the stream with an exception: of the callback.
    """

    def __init__(
        self,
        link: Link,
        inlet: Inlet,
        callback: Callable[[Any], object],
        at_end: Callable[[BaseException | None], object] | None,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._link = link
        self._inlet = inlet
        self._callback = callback
        self._at_end = at_end
        self._fail = fail
        # Held by the thread that hands out items, one at a time and in order; nobody waits for it.
        self._turn = _thread.allocate_lock()
        self._called = False  # a service thread is on its way
        self.thread = 0  # the one that runs the callback
        self.over = False  # nothing will be handed out any more, `at_end` included
        self.error: BaseException | None = None  # what `at_end` was given

    def kick(self) -> None:
        """Something has changed. Never blocks."""
        if not self._called and not self.over:
            self._called = True
            try:
                service_threads.run(self._run)
            except BaseException:  # Ctrl-C
                self._called = False
                raise

    def _run(self) -> None:
        self._called = False
        while not self.over and self._is_due():
            if not self._turn.acquire(False):
                return  # who has it looks again
            self.thread = _thread.get_ident()
            thread = context.thread
            thread.connection = self._link
            try:
                self._hand_out()
            finally:
                thread.connection = None
                self.thread = 0
                self._turn.release()

    def _is_due(self) -> bool:
        inlet = self._inlet
        return bool(inlet.queued or inlet.ended or inlet.closed or self._link.state != OPEN)

    def _hand_out(self) -> None:
        """With the turn: call the callback until there is nothing for it."""
        if self.over:
            return
        inlet, callback = self._inlet, self._callback
        try:
            while True:
                item = inlet.poll()
                if item is NOTHING:
                    return
                if item is OVER:
                    break
                callback(item)
        except BaseException as exc:
            if exc is not inlet.error and self._link.state == OPEN:
                self._fail(exc)
            self._finish(exc)
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        self.error = error
        try:
            if self._at_end is not None:
                self._at_end(error)
        except BaseException as exc:
            self._link.log('WARNING', f'the end of a stream could not be told: {exc!r}')
        finally:
            self.over = True
            self._inlet.waiters.wake()
