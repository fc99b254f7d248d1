"""Back-pressure and batches: who waits for whom, and for how long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection
from across._core.streams.flusher import flusher
from across._core.wire.frames import (
    CREDIT,
    ITEMS,
    NUMBER,
    WINDOW_BYTES,
    WINDOW_ITEMS,
    encode,
)
from support.ends import WORK, plain_peer, raised_by, run_work
from support.peers import Pair
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 5 * SECOND


class Counting:
    def __init__(self, item: Any) -> None:
        self.item = item
        self.count = 0

    def run(self) -> Iterator[Any]:
        while True:
            self.count += 1
            yield self.item


def far_outlets(conn: Connection) -> list[Any]:
    streams = conn._link.streams
    return [r.outlet for r in list(streams._routes.values()) if r.outlet] if streams else []


@pytest.mark.parametrize(
    'item', [7, 'text', [1, 2, 3], b'x' * 5000, bytes(300_000), bytearray(70_000)], ids=type
)
def test_slow_consumer_bounds_what_is_produced(pair: Pair, item: Any) -> None:
    counting = Counting(item)
    WORK.append(counting.run)
    iterator = pair.near.iterate(run_work)
    next(iterator)
    wait_until(
        lambda: any(outlet._waiters._waiting for outlet in far_outlets(pair.far)),
        'the producer to wait',
    )
    size = len(item) if isinstance(item, (bytes, bytearray)) else 1
    # One batch was opened when its first item was taken, and made room for another.
    assert counting.count <= 2 * min(WINDOW_ITEMS, WINDOW_BYTES // size + 2) + 1
    for _ in range(counting.count + 10):
        assert next(iterator) == item
    iterator.close()


def test_full_streams_stop_nobody_else(pair: Pair) -> None:
    iterators = []
    for _ in range(20):
        counting = Counting(bytes(1000))
        WORK.append(counting.run)
        iterators.append(pair.near.iterate(run_work))
        next(iterators[-1])
    wait_until(
        lambda: all(outlet._waiters._waiting for outlet in far_outlets(pair.far)),
        'all producers to wait',
    )
    assert pair.near.call(abs, -5) == 5
    assert pair.far.call(abs, -6) == 6
    assert list(pair.near.iterate(range, 5000)) == list(range(5000))
    for iterator in iterators:
        iterator.close()


def test_item_that_comes_slowly_leaves_at_once(pair: Pair) -> None:
    """The producer says when to go on, so none of them can wait for company."""
    turn = threading.Semaphore(0)

    def one_by_one() -> Iterator[int]:
        for i in range(50):
            yield i
            assert turn.acquire(timeout=LIMIT)

    WORK.append(one_by_one)
    for _ in pair.near.iterate(run_work):
        turn.release()


def test_item_that_comes_slowly_needs_no_flusher(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes a millisecond after the one before is sent by its own thread."""
    monkeypatch.setattr(flusher, 'soon', lambda outlet: None)
    taken = threading.Semaphore(0)

    def slow() -> Iterator[int]:
        for i in range(20):
            since = time.monotonic()
            while time.monotonic() - since < 0.001:
                pass
            yield i
            assert taken.acquire(timeout=LIMIT)

    WORK.append(slow)
    for _ in pair.near.iterate(run_work):
        taken.release()


def test_flusher_never_sleeps_long(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for company, the last of a burst for example, waits for one of its naps."""
    naps: list[float] = []

    class Watched:
        @staticmethod
        def sleep(seconds: float) -> None:
            naps.append(seconds)
            time.sleep(seconds)

    monkeypatch.setattr('across._core.streams.flusher.time', Watched)
    monkeypatch.setattr('across._core.streams.outlet.GAP', LIMIT)  # all of them wait
    wait_until(lambda: not flusher._runs, 'the flusher to end')
    go_on = threading.Event()

    def burst() -> Iterator[int]:
        yield from range(10)
        assert go_on.wait(LIMIT)

    WORK.append(burst)
    iterator = pair.near.iterate(run_work)
    assert [next(iterator) for _ in range(10)] == list(range(10))
    go_on.set()
    assert list(iterator) == []
    assert naps
    assert max(naps) <= 0.001


def test_producer_that_blocks_holds_nothing_back(pair: Pair) -> None:
    go_on = threading.Event()

    def burst() -> Iterator[int]:
        yield from range(100)
        assert go_on.wait(LIMIT)

    WORK.append(burst)
    iterator = pair.near.iterate(run_work)
    assert [next(iterator) for _ in range(100)] == list(range(100))
    go_on.set()
    assert list(iterator) == []


def test_small_items_travel_together(pair: Pair) -> None:
    frames = []
    link = pair.near._link
    iterator = pair.near.iterate(range, 100_000)
    add = iterator._inlet.add

    def adding(frame: Any) -> bool:
        frames.append(len(frame.payload))
        return add(frame)

    iterator._inlet.add = adding  # type: ignore[method-assign]
    assert sum(iterator) == sum(range(100_000))
    assert len(frames) < 5000
    assert max(frames) <= 1 << 16
    assert link.is_up


def test_peer_that_sends_without_credit() -> None:
    with plain_peer() as (conn, sock):
        stream = conn.open_stream()
        number = stream._route.key
        sock.sendall(encode(ITEMS, number, 2 * WINDOW_ITEMS + 1, b'anything'))
        conn._link.reader.find()
        error = raised_by(stream.receive)
        assert 'more items of a stream than it may' in str(error)


@pytest.mark.parametrize('payload', [b'short', NUMBER.pack(1), bytes(24)])
def test_credit_that_makes_no_sense(payload: bytes) -> None:
    with plain_peer() as (conn, sock):
        stream = conn.open_stream()
        sock.sendall(encode(CREDIT, stream._route.key, 0, payload))
        assert 'makes no sense' in str(raised_by(stream.receive))
