"""How many items a second does a remote generator yield, and what do they take up meanwhile?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import targets
from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings
from .sides import AcrossPeer, connected

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 5000
# For each of the calls that other questions make.
ITEMS_PER_CALL = 20
KIB = 1024


def per_second(func: Callable[..., Any], count: int) -> float:
    """Thousands of items a second."""
    func(WARM_UP)
    start = time.perf_counter()
    func(count)
    return count / (time.perf_counter() - start) / 1e3


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """Over TCP; each item is a small number."""
    count = settings.calls * ITEMS_PER_CALL
    with connected(side, 'tcp', processor) as peer:
        figures = {'iterate': per_second(peer.receive_numbers, count)}
        if isinstance(peer, AcrossPeer):
            figures['stream'] = per_second(lambda n: _receive_from_stream(peer, n), count)
            figures['memory'] = _memory_of_a_slow_loop(peer, settings.seconds)
        return figures


def _receive_from_stream(peer: AcrossPeer, count: int) -> None:
    stream = peer.connection.open_stream()
    future = peer.connection.submit(targets.send_numbers, stream, count)
    for _ in stream:
        pass
    future.result()


def _memory_of_a_slow_loop(peer: AcrossPeer, seconds: float) -> float:
    """KiB that both processes hold in addition while a loop stands still at its first item."""
    before: int = targets.resident() + peer.call(targets.resident)
    with peer.connection.iterate(targets.blocks) as items:
        next(items)
        time.sleep(seconds)
        after: int = targets.resident() + peer.call(targets.resident)
    return max(0, after - before) / KIB


QUESTION = Question(
    'streams',
    (
        Row(
            'iterate',
            'small items that a remote generator yields, thousands/s',
            ANYWHERE,
            Goal(300, is_minimum=True, of_ratio=False),
        ),
        Row(
            'stream',
            'small items through a stream, thousands/s',
            ANYWHERE,
            Goal(300, is_minimum=True, of_ratio=False),
        ),
        Row(
            'memory',
            'memory while the loop stands still, items of 1 KiB, KiB',
            ANYWHERE,
            Goal(4096, of_ratio=False),
        ),
    ),
    sample,
)
