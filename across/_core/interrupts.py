"""Holds signals back while the main thread does something that must not be left half done.

Python runs a signal handler between any two steps of the main thread, and what it raises is raised
there: the usual handler of SIGINT raises :exc:`KeyboardInterrupt`, one of SIGALRM perhaps a timeout
(https://docs.python.org/3/library/signal.html).

Layer: the lowest. Imports nothing of ours.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs a millisecond
import os
import sys
import threading
import time
from _signal import (
    SIGALRM,
    SIGHUP,
    SIGINT,
    SIGTERM,
    SIGUSR1,
    SIGUSR2,
    default_int_handler,
    getsignal,
)
from _thread import LockType, get_ident

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any

#: Those that programs have handlers for, which may raise. Looking at each takes time.
HELD_BACK = (SIGINT, SIGTERM, SIGALRM, SIGHUP, SIGUSR1, SIGUSR2)

#: How long (seconds) the main thread waits at a time: a signal that arrives right before a wait
#: does not end it, so its handler runs that much later at most.
SIGNAL_PAUSE = 0.5

# What is shielded takes microseconds. If the handler of yet another signal raised amid leaving a
# shield, nobody would end it: a signal does, so many seconds behind the first.
_LONGEST = 1.0


class Shield:
    """A context in which signals are noted; their handlers run at the end, and may raise there.

    Does nothing in other threads than the main one, as it is the one that runs handlers. Entering
    it may still be interrupted, before anything is held back. May be nested.
    """

    def __init__(self) -> None:
        #: The identifier of the main thread.
        self.thread = threading.main_thread().ident
        self._depth = 0
        self._handlers: dict[int, Any] = {}  # the program's own, while they are held back
        self._came: list[int] = []
        self._since = 0.0  # when the first of these came, monotonic

    def __enter__(self) -> None:
        if get_ident() == self.thread:
            if not self._depth:
                self._begin()
            self._depth += 1

    def __exit__(self, *exc_info: object) -> None:
        if get_ident() == self.thread:
            if self._depth:  # else a signal has ended it, or a fork
                self._depth -= 1
            if not self._depth and self._handlers:
                self._end()

    def _begin(self) -> None:
        note = self._note
        for number in HELD_BACK:
            handler = getsignal(number)
            if callable(handler) and handler != note:  # else it raises nothing, or is held already
                self._handlers[number] = handler
                try:
                    _signal.signal(number, note)
                except ValueError:  # in a subinterpreter, where no handler ever runs
                    del self._handlers[number]

    def _end(self) -> None:
        for number, handler in self._handlers.items():
            if getsignal(number) == self._note:  # nobody has set another one meanwhile
                _signal.signal(number, handler)
        handlers, self._handlers = self._handlers, {}
        if self._came:
            came, self._came = self._came, []
            _run(came, handlers)

    def _note(self, number: int, frame: Any) -> None:
        if not self._handlers:  # other code has saved this function as the handler, and put it back
            if number == SIGINT:
                default_int_handler(number, frame)
            return
        now = time.monotonic()
        if not self._came:
            self._since = now
        if number not in self._came:
            self._came.append(number)
        if now - self._since > _LONGEST:
            self._depth = 0
            self._end()

    def after_fork(self) -> None:
        """In a forked child: if another thread than the main one forked it, it is that now."""
        if self.thread != get_ident():
            self.thread = get_ident()
            self._depth = 0
            self._came = []
            self._end()
        owed.clear()


def _run(numbers: list[int], handlers: dict[int, Any]) -> None:
    """Run the handlers of some signals; one that raises keeps no other from being run."""
    number = numbers.pop(0)
    try:
        if number in handlers:
            handlers[number](number, sys._getframe(1))
    finally:
        if numbers:
            _run(numbers, handlers)


#: What must be done though signals come in a row: functions, each with its arguments. An ``except``
#: clause that begins with ``owed.append(...)`` does that for sure: handlers run where a function is
#: entered, at a jump, or behind a call, and this one is made in C. Then it calls `settle`; if that
#: is interrupted, too, whoever waits next for a peer does so, or a service thread.
owed: list[tuple[Any, ...]] = []


def settle() -> None:
    """Do what is owed."""
    with shield:
        while owed:
            try:
                func, *args = owed.pop(0)
            except IndexError:
                return  # another thread does the rest
            func(*args)


def wait_for(lock: LockType) -> None:
    """Wait until a lock has been released, by looking now and then.

    A signal that arrives right before a wait without end does not interrupt it: its handler would
    not run before the wait is over (CPython checks for signals between instructions).
    """
    locked: list[bool] = []
    try:
        while True not in locked:
            locked.clear()
            if owed:
                settle()
            # Not `while not acquire():`, as an exception of a handler may come in between.
            locked.extend(map(lock.acquire, (True,), (SIGNAL_PAUSE,)))
    finally:
        if True in locked:
            try:
                lock.release()
            except RuntimeError:
                pass  # it was released once more meanwhile


def came_from_handler(error: BaseException) -> bool:
    """Whether an error was raised by a signal handler, and so says nothing of what it came amid."""
    if get_ident() != shield.thread:
        return False
    codes = {_code_of(getsignal(number)) for number in HELD_BACK} - {None}
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code not in codes:
        traceback = traceback.tb_next
    return traceback is not None


def _code_of(handler: Any) -> Any:
    if not callable(handler):
        return None
    handler = getattr(handler, 'func', handler)  # of a functools.partial
    return getattr(handler if hasattr(handler, '__code__') else handler.__call__, '__code__', None)


shield = Shield()
os.register_at_fork(after_in_child=shield.after_fork)
