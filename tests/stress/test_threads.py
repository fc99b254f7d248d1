"""Many threads on both sides, with everything that can cross: results, refs, cancels, interrupts.

The numbers are small unless ``ACROSS_STRESS`` multiplies them.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import threading
import time
from concurrent.futures import CancelledError
from functools import partial
from operator import gt
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest

import across
from across import Connection, Options
from across._core.threads.cache import service_threads
from stress.scale import SCALE, TIME_LIMIT, limited, switching
from support.ends import Script, bare_peer, pair, together
from support.interpreters import bare_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stress

CALLS = 16_000
# Bytes that a process may have grown by after these calls, or a million; 260 for each of these.
# Seen: 0.4 MiB, and 2 MiB after a million.
NOISE = 4 << 20


class Counter:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def count(self) -> int:
        return next(self._numbers)

    def me(self) -> Counter:
        return self


def loop_until_cancelled() -> None:
    while True:
        across.check_cancelled()
        time.sleep(0.0001)


def echo(value: Any) -> Any:
    return value


def echo_back(value: Any) -> Any:
    return across.get_connection().call(echo, value)


def use(counter: Any) -> int:
    counter.count()
    return int(across.get_connection().call(Counter.count, counter))


def check_echo(conn: Connection, noise: random.Random) -> None:
    value = noise.randbytes(noise.choice([0, 10, 1000, 100_000]))
    assert conn.call(echo, value) == value


def check_nested(conn: Connection, noise: random.Random) -> None:
    assert conn.call(echo_back, number := noise.random()) == number


def check_remote_object(conn: Connection, noise: random.Random) -> None:
    counter = conn.call_ref(Counter)
    assert [counter.count() for _ in range(3)] == [1, 2, 3]
    assert counter.me().count() == 4


def check_passed_object(conn: Connection, noise: random.Random) -> None:
    counter = Counter()
    assert conn.call(use, across.ref(counter)) == 2
    assert counter.count() == 3


def check_futures(conn: Connection, noise: random.Random) -> None:
    futures = [conn.submit(echo, number) for number in range(10)]
    assert [future.result(TIME_LIMIT) for future in futures] == list(range(10))


def check_cancellation(conn: Connection, noise: random.Random) -> None:
    future = conn.submit(loop_until_cancelled)
    if noise.random() < 0.5:
        conn.call(echo, None)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(TIME_LIMIT)


def check_failure(conn: Connection, noise: random.Random) -> None:
    with pytest.raises(ZeroDivisionError):
        conn.call(divmod, 1, 0)


CHECKS: list[Callable[[Connection, random.Random], None]] = [
    check_echo,
    check_nested,
    check_remote_object,
    check_passed_object,
    check_futures,
    check_cancellation,
    check_failure,
]


def is_idle(conn: Connection) -> bool:
    """Whether this side runs nothing for its peer, which has no reference to anything here."""
    link = conn._link
    return not (link.exports or link.handlers._running or link.calls.pending)


@limited
def test_sixteen_threads_in_both_directions() -> None:
    def work(conn: Connection, seed: int) -> None:
        noise = random.Random(seed)
        for _ in range(15 * SCALE):
            noise.choice(CHECKS)(conn, noise)

    with switching(1e-6), pair(Options(timeout=60)) as conns:
        jobs = [partial(work, conns[i % 2], i) for i in range(16)]
        assert together(*jobs, timeout=TIME_LIMIT) == [None] * 16
        gc.collect()
        for conn in conns:
            wait_until(partial(is_idle, conn), 'handlers to end and references to be released')


class Held(NamedTuple):
    """What a process holds that calls could leave behind."""

    threads: int
    descriptors: int
    references: int  # of the other side, to objects here
    memory: int  # bytes

    @classmethod
    def of(cls, pid: int, references: int) -> Held:
        process = psutil.Process(pid)
        memory = process.memory_info().rss
        return cls(process.num_threads(), process.num_fds(), references, memory)

    def exceeds(self, before: Held) -> bool:
        growth = self.memory - before.memory
        return any(map(gt, self[:3], before[:3])) or growth > NOISE


def settled(conn: Connection, pid: int) -> list[Held]:
    """What both sides hold, without the threads that are idle."""

    def settle_there() -> int:
        from across._core.threads.cache import service_threads

        service_threads.dismiss()
        return len(across.get_connection()._link.exports)

    references = conn.call(settle_there)
    idle = conn._link.reader.idle
    assert idle is not None
    wait_until(lambda: idle.parked, 'the connection to be idle')
    service_threads.dismiss()
    return [Held.of(os.getpid(), len(conn._link.exports)), Held.of(pid, references)]


@pytest.mark.timeout(60 * SECOND * SCALE)
def test_many_calls_leave_nothing_behind() -> None:
    """Memory, threads, descriptors and references stay where they are after the first calls.

    A million calls, which take a minute::

        ACROSS_STRESS=63 make test PYTEST_ARGS='-k many_calls_leave'
    """
    threads = 32

    def work(count: int) -> None:
        for i in range(count):
            if i % 50:
                assert conn.call(abs, -i) == i
            else:
                assert len(conn.call_ref(list, [i])) == 1
                assert conn.call(len, across.ref([i])) == 1
                assert conn.submit(abs, -i).result() == i

    def work_together(count: int) -> None:
        jobs = [partial(work, count // threads)] * threads
        assert together(*jobs, timeout=TIME_LIMIT) == [None] * threads
        gc.collect()

    with bare_peer(timeout=60) as conn:
        pid = conn.call(os.getpid)
        work_together(CALLS // 4)
        # A thread that ends may be in sight for a moment; the fewest are those that stay.
        looks = [settled(conn, pid) for _ in range(5)]
        before = [Held(*map(min, *side)) for side in zip(*looks, strict=True)]
        work_together(CALLS * SCALE)
        assert not conn._link.calls.pending
        after: list[list[Held]] = []

        def nothing_left() -> bool:
            after[:] = [settled(conn, pid)]
            return not any(map(Held.exceeds, after[0], before))

        try:
            wait_until(nothing_left)
        except TimeoutError:
            pytest.fail(f'before: {before}\nafter:  {after[0]}')


BARRAGE = """
import signal, sys, threading, time
from across import Connection, DisconnectError, Options

count, lost, interrupts, armed = 0, 0, 0, False

def interrupt(number, frame):
    global interrupts, armed
    if armed:
        armed = False
        interrupts += 1
        raise KeyboardInterrupt

def connect():
    conn = Connection.from_command(sys.argv[2:], options=Options(timeout=20))
    conn.call(int)
    return conn

def close():
    try:
        conn.close()
    except DisconnectError as exc:
        assert 'interrupted' in str(exc), exc

signal.signal(signal.SIGINT, interrupt)
deadline = time.monotonic() + float(sys.argv[1])
conn = connect()
print('ready', flush=True)
while time.monotonic() < deadline:
    try:
        armed = True
        assert conn.call(abs, -count) == count
        armed = False
        count += 1
    except KeyboardInterrupt:
        pass
    except DisconnectError as exc:
        armed = False
        assert 'interrupted' in str(exc), exc
    if not conn.is_connected():
        lost += 1
        close()
        conn = connect()
assert conn.call(abs, -1) == 1
close()
signal.signal(signal.SIGINT, signal.SIG_IGN)  # also while the interpreter ends
print(count, lost, interrupts, threading.active_count() < 10, flush=True)
"""


@limited
def test_a_barrage_of_interrupts() -> None:
    """An interrupt may cost the connection now and then, which then says so; it never hangs."""
    with Script(BARRAGE, 2 * SECOND * SCALE, *bare_command()) as script:
        assert script.line() == 'ready'
        stop = threading.Event()

        def interrupt() -> None:
            noise = random.Random(1)
            while not stop.wait(noise.random() * 0.004):
                script.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            line = script.line(TIME_LIMIT)
        finally:
            stop.set()
            thread.join()
        count, lost, interrupts, few_threads = line.split()
        assert int(count) > 20, line
        assert int(interrupts) > 20, line
        assert int(lost) <= int(interrupts) // 10, line
        assert few_threads == 'True'
        assert script.wait() == 0, script.errors()
