"""What remote functions yield in tests. Exported to bare peers: standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ['Fault', 'failing', 'numbers', 'of_all_kinds', 'of_two_kinds']


class Fault(Exception):
    """Raised over there."""


def numbers(count: int, start: int = 0) -> Iterator[int]:
    yield from range(start, start + count)


def of_two_kinds(count: int) -> Iterator[Any]:
    """Numbers, every third one in a list: some are pickled with their batch, others alone."""
    for i in range(count):
        yield i if i % 3 else [i]


def of_all_kinds() -> Iterator[Any]:
    """Of all sizes around the limits."""
    for size in (0, 1, 1023, 1024, 1025, 65_535, 65_536, 65_537, 1 << 20):
        yield bytes(size)
        yield 'x' * size
        yield 'ä' * size
        yield bytearray(size)
        yield {'size': size, 'list': [size] * (size % 100)}
    for exponent in (0, 30, 62, 63, 64, 100_000):
        yield 1 << exponent
        yield -(1 << exponent)
    yield from (None, True, False, 1.5, float('inf'), (), [], {1, 2}, Fault, Ellipsis)


def failing(count: int, error: BaseException) -> Iterator[int]:
    yield from range(count)
    raise error
