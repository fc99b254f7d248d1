"""Service threads: they run what must not run in the thread that noticed it.

One cache for the whole process. A thread that ends its job goes to the idle list and is the first
to get the next job (last in, first out: its memory is warm, and those below it can end).

Layer: threads.
"""

from __future__ import annotations

import _thread
import threading

from ..interrupts import shield

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Callable

# Seconds after which an idle thread ends: longer than the pauses within a burst of calls.
IDLE_TIMEOUT = 5.0


class _Worker:
    __slots__ = ('job', 'wakeup')

    def __init__(self, job: Callable[[], object]) -> None:
        self.job: Callable[[], object] | None = job
        # What the idle thread sleeps on; released by whoever took the worker off the idle list.
        self.wakeup = _thread.allocate_lock()
        self.wakeup.acquire()


class ThreadCache:
    """Runs jobs, each in a thread of its own."""

    def __init__(self) -> None:
        # Both operations on it, append and pop, are atomic: it needs no lock.
        self._idle: list[_Worker] = []
        # Jobs that no thread could be had for; appended and popped like that, too.
        self._stranded: list[Callable[[], object]] = []

    def run(self, job: Callable[[], object]) -> None:
        """Run ``job()`` in a service thread, soon. It must not raise.

        Where no thread is to be had, it waits for one to become idle, or :meth:`retry`.

        Threads: any; never blocks. The thread ends by itself when idle for a while, or at
        :meth:`dismiss`.
        """
        with shield:  # neither a worker nor the job must be lost
            try:
                worker = self._idle.pop()
            except IndexError:
                worker = _Worker(job)
                try:
                    threading.Thread(
                        target=self._work, args=(worker,), name='across-service', daemon=True
                    ).start()
                except RuntimeError:  # the system gives none, or the interpreter is about to end
                    self._stranded.append(job)
            else:
                worker.job = job
                worker.wakeup.release()

    def retry(self) -> None:
        """Try again to find threads for the jobs that have none."""
        for _ in range(len(self._stranded)):
            try:
                job = self._stranded.pop(0)
            except IndexError:
                return  # an idle thread has taken the rest
            self.run(job)

    def run_stranded(self) -> None:
        """Run the jobs that no thread could be had for, in this one."""
        while self._stranded:
            try:
                job = self._stranded.pop(0)
            except IndexError:
                return
            job()

    def dismiss(self) -> None:
        """Let all idle threads end."""
        while self._idle:
            try:
                worker = self._idle.pop()
            except IndexError:
                return
            worker.job = None
            worker.wakeup.release()

    def _work(self, worker: _Worker) -> None:
        job = worker.job
        while job is not None:
            job()
            if self._stranded:
                self.run_stranded()
            job = worker.job = None  # an idle thread must keep no connection alive
            self._idle.append(worker)
            if not worker.wakeup.acquire(timeout=IDLE_TIMEOUT):
                try:
                    self._idle.remove(worker)
                except ValueError:
                    worker.wakeup.acquire()  # taken off the list this moment: a job is on its way
                else:
                    return
            job = worker.job

    def forget(self) -> None:
        """In a forked child: none of the threads exist any more."""
        self._idle.clear()
        self._stranded.clear()


service_threads = ThreadCache()
