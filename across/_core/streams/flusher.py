"""Sends off items that wait for company, when none comes.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

import os
import time
from collections import deque

from ..threads.cache import service_threads
from ..threads.context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .outlet import Outlet

# How long (seconds) an item waits for others at most, while its stream lets other threads run.
TICK = 0.001
# After so many ticks without anything to do its thread is given back.
PATIENCE = 50


class Flusher:
    """Looks after the outlets of all connections, in a service thread while there are any."""

    def __init__(self) -> None:
        self._outlets: deque[Outlet] = deque()  # append and popleft are atomic
        self._runs = False

    def soon(self, outlet: Outlet) -> None:
        """Have an outlet flushed within about a tick. Never blocks."""
        self._outlets.append(outlet)
        if not self._runs:
            self._start()

    def _start(self) -> None:
        self._runs = True
        try:
            service_threads.run(self._run)
        except BaseException:  # Ctrl-C
            self._runs = False  # two of them do no harm
            raise

    def _run(self) -> None:
        thread = context.thread
        thread.critical = True
        patience = PATIENCE
        while patience:
            time.sleep(TICK)
            patience -= 1
            # Those that come meanwhile get their whole tick.
            for _ in range(len(self._outlets)):
                patience = PATIENCE
                try:
                    outlet = self._outlets.popleft()
                except IndexError:
                    break
                outlet.flush_late()
                del outlet  # keep no connection alive while asleep
        thread.critical = False
        self._runs = False
        if self._outlets and not self._runs:  # it came at the last moment
            self._start()

    def forget(self) -> None:
        """In a forked child: the thread does not exist here."""
        self.__init__()  # type: ignore[misc]


flusher = Flusher()
os.register_at_fork(after_in_child=flusher.forget)
