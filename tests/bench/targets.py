"""What the benchmarks call in the other process; standard library only, like bare peers."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized

NAP = 0.01


def noop() -> None:
    """Do nothing."""


def echo(data: Any) -> Any:
    """Send it back."""
    return data


def swallow(data: Sized) -> int:
    """Send back no more than its length."""
    return len(data)


def numbers(count: int) -> Iterator[int]:
    """Yield small items."""
    yield from range(count)


def send_numbers(stream: Any, count: int) -> None:
    """The same into a stream."""
    for number in range(count):
        stream.send(number)
    stream.end()


def blocks() -> Iterator[bytes]:
    """Yield a KiB at a time, for ever."""
    while True:
        yield bytes(1024)


def resident() -> int:
    """The bytes of memory that this process holds."""
    with open('/proc/self/statm', 'rb') as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def nap() -> None:
    """Keep a thread busy without needing a processor."""
    time.sleep(NAP)


def usage() -> tuple[float, int]:
    """The processor seconds and context switches of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_nvcsw + used.ru_nivcsw
