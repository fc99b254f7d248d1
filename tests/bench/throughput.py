"""How fast do large arguments and results move?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import targets
from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings, median_time
from .sides import connected

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """GB/s over TCP. An echo moves its payload twice, and both ways count."""
    import numpy as np

    with connected(side, 'tcp', processor) as peer:

        def speed(moved: int, func: Callable[..., Any], data: Any) -> float:
            peer.call(func, data)  # the first one finds caches and buffers cold
            return moved / median_time(settings.seconds, peer.call, func, data) / 1e9

        figures = {}
        for name, size in (('1 MiB', MIB), ('large', settings.large_size)):
            data = os.urandom(MIB) * (size // MIB)
            figures[f'{name} up'] = speed(size, targets.swallow, data)
            figures[f'{name} echo'] = speed(2 * size, targets.echo, data)
        array = np.arange(settings.large_size // 8, dtype='f8')
        figures['array'] = speed(array.nbytes, targets.swallow, array)
    return figures


QUESTION = Question(
    'throughput',
    (
        Row('1 MiB up', '1 MiB of bytes to the peer, GB/s', ANYWHERE),
        Row('1 MiB echo', '1 MiB of bytes echoed, GB/s', ANYWHERE, Goal(0.4, is_minimum=True)),
        Row('large up', '64 MiB of bytes to the peer, GB/s', ANYWHERE, Goal(1, is_minimum=True)),
        Row('large echo', '64 MiB of bytes echoed, GB/s', ANYWHERE, Goal(1, is_minimum=True)),
        Row('array', 'numpy array of 64 MiB to the peer, GB/s', ANYWHERE, Goal(1, is_minimum=True)),
    ),
    sample,
)
