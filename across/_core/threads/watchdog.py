"""The watchdog: one thread for the whole process that looks after all connections.

It finds a reader for a connection where nobody reads, sends heartbeats, notices silence, and sends
off what finalizers left behind. It never blocks on a peer, and runs no user code.

Layer: threads.
"""

from __future__ import annotations

import _thread
import threading
import time

from .cache import service_threads
from .context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Protocol

    class Ward(Protocol):
        """What the watchdog looks after."""

        def tick(self, now: float) -> None:
            """Do what is due; must neither block nor raise."""

        def patience(self) -> float:
            """For how long (seconds) nothing will be due; 0: come back after a `TICK`."""


# While a baton is free: how long (seconds) a handler may delay the frames behind its own.
TICK = 0.005
# Otherwise: how late (seconds) references that were dropped are reported at most.
DOZE = 0.5


class Watchdog:
    """Calls each ward's ``tick`` in turn, from a thread that ends with the last ward."""

    def __init__(self) -> None:
        self._mutex = _thread.allocate_lock()  # guards `_wards` and `_thread`
        self._wards: dict[Ward, None] = {}
        self._thread: threading.Thread | None = None
        # What the thread sleeps on; released at most once while it is held.
        self._wakeup = _thread.allocate_lock()
        self._wakeup.acquire()
        #: The thread sleeps for long, and wants to be told when a baton is left free.
        self.dozing = False

    def add(self, ward: Ward) -> None:
        with self._mutex:
            self._wards[ward] = None
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name='across-watchdog', daemon=True)
                try:
                    thread.start()
                except BaseException:
                    del self._wards[ward]
                    raise
                self._thread = thread
        self.wake()

    def remove(self, ward: Ward) -> None:
        with self._mutex:
            self._wards.pop(ward, None)
            last = not self._wards
        if last:
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
        context.critical = True
        while True:
            with self._mutex:
                wards = list(self._wards)
                if not wards:
                    self._thread = None
                    return
            now = time.monotonic()
            for ward in wards:
                ward.tick(now)
            service_threads.retry()
            # First say that we doze, then look: who frees a baton does it the other way round.
            self.dozing = True
            pause = min(ward.patience() for ward in wards)
            if pause < TICK:
                self.dozing = False
                pause = TICK
            del wards, ward  # keep no connection alive while asleep
            self._wakeup.acquire(timeout=min(pause, DOZE))
            self.dozing = False


watchdog = Watchdog()
