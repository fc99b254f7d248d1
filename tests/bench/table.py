"""The table of results: a simple table of reStructuredText, which reads well on a terminal too."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from .sides import ACROSS, FLOOR, PICKLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .rows import Row

HEADINGS = ('question', 'floor', 'pickled', 'across', 'ratio', 'goal', 'verdict')
NONE = '-'


class Line(NamedTuple):
    """A row with its figures: medians of the rounds, None where there is none."""

    row: Row
    floor: float | None
    pickled: float | None
    across: float | None
    ratio: float | None

    @property
    def verdict(self) -> str:
        """Whether the goal is met; empty where there is none."""
        if self.row.goal is None:
            return ''
        if self.across is None:
            return NONE
        return 'met' if self.row.goal.is_met(self.across, self.ratio) else 'missed'


def make_line(row: Row, rounds: Mapping[str, Sequence[float | None]]) -> Line:
    """Sum up the figures that each side has for a row, one for each round.

    The ratio is the median of those of the rounds, as load that comes and goes slows down both
    sides of a round.
    """
    pairs = zip(rounds[FLOOR], rounds[ACROSS], strict=True)
    ratios = [across / floor for floor, across in pairs if across is not None and floor]
    return Line(
        row,
        _median(rounds[FLOOR]),
        _median(rounds[PICKLED]),
        _median(rounds[ACROSS]),
        _median(ratios),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def render(lines: Iterable[Line]) -> str:
    """Write the table."""
    cells = [HEADINGS, *map(_cells, lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ' '.join('=' * width for width in widths)
    texts = [
        ' '.join(
            cell.ljust(width) if column in (0, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return '\n'.join([rule, texts[0], rule, *texts[1:], rule])


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.row.title,
        number(line.floor),
        number(line.pickled),
        number(line.across),
        NONE if line.ratio is None else f'{line.ratio:.2f}',
        '' if line.row.goal is None else str(line.row.goal),
        line.verdict,
    )


def number(value: float | None) -> str:
    """Write a figure with three digits, or all there are before the point."""
    if value is None:
        return NONE
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:#.3g}'
