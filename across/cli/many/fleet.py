"""Who works on which host, and when to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from across.cli.arguments import WIDTH
from across.cli.hosts import Host, each_once
from across.cli.interrupts import INTERRUPTED, Events

from .job import FAILED, Job, Task
from .output import Output, standard_descriptors
from .report import names
from .streams import Streams, collected_errors

if TYPE_CHECKING:
    from .display import Display

# Seconds between two drawings of the display.
TICK = 0.1
# Seconds that interrupted code gets for what it has to clean up, before its process is ended.
PATIENCE = 5.0


class Fleet:
    """Does a task on many hosts; the main thread waits and decides, workers do it.

    Attributes:
        jobs: One for each host.
        interrupted: Whether that was by Ctrl-C.
        output: What they print.
    """

    def __init__(
        self, hosts: list[Host], task: Task, *, width: int | None, fail_fast: bool
    ) -> None:
        self.jobs = [Job(host) for host in each_once(hosts)]
        self.interrupted = False
        self._task = task
        self._fail_fast = fail_fast
        self._queue = deque(self.jobs)
        self._width = min(width or WIDTH, len(self.jobs))
        self._events = Events()
        self._mutex = threading.Lock()  # guards what follows
        self._stopped = False  # no job begins any more
        self._workers = 0  # that have not ended

    def run(self) -> None:
        """Do it all; returns when no host is at work any more."""
        descriptors = standard_descriptors()
        with ExitStack() as stack:
            if 'stderr' in descriptors:
                # The one that children inherit will be a pipe.
                descriptors['stderr'] = os.dup(2)
                stack.callback(os.close, descriptors['stderr'])
            self.output = Output(descriptors, self._events.tell_done)
            streams = Streams(self.output)
            stack.enter_context(collected_errors(self.output))
            stack.enter_context(streams.replaced())
            stack.enter_context(self._events.watched(signal.SIGINT))
            display = _make_display(self.jobs, descriptors)
            stack.callback(self.output.hide)
            threads = [
                threading.Thread(target=self._work, args=(streams,), daemon=True)
                for _ in range(self._width)
            ]
            self._workers = len(threads)
            for thread in threads:
                thread.start()
            self._wait(display)
            for thread in threads:
                thread.join()

    # ------------------------------------------------------------------------------- workers

    def _work(self, streams: Streams) -> None:
        """What a worker does; it ends when there are no jobs left to begin."""
        try:
            while True:
                job = self._next()
                if job is None:
                    return
                job.run(self._task, streams)
                self.output.end(job.host.label)
                if job.state == FAILED and self._fail_fast:
                    with self._mutex:
                        self._stopped = True
                self._events.tell_done()
        finally:
            with self._mutex:
                self._workers -= 1
            self._events.tell_done()

    def _next(self) -> Job | None:
        with self._mutex:
            return None if self._stopped or not self._queue else self._queue.popleft()

    # -------------------------------------------------------------------------- the main thread

    def _wait(self, display: Display | None) -> None:
        deadline: float | None = None  # of those that were interrupted
        while self._workers:
            if display is not None:
                self.output.show(display)
            pause = None if display is None else TICK
            if deadline is not None:
                pause = min(pause or PATIENCE, max(0, deadline - time.monotonic()))
            event = self._events.wait(pause)
            if event == INTERRUPTED:
                self._say_interrupted()
            if self.output.broken or (event == INTERRUPTED and deadline is not None):
                deadline = time.monotonic()
            elif deadline is None and (event == INTERRUPTED or self._stopped):
                deadline = time.monotonic() + PATIENCE
                self._stop()
            if deadline is not None and time.monotonic() >= deadline:
                self._cancel()
                deadline = time.monotonic() + PATIENCE

    def _say_interrupted(self) -> None:
        if not self.interrupted:
            self.interrupted = True
            running = names([job for job in self.jobs if job.at_work])
            text = f'across: interrupted; Ctrl-C once more ends at once; at work: {running}\n'
            self.output.write('', 'stderr', text.encode('utf-8', 'surrogateescape'))

    def _stop(self) -> None:
        with self._mutex:
            self._stopped = True
        for job in self.jobs:
            if job.at_work:
                job.interrupt()

    def _cancel(self) -> None:
        with self._mutex:
            self._stopped = True
        for job in self.jobs:
            if job.at_work:
                job.cancel()


def _make_display(jobs: list[Job], descriptors: dict[str, int]) -> Display | None:
    """The display, if there is a terminal for it."""
    if 'stderr' not in descriptors or not os.isatty(descriptors['stderr']):
        return None
    from .display import make_display

    return make_display(jobs, descriptors)
