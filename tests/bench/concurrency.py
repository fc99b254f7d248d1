"""How many calls a second do many threads make, and do calls that wait overlap?

The threads share one connection of `across`; the floor has a connection for each of them. So has
`across` in the row about many connections.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from . import targets
from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings
from .sides import connected, served

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sides import Call


def calls_per_second(calls: list[Call], seconds: float, func: Callable[..., Any]) -> float:
    """Let threads, one for each way to call, call for some time."""
    counts = [0] * len(calls)
    barrier = threading.Barrier(len(calls) + 1)

    def work(index: int) -> None:
        call = calls[index]
        call(func)
        barrier.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            call(func)
            counts[index] += 1

    workers = [
        threading.Thread(target=work, args=(index,), daemon=True) for index in range(len(calls))
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """Thousands of calls a second over TCP."""
    figures = {}
    for key, threads, func in (
        ('1', 1, targets.noop),
        ('8', 8, targets.noop),
        ('32', 32, targets.noop),
        ('naps', 32, targets.nap),
    ):
        with connected(side, 'tcp', processor) as peer:
            calls = [peer.call_of_thread() for _ in range(threads)]
            figures[key] = calls_per_second(calls, settings.seconds, func) / 1e3
    with served(side, 'tcp', processor) as server:
        calls = [server.connect().call for _ in range(settings.connections)]
        figures['many'] = calls_per_second(calls, settings.seconds, targets.noop) / 1e3
    return figures


def _at_least(limit: float) -> Goal:
    return Goal(limit, is_minimum=True, of_ratio=False)


QUESTION = Question(
    'concurrency',
    (
        Row('1', 'no-op calls from 1 thread, thousands/s', ANYWHERE),
        Row('8', 'no-op calls from 8 threads, thousands/s', ANYWHERE, _at_least(20)),
        Row('32', 'no-op calls from 32 threads, thousands/s', ANYWHERE, _at_least(18)),
        Row('naps', 'calls that sleep 10 ms, 32 threads, thousands/s', ANYWHERE, _at_least(2.9)),
        Row('many', 'no-op calls over 200 connections, thousands/s', ANYWHERE),
    ),
    sample,
)
