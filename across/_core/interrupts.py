"""Holds Ctrl-C back while the main thread does something that must not be left half done.

Python runs a signal handler between any two steps of the main thread, and the usual handler of
SIGINT raises :exc:`KeyboardInterrupt` there (https://docs.python.org/3/library/signal.html). Other
signals are not held back: few have handlers that raise, and each would cost as much again.

Layer: the lowest. Imports nothing of ours.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs a millisecond
import os
import sys
import threading
import time
from _signal import SIGINT, getsignal
from _thread import get_ident

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any

# What is shielded takes microseconds. If a handler of another signal raised amid leaving a shield,
# nobody would end it: a second Ctrl-C does, so many seconds behind the first.
_LONGEST = 1.0


class InterruptShield:
    """A context in which SIGINT is noted; its handler runs at the end, and may raise there.

    Does nothing in other threads than the main one, as it is the one that runs handlers. Entering
    it may still be interrupted, before anything is held back. May be nested.
    """

    def __init__(self) -> None:
        #: The identifier of the main thread.
        self.thread = threading.main_thread().ident
        self._depth = 0
        self._handler: Any = None  # the program's own, while it is held back
        self._since = 0.0  # when the first signal came that is held back, monotonic; 0: none

    def __enter__(self) -> None:
        if get_ident() == self.thread:
            if not self._depth:
                self._begin()
            self._depth += 1

    def __exit__(self, *exc_info: object) -> None:
        if get_ident() == self.thread:
            self._depth -= 1
            if not self._depth and self._handler is not None:
                self._end()

    def _begin(self) -> None:
        handler = getsignal(SIGINT)
        if not callable(handler):
            return  # it ends the process, or is ignored
        self._since = 0.0
        self._handler = handler
        try:
            _signal.signal(SIGINT, self._note)
        except ValueError:  # in a subinterpreter, where no handler ever runs
            self._handler = None

    def _end(self) -> None:
        handler = self._handler
        if getsignal(SIGINT) == self._note:  # nobody has set another one meanwhile
            _signal.signal(SIGINT, handler)
        self._handler = None
        if self._since:
            self._since = 0.0
            handler(SIGINT, sys._getframe(1))

    def _note(self, signum: int, frame: Any) -> None:
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > _LONGEST:
            self._depth = 0
            self._end()

    def after_fork(self) -> None:
        """In a forked child: if another thread than the main one forked it, it is that now."""
        if self.thread != get_ident():
            self.thread = get_ident()
            self._depth = 0
            self._since = 0.0
            if self._handler is not None:
                self._end()


shield = InterruptShield()
os.register_at_fork(after_in_child=shield.after_fork)
