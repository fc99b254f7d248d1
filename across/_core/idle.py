"""A connection that is idle: it has no thread, the parking thread waits for its next byte.

Layer: just below :mod:`.link`. Not needed by a peer on its standard streams, which never parks.
"""

from __future__ import annotations

import time

from .states import UP
from .threads.cache import service_threads
from .threads.parking import parking_lot
from .threads.watchdog import watchdog
from .transports.base import Cancelled
from .wire.frames import IDLE

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .link import Link
    from .wire.frames import Frame


class Idle:
    """The idleness of one link: a guest of the :mod:`.threads.parking` lot."""

    __slots__ = ('_link', 'heard', 'left', 'parked')

    def __init__(self, link: Link) -> None:
        self._link = link
        self.parked = self.left = False
        # What `reads` of the reader was when bytes came in last while parked, and when (monotonic).
        self.heard = -1, 0.0

    def park(self, nothing_came: bool = False) -> bool:
        """As the holder of the baton: leave it to nobody; False if that can't be now.

        Args:
            nothing_came: The transport was asked just now whether there is more.
        """
        link = self._link
        reader, outbox = link.reader, link.sender.outbox
        fd = link.transport.fileno()
        if (
            fd < 0
            or link.state not in UP
            or not reader.decoder.is_between_frames
            or outbox.backlog
            or outbox.rest
            or not (nothing_came or self._is_quiet())
        ):
            return False
        reader.decoder.shrink()
        reader.baton.put_down()
        # From here on anybody may read, or even close the connection.
        return parking_lot.park(self, fd) or not reader.baton.try_take()

    def _is_quiet(self) -> bool:
        """Whether nothing is there yet; nor in the transport, of which the descriptor tells not."""
        try:
            return not self._link.transport.wait_readable(0.0)
        except Cancelled:
            return False

    def unpark(self) -> None:
        """Somebody reads: the watchdog has to look after what that one leaves."""
        parking_lot.unpark(self)
        watchdog.rouse(self._link.pulse)

    def leave(self) -> None:
        """Before the transport is closed, as the holder of the baton."""
        parking_lot.leave(self)

    def on_readable(self) -> None:
        """Read, in the parking thread: a heartbeat wakes no other one."""
        link = self._link
        if not link.reader.baton.try_take():
            watchdog.rouse(link.pulse)  # somebody reads, and may leave it to nobody
            return
        received: list[Frame] | None = None
        try:
            if not link.transport.received:  # else a thread was interrupted, and has left that
                count = link.transport.receive_into(link.reader.decoder.buffer)
                if count > 0:
                    link.reader.reads += 1
                    self.heard = link.reader.reads, time.monotonic()
                    received = link.reader.decode(count)
                    link.transport.received = []
                quiet = count != 0 and all(frame.kind == IDLE for frame in received or ())
                if quiet and self.park():
                    return
        except (OSError, Cancelled):
            pass  # who reads next finds out, too
        watchdog.rouse(link.pulse)
        service_threads.run(lambda: link.reader.serve(received))
