"""How much the stress tests do, and how long they may take; ``ACROSS_STRESS=n`` multiplies both."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALE = int(os.environ.get('ACROSS_STRESS', '1'))
TIME_LIMIT = 15 * SECOND * SCALE
limited = pytest.mark.timeout(20 * SECOND * SCALE)


@contextmanager
def switching(seconds: float) -> Iterator[None]:
    """Let threads take turns after so little time that they meet everywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
