"""Many streams and iterations at once, both ways, with all that can happen to them.

The numbers are small unless ``ACROSS_STRESS`` multiplies them.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from across import AcrossError, Connection, Stream, get_connection, ref
from stress.scale import SCALE, TIME_LIMIT, limited, switching
from support.ends import pair, together
from support.items import failing, numbers, of_two_kinds
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.stress


def echo(stream: Stream) -> None:
    for item in stream:
        stream.send(item)
    stream.end()


def proxies(count: int) -> Iterator[Any]:
    for i in range(count):
        yield ref([i])


def nested(depth: int) -> Iterator[int]:
    yield depth
    if depth:
        yield from get_connection().iterate(nested, depth - 1)


def holds_nothing(conn: Connection) -> bool:
    link = conn._link
    streams = link.streams
    return not (streams._routes or streams._early or link.calls.pending or len(link.exports))


class Player:
    """Does one thing after another with a connection, by chance."""

    def __init__(self, conn: Connection, seed: int) -> None:
        self.conn = conn
        self.random = random.Random(seed)
        self.done = 0

    def play(self, turns: int) -> int:
        moves: list[Callable[[], None]] = [
            *(self.iterate, self.leave, self.fail, self.echo, self.drop, self.call_back),
            *(self.take_proxies, self.nest, self.call),
        ]
        for _ in range(turns):
            self.random.choice(moves)()
            self.done += 1
        return self.done

    def iterate(self) -> None:
        count = self.random.choice([0, 1, 300, 3000])
        got = [item if isinstance(item, int) else item[0] for item in self.items(count)]
        assert got == list(range(count))

    def items(self, count: int) -> Any:
        return self.conn.iterate(self.random.choice([of_two_kinds, numbers]), count)

    def leave(self) -> None:
        stop = self.random.randrange(1500)
        for i, _ in enumerate(self.items(5000)):
            if i == stop:
                break

    def fail(self) -> None:
        with pytest.raises(KeyError):
            list(self.conn.iterate(failing, self.random.randrange(2000), KeyError('fault')))

    def echo(self) -> None:
        stream = self.conn.open_stream()
        future = self.conn.submit(echo, stream)
        count = self.random.randrange(900)
        for i in range(count):
            stream.send(i if i % 5 else [i] * 10)
        stream.end()
        assert len(list(stream)) == count
        future.result(TIME_LIMIT)

    def drop(self) -> None:
        stream = self.conn.open_stream()
        future = self.conn.submit(echo, stream)
        with suppress(TimeoutError):
            for i in range(self.random.randrange(3000)):
                stream.send(i, 0)
        del stream
        with suppress(AcrossError):
            future.result(TIME_LIMIT)

    def call_back(self) -> None:
        got: list[Any] = []
        over = threading.Event()
        stream = self.conn.open_stream()
        stream.set_callback(got.append, lambda error: over.set())
        self.conn.submit(echo, stream)
        for i in range(50):
            stream.send(i)
        stream.end()
        assert over.wait(TIME_LIMIT)
        assert got == list(range(50))

    def take_proxies(self) -> None:
        assert sum(proxy[0] for proxy in self.conn.iterate(proxies, 20)) == sum(range(20))

    def nest(self) -> None:
        assert list(self.conn.iterate(nested, 5)) == [5, 4, 3, 2, 1, 0]

    def call(self) -> None:
        assert self.conn.call(abs, -5) == 5


@limited
@pytest.mark.parametrize('interval', [1e-6, 5e-3])
def test_everything_at_once_both_ways(interval: float) -> None:
    with pair() as conns, switching(interval):
        players = [Player(conn, seed) for seed in range(3) for conn in conns]
        turns = 12 * SCALE
        results = together(*[lambda p=p: p.play(turns) for p in players], timeout=TIME_LIMIT)
        assert results == [turns] * len(players)
        gc.collect()
        for conn in conns:
            wait_until(partial(holds_nothing, conn), 'all to go', TIME_LIMIT)


@limited
def test_connection_that_ends_amid_everything() -> None:
    for turn in range(4 * SCALE):
        with pair() as conns:
            players = [Player(conn, turn + seed) for seed in range(2) for conn in conns]

            def end(turn: int = turn, conns: list[Connection] = conns) -> None:
                time.sleep(0.02 * turn)  # some moment
                conns[turn % 2].close()

            results = together(
                end, *[lambda p=p: p.play(10**6) for p in players], timeout=TIME_LIMIT
            )
            for result in results[1:]:
                assert isinstance(result, (AcrossError, AssertionError, EOFError)), result


@limited
def test_garbage_collector_everywhere() -> None:
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with pair() as conns:
            assert Player(conns[0], 5).play(10 * SCALE) == 10 * SCALE
    finally:
        gc.set_threshold(*before)
