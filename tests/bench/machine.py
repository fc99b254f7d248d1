"""On what machine, when, and beside what load the figures were taken."""

from __future__ import annotations

import datetime
import os
import platform
import time
from pathlib import Path


def describe() -> str:
    """The kind of machine, the versions that matter, and the date."""
    model = platform.machine()
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                model = ' '.join(line.split(':', 1)[1].split())
                break
    except OSError:
        pass  # not Linux
    system = f'{platform.system()} {platform.release()}'
    python = f'{platform.python_implementation()} {platform.python_version()}'
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return f'{os.cpu_count()} processors ({model}), {system}, {python}, {today}'


class Load:
    """What other processes do from when this is made."""

    def __init__(self) -> None:
        self._average = os.getloadavg()[0]
        self._start = time.monotonic()
        self._all, self._own = _busy_seconds(), _own_seconds()

    def describe(self) -> str:
        """Tell, in words, how much there was."""
        text = f'load average {self._average:.1f} at the start'
        busy = _busy_seconds()
        if busy is not None and self._all is not None:
            others = busy - self._all - (_own_seconds() - self._own)
            available = (time.monotonic() - self._start) * (os.cpu_count() or 1)
            share = max(0.0, others / available)
            text += f', other processes took {share:.0%} of the processors meanwhile'
        return text


def _busy_seconds() -> float | None:
    """Processor time of all processes since the machine started; None where that is not told."""
    try:
        fields = Path('/proc/stat').read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, fields)
    return float(user + nice + system + irq + softirq) / os.sysconf('SC_CLK_TCK')


def _own_seconds() -> float:
    """That of this process, and of the children that ended."""
    return sum(os.times()[:4])
