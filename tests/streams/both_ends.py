"""A stream of which the test has both ends: the far one arrives in this very process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from across import Stream
    from support.peers import Pair

ARRIVED: list[Stream] = []


def keep(stream: Stream) -> None:
    """Runs over there, which is here."""
    ARRIVED.append(stream)


class BothEnds:
    def __init__(self, pair: Pair) -> None:
        self.near = pair.near.open_stream()
        pair.near.call(keep, self.near)
        self.far = ARRIVED.pop()
