"""Callbacks: items handed out in service threads."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress
from typing import Any

import pytest

from across import DisconnectError, OperationError, get_connection
from streams.both_ends import BothEnds
from support.peers import Pair
from support.waiting import SECOND, wait_until

LIMIT = 5 * SECOND


class Ends(BothEnds):
    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.got: list[Any] = []
        self.ends: list[Any] = []
        self.over = threading.Event()

    def at_end(self, error: BaseException | None) -> None:
        self.ends.append(error)
        self.over.set()

    def listen(self) -> None:
        self.far.set_callback(self.got.append, self.at_end)


@pytest.fixture
def ends(pair: Pair) -> Ends:
    return Ends(pair)


def test_items_before_and_after(ends: Ends) -> None:
    for i in range(10):
        ends.near.send(i)
    wait_until(lambda: ends.far.queued == 10)
    ends.listen()
    for i in range(10, 5000):
        ends.near.send(i if i % 2 else [i])
    ends.near.end()
    assert ends.over.wait(LIMIT)
    assert [i if isinstance(i, int) else i[0] for i in ends.got] == list(range(5000))
    assert ends.ends == [None]


def test_one_at_a_time_and_for_its_connection(ends: Ends, pair: Pair) -> None:
    inside = threading.Lock()
    seen = set()

    def callback(item: Any) -> None:
        assert inside.acquire(blocking=False)
        seen.add(get_connection() is pair.far)
        inside.release()

    ends.far.set_callback(callback, ends.at_end)
    for i in range(3000):
        ends.near.send([i])
    ends.near.end()
    assert ends.over.wait(LIMIT)
    assert (ends.ends, seen) == ([None], {True})


def test_no_thread_is_held(ends: Ends, pair: Pair) -> None:
    many = [Ends(pair) for _ in range(50)]
    before = threading.active_count()
    for each in many:
        each.listen()
    for each in many:
        each.near.send(1)
        wait_until(lambda each=each: each.got)  # type: ignore[misc]
    assert threading.active_count() < before + len(many) / 2
    del many


def test_error_of_the_other_side(ends: Ends) -> None:
    ends.listen()
    ends.near.send(1)
    ends.near.end(KeyError('lost'))
    assert ends.over.wait(LIMIT)
    assert ends.got == [1]
    assert [repr(error) for error in ends.ends] == ["KeyError('lost')"]
    with pytest.raises(KeyError):
        ends.far.wait_ended(LIMIT)


def test_callback_that_fails(ends: Ends) -> None:
    def callback(item: int) -> None:
        ends.got.append(item)
        if item == 3:
            raise KeyError(item)

    ends.far.set_callback(callback, ends.at_end)
    with suppress(OperationError):  # it may be closed already
        for i in range(10):
            ends.near.send(i)
    assert ends.over.wait(LIMIT)
    assert ends.got == [0, 1, 2, 3]
    assert [repr(error) for error in ends.ends] == ['KeyError(3)']
    with pytest.raises(KeyError, match='3'):
        ends.near.receive(LIMIT)
    assert ends.far.closed


def test_end_of_the_connection(ends: Ends, pair: Pair) -> None:
    ends.listen()
    ends.near.send(1)
    pair.near.close()
    assert ends.over.wait(LIMIT)
    assert ends.got == [1]
    assert [type(error) for error in ends.ends] == [DisconnectError]
    with pytest.raises(DisconnectError):
        ends.far.wait_ended(LIMIT)


def test_our_own_close(ends: Ends) -> None:
    ends.listen()
    ends.far.close()
    assert ends.over.wait(LIMIT)
    assert ends.ends == [None]
    ends.far.wait_ended(LIMIT)


def test_close_inside_the_callback(ends: Ends) -> None:
    def callback(item: int) -> None:
        ends.got.append(item)
        ends.far.close()
        ends.far.wait_ended(LIMIT)

    ends.far.set_callback(callback, ends.at_end)
    with suppress(OperationError):  # it may be closed already
        for i in range(10):
            ends.near.send(i)
    assert ends.over.wait(LIMIT)
    assert (ends.got, ends.ends) == ([0], [None])


def test_wait_ended_waits_for_the_callback(ends: Ends) -> None:
    go_on = threading.Event()

    def callback(item: int) -> None:
        assert go_on.wait(LIMIT)
        ends.got.append(item)

    ends.far.set_callback(callback)
    ends.near.send(1)
    ends.near.end()
    wait_until(lambda: ends.far.ended)
    with pytest.raises(TimeoutError):
        ends.far.wait_ended(0.01)
    go_on.set()
    ends.far.wait_ended(LIMIT)
    assert ends.got == [1]


def test_stream_with_a_callback_lives_until_its_end(ends: Ends) -> None:
    ends.listen()
    weak = weakref.ref(ends.far._callback)
    del ends.far
    gc.collect()
    ends.near.send(1)
    ends.near.send(2)
    ends.near.end()
    assert ends.over.wait(LIMIT)
    assert (ends.got, ends.ends) == ([1, 2], [None])
    ends.near.close()

    def gone() -> bool:
        gc.collect()
        return weak() is None

    wait_until(gone, 'the callback to go')


def test_slow_callback_stops_the_sender(ends: Ends) -> None:
    go_on = threading.Event()

    def callback(item: int) -> None:
        assert go_on.wait(LIMIT)
        ends.got.append(item)

    ends.far.set_callback(callback)
    sent = 0
    with suppress(TimeoutError):
        while sent < 100_000:
            ends.near.send(sent, 0.05)
            sent += 1
    assert 500 < sent < 2000
    go_on.set()
    wait_until(lambda: len(ends.got) == sent)


def test_second_callback(ends: Ends) -> None:
    ends.listen()
    with pytest.raises(OperationError, match='has a callback already'):
        ends.listen()
    with pytest.raises(OperationError, match='go to its callback'):
        ends.far.receive()
    with pytest.raises(TypeError, match='expected a function to call'):
        ends.near.set_callback(5)  # type: ignore[arg-type]


def test_failure_at_the_end_is_nobodys(ends: Ends) -> None:
    def at_end(error: BaseException | None) -> None:
        raise KeyError

    ends.far.set_callback(ends.got.append, at_end)
    ends.near.end()
    ends.far.wait_ended(LIMIT)
