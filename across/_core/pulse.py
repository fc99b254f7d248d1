"""The pulse of a link: heartbeats, silence, and whatever else the watchdog looks after.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

from .states import UP
from .threads.watchdog import DOZE, watchdog
from .wire.frames import IDLE, encode

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .link import Link

# How many heartbeats fit into the timeout: the silence of a peer whose interpreter lock is held for
# most of the timeout must not be taken for death.
HEARTBEATS = 10
# Of a connection that has no thread: how long (seconds) it may be left alone, whatever is due.
LONGEST_REST = 5.0


class Pulse:
    """A :class:`.threads.watchdog.Ward`."""

    __slots__ = (
        '_changes',
        '_interval',
        '_last_beat',
        '_last_tick',
        '_link',
        '_reads',
        '_restless',
        '_silence',
        'resting',
    )

    def __init__(self, link: Link) -> None:
        self._link = link
        self.resting = False
        self._interval: float | None = None  # seconds between heartbeats; None: none are due
        self._changes = self._reads = -1  # what the link's counters showed at the last tick
        self._restless = True  # somebody has read since the last tick
        self._silence = 0.0  # seconds without a byte from the peer
        self._last_tick = self._last_beat = 0.0

    def begin(self, now: float) -> None:
        """The link is open."""
        link = self._link
        ours, theirs = link.options.timeout, link.peer.timeout if link.peer else None
        self._last_tick = self._last_beat = now
        limit = ours if theirs is None else theirs if ours is None else min(ours, theirs)
        self._interval = None if limit is None else limit / HEARTBEATS

    def announce(self) -> None:
        """The link is open now: heartbeats may have to begin before the watchdog would look."""
        if self._interval is not None and self._interval < LONGEST_REST:
            watchdog.rouse(self)

    def patience(self) -> float:
        link = self._link
        if link.state not in UP:
            return 0.0 if link.is_to_end else DOZE if link.opening else LONGEST_REST
        parked = self._is_parked
        if (
            link.is_to_end
            or (not parked and (self._restless or link.reader.baton.free))
            or link.sender.outbox.pending
        ):
            return 0.0
        # What finalizers leave behind they can't tell.
        limit = LONGEST_REST if parked and not link.imports and link.streams is None else DOZE
        if self._interval is None:
            return limit
        limit = min(limit, self._last_beat + self._interval - self._last_tick)
        timeout = link.options.timeout
        return limit if timeout is None else min(limit, timeout - self._silence)

    @property
    def _is_parked(self) -> bool:
        idle = self._link.reader.idle
        # What an interrupted thread has received wakes nobody.
        return idle is not None and idle.parked and not self._link.transport.received

    def tick(self, now: float) -> None:
        link = self._link
        if link.cancel_reason is not None:
            link.end_cancelled()
        if link.state not in UP:
            self._restless = False
            return
        baton = link.reader.baton
        changes = baton.changes
        self._restless = changes != self._changes
        self._changes = changes
        if baton.free and not self._is_parked and (not self._restless or not link.handlers.busy):
            link.reader.look(stuck=not self._restless)
            self._changes = baton.changes
        elapsed, self._last_tick = now - self._last_tick, now
        if self._interval is not None:
            self._check_silence(now, elapsed)
            if now - self._last_beat >= self._interval:
                self._last_beat = now
                if link.is_up:  # else we have said goodbye, the last thing to say
                    link.sender.try_send(encode(IDLE))
        if link.imports.dropped and link.is_up:
            link.sender.try_send_releases()
        if link.streams is not None and link.streams.dropped and link.is_up:
            link.streams.close_dropped()
        if link.sender.outbox.pending:
            link.sender.try_flush()

    def _check_silence(self, now: float, elapsed: float) -> None:
        link = self._link
        timeout = link.options.timeout
        if timeout is None:
            return
        if link.reader.reads != self._reads:
            self._reads = link.reader.reads
            self._silence = 0.0
            if link.reader.idle is not None and link.reader.idle.heard[0] == self._reads:
                self._silence = now - link.reader.idle.heard[1]
            return
        # That this process itself was stopped, or busy in C code, says nothing about the peer.
        self._silence += min(elapsed, timeout / HEARTBEATS)
        if self._silence >= timeout:
            link.fail(f'the peer was silent for {timeout:g} s')
