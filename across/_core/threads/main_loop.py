"""What the main thread does while it waits for the end of a connection: it runs jobs.

Some code works in the main thread only, and calls of a peer run in service threads.

Layer: threads. Knows nothing of calls; the jobs are made by :mod:`..main_thread`.
"""

from __future__ import annotations

import _thread
from collections import deque

from ..interrupts import SIGNAL_PAUSE

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable


class MainLoop:
    """Jobs for the main thread, which come one at a time and in order."""

    def __init__(self) -> None:
        self._mutex = _thread.allocate_lock()  # guards `depth`, and adding jobs
        #: How many blocks of the main thread accept jobs; one that a job waits in counts again.
        self.depth = 0
        self._jobs: deque[Any] = deque()
        # What the main thread sleeps on; released at most once while it is held.
        self._wakeup = _thread.allocate_lock()
        self._wakeup.acquire()
        #: The link that this process is there for, if it is there for nothing else.
        self.only_link: Any = None

    def __enter__(self) -> None:
        """Accept jobs from now on, which the block will run in :meth:`wait`."""
        with self._mutex:
            self.depth += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._mutex:
            self.depth -= 1
        while not self.depth and self._jobs:
            self._jobs.popleft().refuse()

    def add(self, job: Any) -> bool:
        """Have the main thread call ``job.run()``, or ``job.refuse()`` should it leave before.

        Returns:
            False if it accepts no jobs.
        """
        with self._mutex:
            if not self.depth:
                return False
            self._jobs.append(job)
        self.wake()
        return True

    def wait(self, ended: Callable[[], bool]) -> None:
        """Run jobs until something has happened, which who makes it happen tells by :meth:`wake`.

        Threads: the main thread.
        """
        with self:
            while not ended():
                if self._jobs:
                    self._jobs.popleft().run()
                else:
                    self._wakeup.acquire(timeout=SIGNAL_PAUSE)

    def wake(self) -> None:
        if self.depth:
            try:
                self._wakeup.release()
            except RuntimeError:
                pass  # somebody else woke it already

    def forget(self) -> None:
        """In a forked child: its main thread is another one."""
        self.__init__()  # type: ignore[misc]


main_loop = MainLoop()
