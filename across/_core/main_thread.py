"""Functions that must run in the main thread of a process, for calls, which run in other threads.

Layer: just below :mod:`.connection`. Fetched by a bare peer when first used.
"""

from __future__ import annotations

import _thread
import contextvars
import functools
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from . import operations
from .errors import OperationError
from .handlers import check_cancelled
from .threads.context import context
from .threads.main_loop import main_loop

if TYPE_CHECKING:
    from types import FrameType

# Seconds. A connection can serve calls a moment before the thread that made it begins to wait.
PATIENCE = 1.0
# How often (seconds) to look whether something goes on.
LOOK_AGAIN = 0.5
# Seconds that a function gets to finish once the connection has ended, in a process that is there
# for that connection alone.
LINGER_TIME = 5.0


def run_job(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """See :func:`across.run_in_main_thread`."""
    if not callable(func):
        raise TypeError(f'expected a function to run, not {type(func).__name__!r}')
    if threading.current_thread() is threading.main_thread():
        return operations.call(func, args, kwargs)
    job = Job(functools.partial(operations.call, func, args, kwargs))
    deadline = time.monotonic() + PATIENCE
    while not main_loop.add(job):
        if time.monotonic() >= deadline:
            raise OperationError(
                f'the main thread of process {os.getpid()} cannot run anything for others now: it '
                'has to be waiting in Connection.wait(), as that of a bare peer does'
            )
        time.sleep(0.01)
    return job.result()


class Job:
    """A function for the main thread; it takes the place of the thread that made this object."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        thread = context.thread
        self._call, self._connection = thread.call, thread.connection
        self._context = contextvars.copy_context()
        self._value: Any = None
        self._error: BaseException | None = OperationError(
            f'the main thread of process {os.getpid()} left Connection.wait() before it came to '
            'this function'
        )
        self._done = _thread.allocate_lock()  # held until the job has run, or never will
        self._done.acquire()

    def run(self) -> None:
        """In the main thread."""
        _accept_interrupts()
        thread = context.thread
        outer = thread.call, thread.connection
        terminate = signal.getsignal(signal.SIGTERM)
        try:
            thread.call, thread.connection = self._call, self._connection
            check_cancelled()
            self._value = self._context.run(_call, self._work)
            self._error = None
        except BaseException as exc:
            self._error = exc
        finally:
            thread.call, thread.connection = outer
            self.refuse()
        current = signal.getsignal(signal.SIGTERM)
        if current is not terminate and _is_ours(current):
            raise SystemExit  # the process is being ended, whatever the function made of that

    def refuse(self) -> None:
        self._done.release()

    def result(self) -> Any:
        """Wait until the job has been run; what it returned, or what it raised."""
        while not self._done.acquire(timeout=LOOK_AGAIN):
            _start_reaper()
            if not main_loop.depth:
                break  # an exception of a signal handler has ended the wait with the job in hand
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._value
        finally:
            del error, self._value, self._work


def _call(work: Callable[[], Any]) -> Any:
    # A frame of its own: _interrupt() tells by it whether the function runs.
    return work()


def _accept_interrupts() -> None:
    """Have SIGINT raise KeyboardInterrupt in jobs, where it is ignored for the sake of the peer."""
    handler = signal.getsignal(signal.SIGINT)
    if _is_ours(handler) and handler is not _interrupt:
        signal.signal(signal.SIGINT, _interrupt)


def _is_ours(handler: Any) -> bool:
    """Whether a signal handler is one of this library."""
    return str(getattr(handler, '__module__', '')).startswith('across.')


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # Only amid a job: nothing outside of one is prepared for an exception.
    while frame is not None and frame.f_code is not Job.run.__code__:
        if frame.f_code is _call.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back


_reaper_started = False


def _start_reaper() -> None:
    """See to it that a function which does not end cannot keep a process that nobody needs."""
    global _reaper_started
    if main_loop.only_link is not None and not _reaper_started:
        _reaper_started = True
        threading.Thread(target=_reap, name='across-reaper', daemon=True).start()


def _reap() -> None:
    main_loop.only_link.wait_ended()
    time.sleep(LINGER_TIME)
    if main_loop.depth:
        os._exit(0)
