"""How many small items a second pass through a channel, and how soon do eight gateways stand?

The floor of items are pickles that a bare process writes to a pipe, one by one; that of gateways
are bare interpreters, started at the same time, that answer one pickled call each. execnet does the
same work in the same process.
"""

from __future__ import annotations

import pickle
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import execnet

from . import boot
from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings
from .sides import ACROSS, BARE_PYTHON, FLOOR

if TYPE_CHECKING:
    from collections.abc import Callable

# Makes items over there; waits for a word first, so that only their way is measured.
PRODUCER = """
channel.receive()
for number in range({count}):
    channel.send(number)
"""
CONSUMER = """
for number in range({count}):
    channel.receive()
channel.send(None)
"""
WRITER = """
import pickle, sys
for number in range({count}):
    sys.stdout.buffer.write(pickle.dumps(number, 5))
    sys.stdout.buffer.flush()
"""
# Items for a second of the time given.
RATE = 100_000
WIDTH = 8
REPEATS = 3


def thousands(count: int, start: float) -> float:
    return count / (time.perf_counter() - start) / 1e3


def received_floor(count: int) -> float:
    """Thousands of pickles a second, read from a pipe."""
    command = [*BARE_PYTHON, '-c', WRITER.format(count=count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        pickle.load(process.stdout)
        start = time.perf_counter()
        for _ in range(count - 1):
            pickle.load(process.stdout)
        return thousands(count, start)


def received(gateway: Any, count: int) -> float:
    """Thousands of items a second that are received from a gateway."""
    channel = gateway.remote_exec(PRODUCER.format(count=count))
    channel.send(None)
    channel.receive()
    start = time.perf_counter()
    for _ in range(count - 1):
        channel.receive()
    return thousands(count, start)


def sent(gateway: Any, count: int) -> float:
    """Thousands of items a second that are sent to a gateway."""
    channel = gateway.remote_exec(CONSUMER.format(count=count))
    start = time.perf_counter()
    for number in range(count):
        channel.send(number)
    channel.receive()
    return thousands(count, start)


def start_group(make: Callable[[list[str]], Any], width: int) -> float:
    """Milliseconds until so many gateways have answered."""
    start = time.perf_counter()
    group = make(['popen'] * width)
    channels = group.remote_exec('channel.send(1)')
    for channel in channels:
        channel.receive()
    duration = time.perf_counter() - start
    group.terminate(5)
    return duration * 1e3


def start_floor(width: int) -> float:
    with ThreadPoolExecutor(width) as pool:
        start = time.perf_counter()
        list(pool.map(lambda _: boot.boot_pickled(), range(width)))
        return (time.perf_counter() - start) * 1e3


def median_of(repeats: int, measure: Callable[..., float], *arguments: Any) -> float:
    return statistics.median(measure(*arguments) for _ in range(repeats))


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """Items in thousands/s, starts in ms."""
    count = max(100, int(RATE * settings.seconds))
    repeats = min(REPEATS, settings.rounds)
    width = WIDTH if repeats > 1 else 2  # a trial, of whether it works at all
    if side == FLOOR:
        return {
            'received': median_of(repeats, received_floor, count),
            'one': median_of(repeats, start_floor, 1),
            'eight': median_of(repeats, start_floor, width),
        }
    if side != ACROSS:
        return {}
    from across import gateways

    figures = {}
    for prefix, library in (('', gateways), ('execnet ', execnet)):
        make: Any = library.Group
        group = make(['popen'])
        figures[f'{prefix}received'] = median_of(repeats, received, group[0], count)
        figures[f'{prefix}sent'] = median_of(repeats, sent, group[0], count)
        group.terminate(5)
        figures[f'{prefix}one'] = median_of(repeats, start_group, make, 1)
        figures[f'{prefix}eight'] = median_of(repeats, start_group, make, width)
    return figures


QUESTION = Question(
    'gateways',
    (
        Row(
            'received',
            'small items received over a channel, thousands/s',
            ANYWHERE,
            Goal(300, is_minimum=True, of_ratio=False),
        ),
        Row('execnet received', 'the same with execnet', ANYWHERE),
        Row('sent', 'small items sent over a channel, thousands/s', ANYWHERE),
        Row('execnet sent', 'the same with execnet', ANYWHERE),
        Row('one', 'one gateway started and answered, ms', ANYWHERE),
        Row('execnet one', 'the same with execnet', ANYWHERE),
        Row('eight', 'eight gateways started and answered, ms', ANYWHERE),
        Row('execnet eight', 'the same with execnet', ANYWHERE),
    ),
    sample,
    sides=(FLOOR, ACROSS),
)
