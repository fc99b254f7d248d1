"""The pulse of a link: heartbeats, silence, and whatever else the watchdog looks after.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

from .threads.watchdog import DOZE
from .wire.frames import IDLE, encode

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .link import Link

# How many heartbeats fit into the timeout: the silence of a peer whose interpreter lock is held for
# most of the timeout must not be taken for death.
HEARTBEATS = 10


class Pulse:
    """A :class:`.threads.watchdog.Ward`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._interval: float | None = None  # seconds between heartbeats; None: none are due
        self._changes = self._reads = -1  # what the link's counters showed at the last tick
        self._restless = True
        self._silence = 0.0  # seconds without a byte from the peer
        self._last_tick = self._last_beat = 0.0

    def begin(self, now: float) -> None:
        """The link is open."""
        link = self._link
        timeouts = [link.options.timeout, link.peer.timeout if link.peer else None]
        limits = [timeout for timeout in timeouts if timeout is not None]
        self._last_tick = self._last_beat = now
        self._interval = min(limits) / HEARTBEATS if limits else None

    def patience(self) -> float:
        link = self._link
        if not link.is_up:
            return DOZE
        if self._restless or link.reader.baton.free or link.sender.outbox.pending:
            return 0.0
        return DOZE if self._interval is None else min(self._interval / 2, DOZE)

    def tick(self, now: float) -> None:
        link = self._link
        if link.cancel_reason is not None:
            link.end_cancelled()
        if not link.is_up:
            self._restless = False
            return
        baton = link.reader.baton
        changes = baton.changes
        self._restless = changes != self._changes
        self._changes = changes
        if baton.free and (not self._restless or not link.handlers.busy):
            link.reader.look(stuck=not self._restless)
            self._changes = baton.changes
        if self._interval is not None:
            self._check_silence(now)
            if now - self._last_beat >= self._interval:
                self._last_beat = now
                link.sender.try_send(encode(IDLE))
        if link.imports.dropped:
            link.sender.try_send_releases()
        if link.streams is not None and link.streams.dropped:
            link.streams.close_dropped()
        if link.sender.outbox.pending:
            link.sender.try_flush()

    def _check_silence(self, now: float) -> None:
        link = self._link
        elapsed, self._last_tick = now - self._last_tick, now
        timeout = link.options.timeout
        if timeout is None:
            return
        if link.reader.reads != self._reads:
            self._reads = link.reader.reads
            self._silence = 0.0
            return
        # That this process itself was stopped, or busy in C code, says nothing about the peer.
        self._silence += min(elapsed, timeout / HEARTBEATS)
        if self._silence >= timeout:
            link.fail(f'the peer was silent for {timeout:g} s')
