"""The watchdog: one thread for the whole process that looks after all connections.

It finds a reader for a connection where nobody reads, sends heartbeats, notices silence, and sends
off what finalizers left behind. It never blocks on a peer, and runs no user code.

Where nothing is due for a while it doesn't look: ten thousand idle connections cost it no more than
their heartbeats.

Layer: threads.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections import deque
from heapq import heappop, heappush

from ..interrupts import owed, settle
from .cache import service_threads
from .context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Ward(Protocol):
        """What the watchdog looks after.

        Attributes:
            resting: The watchdog doesn't look before the time that `patience` told, and wants to
                be told when something comes up, see :meth:`Watchdog.rouse`. Written by it only.
        """

        resting: bool

        def tick(self, now: float) -> None:
            """Do what is due; must neither block nor raise."""

        def patience(self) -> float:
            """For how long (seconds) nothing will be due; 0: come back after a `TICK`."""


# While a baton is free: how long (seconds) a handler may delay the frames behind its own.
TICK = 0.005
# Otherwise: how late (seconds) references that were dropped are reported at most.
DOZE = 0.5
# What is due comes up to this late (seconds), so that many of them come together.
GATHER = 0.02


class Watchdog:
    """Calls each ward's ``tick`` when that is due, from a thread that ends with the last ward."""

    def __init__(self) -> None:
        self._mutex = _thread.allocate_lock()  # guards `_wards`, `_due` and `_thread`
        # All of them. One that rests has an entry in `_due`: when, a number to sort by, the ward;
        # which is None once the entry is void.
        self._wards: dict[Ward, list[Any] | None] = {}
        self._thread: threading.Thread | None = None
        # Those whose rest is over; append and popleft are atomic.
        self._roused: deque[Ward] = deque()
        # What the thread sleeps on; released at most once while it is held.
        self._wakeup = _thread.allocate_lock()
        self._wakeup.acquire()
        #: The thread sleeps for longer than a `TICK`.
        self.dozing = False
        self._due: list[list[Any]] = []  # a heap
        self._count = 0
        self._active: dict[Ward, None] = {}  # looked at with every tick; belongs to the thread

    def add(self, ward: Ward, pause: float = 0.0) -> None:
        """Look after a ward from now on.

        Args:
            pause: For how long (seconds) nothing will be due. Then the thread is not woken for it,
                so this is 0 or at least `DOZE`.
        """
        with self._mutex:
            self._wards[ward] = None
            if pause:
                ward.resting = True
                self._rest_locked(ward, time.monotonic() + pause)
            else:
                self._roused.append(ward)
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name='across-watchdog', daemon=True)
                try:
                    thread.start()
                except BaseException:
                    del self._wards[ward]
                    raise
                self._thread = thread
        if not pause:
            self.wake()

    def _rest_locked(self, ward: Ward, until: float) -> None:
        self._count += 1
        entry = self._wards[ward] = [until, self._count, ward]
        heappush(self._due, entry)

    def remove(self, ward: Ward) -> None:
        with self._mutex:
            entry = self._wards.pop(ward, None)
            if entry is not None:
                entry[2] = None  # keep no connection alive until then
            last = not self._wards
        if last:
            self.wake()

    def rouse(self, ward: Ward) -> None:
        """Look after a ward that rests. Takes no lock, as signal handlers call it, too."""
        if ward.resting:
            ward.resting = False
            self._roused.append(ward)
            if self.dozing:
                self.wake()

    def wake(self) -> None:
        """End a doze. Cheap, and without effect, while the thread ticks anyway."""
        self.dozing = False
        try:
            self._wakeup.release()
        except RuntimeError:
            pass  # somebody else woke it already

    def forget(self) -> None:
        """In a forked child: the thread does not exist any more, nor do the connections live."""
        self.__init__()  # type: ignore[misc]

    def _watch(self) -> None:
        context.thread.critical = True
        while True:
            with self._mutex:
                if not self._wards:
                    self._thread = None
                    self._active.clear()
                    self._due.clear()
                    self._roused.clear()
                    return
                now = time.monotonic()
                self._gather_locked(now)
                wards = list(self._active)
            for ward in wards:
                ward.tick(now)
            service_threads.retry()
            if owed:
                service_threads.run(settle)
            if wards:
                self._let_rest(now, wards)
                del wards, ward  # keep no connection alive while asleep
            self._sleep()

    def _gather_locked(self, now: float) -> None:
        """Take those that were roused, and those that are due, to the active ones."""
        for ward in [each for each in self._active if each not in self._wards]:
            del self._active[ward]
        while self._roused:
            ward = self._roused.popleft()
            if ward in self._wards:
                entry = self._wards[ward]
                if entry is not None:
                    entry[2] = self._wards[ward] = None
                self._active[ward] = None
        while self._due and self._due[0][0] <= now:
            ward = heappop(self._due)[2]
            if ward is not None:
                ward.resting = False
                self._wards[ward] = None
                self._active[ward] = None

    def _let_rest(self, now: float, wards: list[Ward]) -> None:
        for ward in wards:
            # First say so, then look: who leaves something to do does it the other way round.
            ward.resting = True
            pause = ward.patience()
            if pause < TICK:
                ward.resting = False
                continue
            del self._active[ward]
            with self._mutex:
                if ward in self._wards:
                    self._rest_locked(ward, now + pause)

    def _sleep(self) -> None:
        pause = TICK
        if not self._active:
            pause = DOZE
            if self._due:
                pause = min(max(self._due[0][0] - time.monotonic(), GATHER), DOZE)
            self.dozing = True
            if self._roused:  # by somebody who didn't see that
                self.dozing = False
                return
        self._wakeup.acquire(timeout=pause)
        self.dozing = False


watchdog = Watchdog()
