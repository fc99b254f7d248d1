"""Answer the questions, all or some of them, and print the table.

Usage: python -m tests.bench [--quick] [--save FILE] [QUESTION...]
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from . import machine, placement
from .questions import QUESTIONS
from .rows import FULL, QUICK
from .sample import SampleError, take
from .sides import SIDES
from .table import Line, make_line, render

if TYPE_CHECKING:
    from .rows import Question, Settings

# Figures of one question: by placement and side, those of each round; empty where it failed.
Samples = dict[tuple[str, str], list[dict[str, float]]]


class Run:
    """Answers questions, one after the other.

    Attributes:
        failures: What went wrong, for the user, each with the samples that it was the end of.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.failures: dict[str, list[str]] = {}

    def answer(self, question: Question) -> list[Line]:
        """Take the samples of a question, the sides in turns, and sum them up."""
        samples: Samples = defaultdict(list)
        for index in range(self._settings.rounds):
            _tell(f'{question.name}: round {index + 1} of {self._settings.rounds}')
            # Each goes first at times, as what comes first may find the machine busier.
            first = index % len(question.sides)
            order = question.sides[first:] + question.sides[:first]
            for where in filter(placement.is_possible, question.placements):
                for side in order:
                    samples[where, side].append(self._take(question.name, side, where))
        return [
            make_line(
                row,
                {
                    side: [figures.get(row.key) for figures in samples[row.placement, side]]
                    for side in SIDES
                },
            )
            for row in question.rows
        ]

    def _take(self, name: str, side: str, where: str) -> dict[str, float]:
        try:
            return take(name, side, where, self._settings)
        except SampleError as exc:
            self.failures.setdefault(str(exc), []).append(f'{name}, {side}, {where}')
            return {}


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f'\r{text:60}', end='', file=sys.stderr, flush=True)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tests.bench',
        description='Measure across beside the least that the same work can cost.',
    )
    parser.add_argument('questions', nargs='*', metavar='QUESTION', help=', '.join(QUESTIONS))
    parser.add_argument('--quick', action='store_true', help='fewer and shorter rounds')
    parser.add_argument(
        '--save', metavar='FILE', type=Path, help='write the table there, too, if it is complete'
    )
    parsed = parser.parse_args(arguments)
    for name in parsed.questions:
        if name not in QUESTIONS:
            parser.error(f'there is no question {name!r}; there are {", ".join(QUESTIONS)}')
    return parsed


def main() -> None:
    """Do what the command line says; the exit status tells whether everything was measured."""
    arguments = parse_arguments(sys.argv[1:])
    run, load = Run(QUICK if arguments.quick else FULL), machine.Load()
    lines = []
    for name in arguments.questions or QUESTIONS:
        lines += run.answer(QUESTIONS[name])
    _tell('\r')
    how = 'Quick and rough. ' if arguments.quick else ''
    pinned = '' if placement.CAN_PIN else 'This system pins no processes: all ran on any cores. '
    text = f'{how}{pinned}{machine.describe()}; {load.describe()}.\n\n{render(lines)}\n'
    print(text, end='')
    for failure, where in run.failures.items():
        print(f'\nNot measured ({"; ".join(dict.fromkeys(where))}):\n{failure}', file=sys.stderr)
    if arguments.save and not run.failures:
        arguments.save.write_text(text)
    sys.exit(bool(run.failures))


if __name__ == '__main__':
    main()
