"""Threads in a given order: no test waits for an amount of time to bring one about."""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ['Background', 'ObservedLock', 'Sequencer', 'in_background']

T = TypeVar('T')


class Background(Generic[T]):
    """A function that runs in a thread of its own from now on."""

    def __init__(self, func: Callable[[], T]) -> None:
        self._func = func
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._func())
        except BaseException as exc:
            self._error = exc

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> T:
        """The function's result, or its exception raised."""
        self._thread.join(5 * SECOND)
        if self.running:
            raise TimeoutError(f'{self._func!r} does not return')
        if self._error is not None:
            raise self._error
        return self._result[0]


def in_background(func: Callable[[], T]) -> T:
    """Run a function in another thread, and wait for it: it must not depend on this one."""
    return Background(func).join()


class Sequencer:
    """Numbered steps, each taken by some thread, in their order."""

    def __init__(self) -> None:
        self._step = 0
        self._changed = threading.Condition()

    def take(self, step: int) -> None:
        """Wait until all earlier steps are taken, then take this one."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._step >= step, 5 * SECOND):
                raise TimeoutError(f'step {self._step} was not taken, {step} waits for it')
            self._step = max(self._step, step + 1)
            self._changed.notify_all()


class ObservedLock:
    """A lock that shows who waits for it, and lets a test act at its edges.

    Attributes:
        waiting: How many threads are blocked in :meth:`acquire`.
        before_release: Called, once each, before the coming releases.
    """

    def __init__(self, locked: bool = False) -> None:
        self._lock = _thread.allocate_lock()
        self.waiting = 0
        self.before_release: list[Callable[[], object]] = []
        if locked:
            self._lock.acquire()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(False):
            return True
        if not blocking:
            return False
        self.waiting += 1
        try:
            return self._lock.acquire(True, timeout)
        finally:
            self.waiting -= 1

    def release(self) -> None:
        if self.before_release:
            self.before_release.pop(0)()
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: Any) -> None:
        self.release()

    def wait_for_waiting(self, count: int = 1) -> None:
        """Wait until so many threads are blocked here."""
        wait_until(lambda: self.waiting >= count, f'{count} threads to block on the lock')
