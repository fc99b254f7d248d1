"""How long does it take to connect to a server that has others connected, one after the other?"""

from __future__ import annotations

from . import targets
from .placement import SAME
from .rows import Goal, Question, Row, Settings, median_time
from .sides import ACROSS, FLOOR, served


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """The median in ms; none is closed meanwhile."""
    with served(side, 'tcp', processor) as server:
        server.connect().call(targets.noop)
        if side == ACROSS:
            connect = server.connect
            return {'accept': median_time(settings.seconds, connect) * 1e3}

        def connect_and_ask() -> None:
            server.connect().call(targets.noop)  # a round trip, as the handshake is one

        return {'accept': median_time(settings.seconds, connect_and_ask) * 1e3}


QUESTION = Question(
    'accept',
    (Row('accept', 'connection accepted, hands shaken, ms', SAME, Goal(0.4, of_ratio=False)),),
    sample,
    (FLOOR, ACROSS),
)
