"""What the benchmarks call in the other process; standard library only, like bare peers."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sized

NAP = 0.01


def noop() -> None:
    """Do nothing."""


def echo(data: Any) -> Any:
    """Send it back."""
    return data


def swallow(data: Sized) -> int:
    """Send back no more than its length."""
    return len(data)


def nap() -> None:
    """Keep a thread busy without needing a processor."""
    time.sleep(NAP)


def usage() -> tuple[float, int]:
    """The processor seconds and context switches of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_nvcsw + used.ru_nivcsw
