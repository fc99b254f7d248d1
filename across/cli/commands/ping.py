"""``across ping``: how long a call takes."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from across.cli.arguments import add_target, positive

SUMMARY = 'measure how long calls take'
DETAILS = 'Connect, make calls that do nothing, and print how long each took.'


def add_arguments(parser: ArgumentParser) -> None:
    add_target(parser)
    parser.add_argument(
        '-c',
        dest='count',
        type=positive,
        default=4,
        metavar='N',
        help='how many calls; 4 if not given',
    )


def run(args: Namespace) -> int:
    from across.cli.near import connected

    times: list[float] = []
    begin = time.perf_counter()
    with connected(args) as connection:
        _show(f'connected in {_milliseconds(time.perf_counter() - begin)}')
        try:
            for number in range(1, args.count + 1):
                begin = time.perf_counter()
                connection.call(int)
                times.append(time.perf_counter() - begin)
                _show(f'call {number}: {_milliseconds(times[-1])}')
        finally:  # also after a Ctrl-C
            if times:
                _show(_summary(times))
    return 0


def _show(line: str) -> None:
    print(line + '\n', end='', flush=True)  # at once: a Ctrl-C may come in between


def _summary(times: list[float]) -> str:
    calls = f'{len(times)} call{"s" if len(times) > 1 else ""}'
    mean = sum(times) / len(times)
    figures = ', '.join(
        f'{name} {_milliseconds(value)}'
        for name, value in (('min', min(times)), ('mean', mean), ('max', max(times)))
    )
    return f'{calls}: {figures}'


def _milliseconds(seconds: float) -> str:
    return f'{seconds * 1000:.3f} ms'
