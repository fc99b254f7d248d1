"""Waiting for something to become true, with a deadline; never for an amount of time.

Durations in tests are counted in `MS`, which a slow machine stretches: ``ACROSS_TEST_SCALE=5``.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ['MS', 'SECOND', 'wait_until']

SECOND = float(os.environ.get('ACROSS_TEST_SCALE', '1'))
MS = SECOND / 1000

T = TypeVar('T')


def wait_until(
    condition: Callable[[], T], what: str = 'the condition', timeout: float = 5 * SECOND
) -> T:
    """Return the first true value of `condition()`.

    Args:
        condition: Called again and again, from the calling thread.
        what: What is waited for, for the error message.
        timeout: Seconds.

    Raises:
        TimeoutError: It did not become true in time.
    """
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f'waited {timeout:g} s for {what}, last seen {value!r}')
        time.sleep(pause)  # between two looks; its length decides nothing but the load
        pause = min(pause * 1.5, 0.02)
