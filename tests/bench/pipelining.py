"""How many calls a second does one thread begin when it does not wait for each result?"""

from __future__ import annotations

import time

from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings
from .sides import connected

WARM_UP = 100


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """Thousands of calls a second over TCP, from the first one begun to the last one answered."""
    with connected(side, 'tcp', processor) as peer:
        peer.pipeline(WARM_UP)
        start = time.perf_counter()
        peer.pipeline(settings.calls)
        return {'calls': settings.calls / (time.perf_counter() - start) / 1e3}


QUESTION = Question(
    'pipelining',
    (
        Row(
            'calls',
            'submit of 10,000 no-ops, then all results, thousands/s',
            ANYWHERE,
            Goal(60, is_minimum=True, of_ratio=False),
        ),
    ),
    sample,
)
