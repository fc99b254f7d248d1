"""What does a call that does nothing cost: processor time, and context switches of each side?"""

from __future__ import annotations

from . import targets
from .placement import SAME
from .rows import Goal, Question, Row, Settings, time_calls
from .sides import connected

WARM_UP = 200


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """The cost of one call over TCP, the mean of many."""
    with connected(side, 'tcp', processor) as peer:
        for _ in range(WARM_UP):
            peer.call(targets.noop)
        there, here = peer.call(targets.usage), targets.usage()
        count = len(time_calls(settings.seconds, peer.call, targets.noop))
        here_after, there_after = targets.usage(), peer.call(targets.usage)
    seconds = here_after[0] - here[0] + there_after[0] - there[0]
    return {
        'processor': seconds / count * 1e6,
        'client': (here_after[1] - here[1]) / count,
        'server': (there_after[1] - there[1]) / count,
    }


# One switch, and the few that other processes cause.
ONE_SWITCH = Goal(1.1, of_ratio=False)

QUESTION = Question(
    'cost',
    (
        Row(
            'processor',
            'processor time of a no-op call, both sides, µs',
            SAME,
            Goal(42, of_ratio=False),
        ),
        Row('client', 'context switches of a no-op call, caller', SAME, ONE_SWITCH),
        Row('server', 'context switches of a no-op call, called side', SAME, ONE_SWITCH),
    ),
    sample,
)
