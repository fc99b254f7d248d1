"""How long until a fresh bare interpreter answers its first call, and how much is sent to it?"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings
from .sides import ACROSS, BARE_PYTHON, FLOOR

if TYPE_CHECKING:
    from collections.abc import Callable

AT_LEAST = 3
RELAY = Path(__file__).with_name('relay.py')
# The least that can answer a call: read a pickle, write a pickle.
ANSWER_ONE = """
import pickle, sys
func, args = pickle.load(sys.stdin.buffer)
pickle.dump(func(*args), sys.stdout.buffer)
"""


def boot_floor() -> float:
    """Seconds to start an interpreter that does nothing, and to see it end."""
    start = time.perf_counter()
    subprocess.run([*BARE_PYTHON, '-c', 'pass'], check=True)
    return time.perf_counter() - start


def boot_pickled() -> float:
    """Seconds to start an interpreter, and to get the result of a call."""
    start = time.perf_counter()
    with subprocess.Popen(
        [*BARE_PYTHON, '-c', ANSWER_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        pickle.dump((os.getpid, ()), process.stdin)
        process.stdin.flush()
        pickle.load(process.stdout)
        return time.perf_counter() - start


def boot_across() -> float:
    """The same with the library."""
    from across import Connection, get_bios

    start = time.perf_counter()
    with Connection.from_command([*BARE_PYTHON, '-c', get_bios()]) as connection:
        connection.call(os.getpid)
        return time.perf_counter() - start


def sent_to_bare_peer() -> int:
    """Count the bytes that a bare peer is sent, up to the end of its first call."""
    from across import Connection, get_bios

    with tempfile.TemporaryDirectory() as folder:
        count_file = Path(folder, 'count')
        relay = [sys.executable, str(RELAY), str(count_file)]
        with Connection.from_command([*relay, *BARE_PYTHON, '-c', get_bios()]) as connection:
            connection.call(os.getpid)
            return count_file.stat().st_size


BOOTS: dict[str, Callable[[], float]] = {FLOOR: boot_floor, ACROSS: boot_across}


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """The median duration of several starts in ms; the bytes sent in KiB."""
    boot = BOOTS.get(side, boot_pickled)
    boot()  # has what is needed for it in caches
    durations: list[float] = []
    end = time.perf_counter() + settings.seconds
    while len(durations) < AT_LEAST or time.perf_counter() < end:
        durations.append(boot())
    durations.sort()
    figures = {'first call': durations[len(durations) // 2] * 1e3}
    if side == ACROSS:
        figures['sent'] = sent_to_bare_peer() / 1024
    return figures


QUESTION = Question(
    'boot',
    (
        Row(
            'first call',
            'child started and first call answered, ms',
            ANYWHERE,
            Goal(35, of_ratio=False),
        ),
        Row('sent', 'sent to a bare peer by then, KiB', ANYWHERE, Goal(24, of_ratio=False)),
    ),
    sample,
)
