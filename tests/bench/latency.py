"""How long does a call take that does nothing, one after the other from one thread?"""

from __future__ import annotations

from . import targets
from .placement import DIFFERENT, SAME
from .rows import Goal, Question, Row, Settings, time_calls
from .sides import TRANSPORTS, connected

WARM_UP = 50
NAMES = {'tcp': 'TCP', 'unix': 'Unix socket', 'pipe': 'pipes to a child'}
GOALS = {
    (SAME, 'tcp'): Goal(2.2),
    (SAME, 'unix'): Goal(2.4),
    (SAME, 'pipe'): Goal(3.4),
    (DIFFERENT, 'tcp'): Goal(1.4),
}


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """The typical duration (p50), and one that is rarely exceeded (p99), in µs."""
    figures = {}
    for transport in TRANSPORTS:
        with connected(side, transport, processor) as peer:
            for _ in range(WARM_UP):
                peer.call(targets.noop)
            durations = sorted(time_calls(settings.seconds, peer.call, targets.noop))
        figures[f'{transport} p50'] = durations[len(durations) // 2] * 1e6
        figures[f'{transport} p99'] = durations[len(durations) * 99 // 100] * 1e6
    return figures


QUESTION = Question(
    'latency',
    tuple(
        Row(
            f'{transport} {quantile}',
            f'no-op call, {NAMES[transport]}, {placement}, {quantile}, µs',
            placement,
            GOALS.get((placement, transport)) if quantile == 'p50' else None,
        )
        for placement in (SAME, DIFFERENT)
        for transport in TRANSPORTS
        for quantile in ('p50', 'p99')
    ),
    sample,
)
