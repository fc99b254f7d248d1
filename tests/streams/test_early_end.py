"""Iterations that are left before their end: the remote generator is closed, and nothing leaks."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, DisconnectError, Options, current_call, get_connection, ref
from support.ends import WORK, at_once, bare_peer, run_work
from support.ends import pair as connections
from support.interpreters import bare_command
from support.peers import Pair, connected_pair
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Watched:
    """A generator, run over there in this very process, that says what becomes of it."""

    def __init__(self) -> None:
        self.yielded = 0
        self.closed = threading.Event()
        self.threads: set[int] = set()
        self.cancelled = False

    def run(self, count: int = 1_000_000, pause: float = 0) -> Iterator[int]:
        try:
            for i in range(count):
                self.threads.add(threading.get_ident())
                self.yielded += 1
                yield i
                time.sleep(pause)
        finally:
            self.threads.add(threading.get_ident())
            self.cancelled = current_call().cancelled
            self.closed.set()


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    WORK.append(made.run)
    return made


def leave_by_break(conn: Connection) -> None:
    for _ in conn.iterate(run_work):
        break


def leave_by_close(conn: Connection) -> None:
    iterator = conn.iterate(run_work)
    next(iterator)
    iterator.close()
    iterator.close()
    assert list(iterator) == []


def leave_by_dropping(conn: Connection) -> None:
    iterator = conn.iterate(run_work)
    next(iterator)
    del iterator


def leave_by_dropping_a_cycle(conn: Connection) -> None:
    iterator = conn.iterate(run_work)
    next(iterator)
    cycle: list[Any] = [iterator]
    cycle.append(cycle)
    del iterator, cycle
    gc.collect()


def leave_by_an_exception(conn: Connection) -> None:
    def loop() -> None:
        for i in conn.iterate(run_work):
            raise KeyError(i)

    with pytest.raises(KeyError):
        loop()


def leave_by_a_with_block(conn: Connection) -> None:
    with conn.iterate(run_work) as iterator:
        next(iterator)


def leave_by_closing_the_connection(conn: Connection) -> None:
    iterator = conn.iterate(run_work)
    next(iterator)
    conn.close()


WAYS = [value for name, value in globals().items() if name.startswith('leave_by')]


@pytest.mark.parametrize('leave', WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize('pause', [0, 0.001], ids=['waits for credit', 'is busy'])
def test_leaving_closes_the_generator(
    pair: Pair, watched: Watched, leave: Callable[[Connection], None], pause: float
) -> None:
    WORK.append(lambda: watched.run(pause=pause))
    if not pause:
        probe = pair.near.iterate(run_work)
        next(probe)
        wait_until(lambda: watched.yielded > 1000, 'the producer to use up its credit')
        probe.close()
        assert watched.closed.wait(5 * SECOND)
        watched.closed.clear()
    leave(pair.near)
    assert watched.closed.wait(5 * SECOND)
    if not pause:
        return
    assert len(watched.threads) == 1  # closed in the thread that ran it
    assert watched.cancelled


def test_cancelled_connection(watched: Watched) -> None:
    with connections() as (near, _):
        iterator = near.iterate(run_work)
        next(iterator)
        near.cancel()
        with pytest.raises(DisconnectError):
            list(iterator)
        with pytest.raises(DisconnectError):
            near.close()
        assert watched.closed.wait(5 * SECOND)


def test_left_before_the_first_item(pair: Pair, watched: Watched) -> None:
    pair.near.iterate(run_work).close()
    assert pair.near.call(int) == 0
    wait_until(lambda: watched.closed.is_set() or not watched.yielded, 'the end')


def test_nothing_remains_of_iterations(pair: Pair) -> None:
    for count in range(50):
        for i in pair.near.iterate(range, 100):
            if i == count:
                break
    assert list(pair.near.iterate(range, 2000)) == list(range(2000))
    for conn in pair:
        wait_until(partial(is_idle, conn), 'calls and streams to go')


def is_idle(conn: Connection) -> bool:
    link = conn._link
    streams = link.streams
    return not (streams._routes or streams._early or link.calls.pending or link.handlers.busy)


class Thing:
    """Something that can be referred to."""


def test_proxies_that_nobody_took_are_released(pair: Pair) -> None:
    def things() -> Iterator[Any]:
        while True:
            yield ref(Thing())

    iterator = pair.near.iterate(things)
    taken = [next(iterator) for _ in range(3)]
    inlet, exports = iterator._inlet, pair.far._link.exports
    wait_until(lambda: inlet.queued > 100, 'items to arrive')
    assert len(exports) > 100
    iterator.close()
    wait_until(lambda: len(exports) == 3, 'the others to be released')
    taken.clear()
    wait_until(lambda: len(exports) == 0, 'these, too')


def test_finally_may_use_the_connection(pair: Pair) -> None:
    done = threading.Event()

    def generator() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            assert get_connection().call(abs, -5) == 5
            done.set()

    WORK.append(generator)
    leave_by_break(pair.near)
    assert done.wait(5 * SECOND)


def test_finally_that_fails_is_told_to_nobody(pair: Pair) -> None:
    def generator() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise ValueError

    WORK.append(generator)
    leave_by_break(pair.near)
    wait_until(lambda: not pair.far._link.handlers.busy, 'the generator to end')
    assert pair.near.call(abs, -5) == 5


def test_asynchronous_generator_is_closed(pair: Pair) -> None:
    closed = threading.Event()

    async def generator() -> Any:
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            closed.set()

    WORK.append(generator)
    leave_by_break(pair.near)
    assert closed.wait(5 * SECOND)


# -------------------------------------------------------------------------- the end of the other


def test_killed_peer() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        threading.Event().wait()

    with bare_peer() as conn, at_once():
        iterator = conn.iterate(items)
        assert [next(iterator) for _ in range(3)] == [0, 1, 2]
        os.kill(conn.call(os.getpid), signal.SIGKILL)
        with pytest.raises(DisconnectError):
            list(iterator)
        assert list(iterator) == []


def test_items_that_arrived_come_before_the_error(pair: Pair, watched: Watched) -> None:
    WORK.append(lambda: watched.run(50))
    iterator = pair.near.iterate(run_work)
    assert next(iterator) == 0
    assert watched.closed.wait(5 * SECOND)
    wait_until(lambda: iterator._inlet.queued == 49, 'the items')
    pair.far.close()
    assert [next(iterator) for _ in range(49)] == list(range(1, 50))


def test_producer_that_closes_the_connection_is_no_end(pair: Pair, watched: Watched) -> None:
    iterator = pair.near.iterate(run_work)
    assert next(iterator) == 0
    wait_until(lambda: watched.yielded > 1000, 'the producer to use up its credit')
    pair.far.close()
    assert watched.closed.wait(5 * SECOND)
    with pytest.raises(DisconnectError):
        list(iterator)


def test_iterator_keeps_its_connection_alive() -> None:
    iterator = Connection.from_command(bare_command()).iterate(range, 5000)
    gc.collect()
    assert list(iterator) == list(range(5000))
    iterator._connection.close()


def test_close_while_a_thread_waits_for_an_item(pair: Pair) -> None:
    def silent() -> Iterator[int]:
        while not current_call().cancelled:
            time.sleep(0.001)
        yield 1

    WORK.append(silent)
    iterator = pair.near.iterate(run_work)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(list(iterator)))
    thread.start()
    wait_until(lambda: iterator._inlet.waiters._waiting, 'the thread to wait')
    with at_once():
        iterator.close()
        thread.join()
    assert got == [[]]


def test_slow_consumer_is_no_silent_peer(watched: Watched) -> None:
    """It sleeps for longer than the timeout, with its window full."""
    options = Options(timeout=0.3 * SECOND)
    with connected_pair(options, options) as pair:
        iterator = pair.near.iterate(run_work)
        next(iterator)
        time.sleep(0.7 * SECOND)
        assert [next(iterator) for _ in range(3000)] == list(range(1, 3001))
        iterator.close()
