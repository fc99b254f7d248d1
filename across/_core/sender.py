"""The sending side of a connection.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

from _thread import get_ident
from time import monotonic

from .errors import DisconnectError, sentence
from .interrupts import came_from_handler, shield
from .states import OPEN
from .threads.cache import service_threads
from .threads.outbox import Outbox
from .threads.watchdog import watchdog
from .transports.base import Cancelled
from .wire import frames as wire
from .wire.frames import encode

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn, Sequence

    from .link import Link


# What is larger (bytes) is not worth gathering.
_SMALL = 1 << 12

# Beyond how many unanswered calls frames may be gathered: the side that has so many to work off
# waits for nothing.
_MANY = 32
# For how long (seconds) at most. Each write lets other threads take the interpreter lock, and then
# has to wait for them.
_GATHERING = 0.003


class Sender:
    """Sends for one link, from any thread."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._dropped = link.imports.dropped
        self.outbox = Outbox(link.transport)
        # When a frame was written that might have been gathered. Threads that get in each other's
        # way here do no harm: a frame leaves a little earlier or later.
        self._last_write = 0.0
        self._flusher_comes = False  # a service thread is on its way to them

    def send(self, frame: Any, may_block: bool = True) -> None:
        """Send a frame, or see to it that it will be sent.

        Raises:
            DisconnectError: The link has ended, or ends here.
        """
        try:
            if self._dropped:
                self._send_releases(may_block)
            self.outbox.put(frame, may_block)
        except (Cancelled, OSError) as exc:
            self._end_for(exc)

    def send_taken(self, take: Callable[[], Any], may_block: bool) -> None:
        """Send what ``take()`` takes from where it was: no signal may come in between.

        Raises:
            DisconnectError: The link has ended, or ends here.
        """
        if get_ident() != shield.thread:
            self.send(take(), may_block)
            return
        with shield:
            self.outbox.add(take())
        try:
            self.outbox.flush(may_block)
        except (Cancelled, OSError) as exc:
            self._end_for(exc)

    def _end_for(self, exc: BaseException) -> NoReturn:
        link = self._link
        if isinstance(exc, Cancelled):
            link.fail(link.cancel_reason or 'the connection was cancelled')
            raise link.disconnected() from None
        if came_from_handler(exc):
            raise exc
        link.fail(f'{link.transport.ending()} ({sentence(exc)})', exc)
        raise link.disconnected() from exc

    def send_soon(self, frame: Any, unanswered: int) -> None:
        """Send a frame; one system call for many small ones, where many calls are in flight.

        What is gathered leaves after a moment, when a frame is sent in another way, or when a
        service thread comes to it: so as soon as this thread waits for anything.

        Args:
            unanswered: How many calls are.

        Raises:
            DisconnectError: The link has ended, or ends here.
        """
        if type(frame) is not bytes or len(frame) > _SMALL:
            self.send(frame)
            return
        now = monotonic()
        if unanswered <= _MANY or now - self._last_write > _GATHERING:
            self._last_write = now
            self.send(frame)
            return
        self.outbox.add(frame)
        if not self._flusher_comes:
            try:
                self._flusher_comes = True
                service_threads.run(self._flush)
            except BaseException:  # Ctrl-C
                self._flusher_comes = False  # two of them do no harm
                raise

    def _flush(self) -> None:
        self._flusher_comes = False
        self.try_flush(may_block=True)

    def try_send(self, frame: Any) -> None:
        """Send without waiting, as the reader and the watchdog must; a broken link is no news."""
        try:
            self.send(frame, may_block=False)
        except DisconnectError:
            return
        self._leave_rest()

    def try_send_releases(self) -> None:
        try:
            self._send_releases(may_block=False)
        except (OSError, Cancelled):
            pass  # the reader finds out, too

    def try_flush(self, may_block: bool = False) -> None:
        try:
            self.outbox.flush(may_block)
        except (OSError, Cancelled):
            return
        self._leave_rest()

    def _leave_rest(self) -> None:
        """What could not be written now the watchdog has to see to, if nobody else comes."""
        if self.outbox.pending:
            watchdog.rouse(self._link.pulse)

    def reply(self, frame: Any, exported: Sequence[int] = (), unanswered: int = 0) -> None:
        """Send the answer to a call of the peer; a link that ended meanwhile is no news.

        Args:
            exported: Ids of our objects that it refers to.
            unanswered: How many other answers will follow soon.
        """
        try:
            if self._link.state == OPEN:
                if unanswered:
                    self.send_soon(frame, unanswered)
                else:
                    self.send(frame)
                return
        except DisconnectError:
            pass
        self._link.payloads.drop_exports(exported)

    def _send_releases(self, may_block: bool) -> None:
        pairs = self._link.imports.take_dropped()
        payload = b''.join(wire.NUMBER.pack(number) for pair in pairs for number in pair)
        self.outbox.put(encode(wire.RELEASE, 0, 0, payload), may_block)
