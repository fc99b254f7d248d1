"""The order in which pieces of code were sent, kept by threads that came to them in any order.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import threading

__all__ = ['Turns']

# Seconds to wait for a piece of code that was sent earlier and is not there: its call was refused,
# or its thread has not come to it yet.
_ARRIVAL_TIME = 1.0


class Turns:
    """Lets one after the other go on, by numbers from 0 on; each is begun once, and ended once."""

    def __init__(self) -> None:
        # Guards what follows, and tells of changes.
        self._changed = threading.Condition()
        self._present: set[int] = set()  # begun and not ended
        self._next = 0  # all before it have begun, or never will
        self._ahead: set[int] = set()  # begun, and not before that one

    def begin(self, turn: int) -> None:
        """Take part."""
        with self._changed:
            self._present.add(turn)
            if turn >= self._next:
                self._ahead.add(turn)
            self._advance()

    def _advance(self) -> None:
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1
        self._changed.notify_all()

    def wait(self, turn: int) -> None:
        """Wait until all that come before have ended."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._next > turn, _ARRIVAL_TIME):
                self._next = max(self._next, turn)
                self._advance()
            self._changed.wait_for(lambda: min(self._present) == turn)

    def end(self, turn: int) -> None:
        """Let the next go on; a second time does nothing."""
        with self._changed:
            self._present.discard(turn)
            self._changed.notify_all()
