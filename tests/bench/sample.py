"""Takes one sample, in a process of its own: nothing of an earlier one is left in it.

Usage: python -m tests.bench.sample QUESTION SIDE PLACEMENT SETTINGS

The settings are a JSON list; the figures are printed as a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys

from .placement import pin, processors, raise_descriptor_limit
from .questions import QUESTIONS
from .rows import Settings
from .sides import environment

TIMEOUT = 120


class SampleError(Exception):
    """A sample could not be taken."""


def take(question: str, side: str, placement: str, settings: Settings) -> dict[str, float]:
    """Take a sample in a fresh process.

    Raises:
        SampleError: It failed there; what it said about it is the message.
    """
    command = [sys.executable, '-m', __name__, question, side, placement, json.dumps(settings)]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env=environment()
        )
    except subprocess.TimeoutExpired as exc:
        raise SampleError(f'took longer than {TIMEOUT} s') from exc
    if run.returncode:
        raise SampleError(run.stderr.strip() or f'exit status {run.returncode}')
    figures: dict[str, float] = json.loads(run.stdout)
    return figures


def main() -> None:
    """Take the sample that the command line tells of."""
    question, side, placement, settings = sys.argv[1:]
    where = processors(placement)
    pin(where.client)
    raise_descriptor_limit()
    figures = QUESTIONS[question].sample(side, where.server, Settings(*json.loads(settings)))
    print(json.dumps(figures))


if __name__ == '__main__':
    main()
