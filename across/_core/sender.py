"""The sending side of a connection.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

from .errors import DisconnectError, sentence
from .states import OPEN
from .threads.outbox import Outbox
from .transports.base import Cancelled
from .wire import frames as wire
from .wire.frames import encode

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Sequence

    from .link import Link


class Sender:
    """Sends for one link, from any thread."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._dropped = link.imports.dropped
        self.outbox = Outbox(link.transport)

    def send(self, frame: Any, may_block: bool = True, flushed: bool = False) -> None:
        """Send a frame, or see to it that it will be sent.

        Raises:
            DisconnectError: The link has ended, or ends here.
        """
        try:
            if self._dropped:
                self._send_releases(may_block)
            self.outbox.put(frame, may_block, flushed)
        except Cancelled:
            self._link.fail(self._link.cancel_reason or 'the connection was cancelled')
            raise self._link.disconnected() from None
        except OSError as exc:
            self._link.fail(f'{self._link.transport.ending()} ({sentence(exc)})', exc)
            raise self._link.disconnected() from exc

    def try_send(self, frame: Any) -> None:
        """Send without waiting, as the reader and the watchdog must; a broken link is no news."""
        try:
            self.send(frame, may_block=False)
        except DisconnectError:
            pass

    def try_send_releases(self) -> None:
        try:
            self._send_releases(may_block=False)
        except (OSError, Cancelled):
            pass  # the reader finds out, too

    def try_flush(self) -> None:
        try:
            self.outbox.flush()
        except (OSError, Cancelled):
            pass

    def reply(self, frame: Any, exported: Sequence[int] = ()) -> None:
        """Send the answer to a call of the peer; a link that ended meanwhile is no news.

        Args:
            exported: Ids of our objects that it refers to.
        """
        try:
            if self._link.state == OPEN:
                self.send(frame, True, type(frame) is list)
                return
        except DisconnectError:
            pass
        self._link.payloads.drop_exports(exported)

    def _send_releases(self, may_block: bool) -> None:
        pairs = self._link.imports.take_dropped()
        payload = b''.join(wire.NUMBER.pack(number) for pair in pairs for number in pair)
        self.outbox.put(encode(wire.RELEASE, 0, 0, payload), may_block)
