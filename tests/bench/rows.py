"""What a question is made of: rows to fill, goals to reach, a way to take samples."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from . import sides

if TYPE_CHECKING:
    from collections.abc import Callable


class Settings(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: How often each side is sampled; they take turns.
        seconds: The time given to one figure of one sample.
        large_size: Of the large payloads, in bytes.
        calls: How many are pipelined.
        connections: How many carry calls at the same time.
        idle: How many connections are idle while one of them is weighed.
        held: How many connections are tried to be held.
    """

    rounds: int = 5
    seconds: float = 0.3
    large_size: int = 64 << 20
    calls: int = 10_000
    connections: int = 200
    idle: int = 1000
    held: int = 10_000


FULL = Settings()
QUICK = Settings(rounds=3, seconds=0.1, held=2000)


class Goal(NamedTuple):
    """A bound for the figure of `across`, or for its ratio to that of the floor."""

    limit: float
    is_minimum: bool = False
    of_ratio: bool = True

    def is_met(self, value: float, ratio: float | None) -> bool:
        """Judge a figure; `ratio` is None if the floor has none."""
        judged = ratio if self.of_ratio else value
        if judged is None:
            return False
        return judged >= self.limit if self.is_minimum else judged <= self.limit

    def __str__(self) -> str:
        judged = 'ratio ' if self.of_ratio else ''
        return f'{judged}{"≥" if self.is_minimum else "≤"} {self.limit:g}'


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        key: Of the figure in a sample.
        title: What is measured, with its unit.
        placement: Where the processes run; one of those of the question.
        goal: None where the figure is only of interest.
    """

    key: str
    title: str
    placement: str
    goal: Goal | None = None


class Question(NamedTuple):
    """One thing to find out.

    Attributes:
        name: As on the command line.
        rows: Of the table.
        sample: Takes a side, the server's processor and the settings; returns a figure for each
            key. Each sample is taken in a fresh process.
        sides: Those that have figures.
    """

    name: str
    rows: tuple[Row, ...]
    sample: Callable[[str, int | None, Settings], dict[str, float]]
    sides: tuple[str, ...] = sides.SIDES

    @property
    def placements(self) -> list[str]:
        """Where samples are taken, each once."""
        return list(dict.fromkeys(row.placement for row in self.rows))


def time_calls(
    seconds: float, call: Callable[..., Any], *args: Any, at_least: int = 3
) -> list[float]:
    """Call again and again, at least so often; return the duration of each call, in seconds."""
    clock = time.perf_counter
    durations: list[float] = []
    now = clock()
    end = now + seconds
    while now < end or len(durations) < at_least:
        start = clock()
        call(*args)
        now = clock()
        durations.append(now - start)
    return durations


def median_time(seconds: float, call: Callable[..., Any], *args: Any, at_least: int = 3) -> float:
    """The median of :func:`time_calls`."""
    return statistics.median(time_calls(seconds, call, *args, at_least=at_least))
