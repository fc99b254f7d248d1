"""Streams as objects: both ends, their journey, their end."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import across
from across import (
    Connection,
    DisconnectError,
    OperationError,
    Options,
    Stream,
    get_connection,
    ref,
)
from streams.both_ends import ARRIVED, BothEnds, keep
from support.ends import AT_ONCE, at_once, finish, raised_by, together
from support.ends import pair as connections
from support.interleaving import Background
from support.peers import Pair, connected_pair
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 5 * SECOND


@pytest.fixture
def ends(pair: Pair) -> BothEnds:
    return BothEnds(pair)


def echo(stream: Stream) -> None:
    for item in stream:
        stream.send(item)
    stream.end()


def holds_no_stream(conn: Connection) -> bool:
    link = conn._link
    return not link.streams._routes and not link.streams._early and not len(link.exports)


def someone_waits(*waiters: Any, count: int = 1) -> bool:
    return all(len(each._waiting) == count for each in waiters)


# ---------------------------------------------------------------------------------- both ways


def test_items_go_both_ways(ends: BothEnds) -> None:
    assert isinstance(ends.far, Stream)
    for i in range(3):
        ends.near.send(i)
        ends.far.send([i])
    assert [ends.far.receive(LIMIT) for _ in range(3)] == [0, 1, 2]
    assert [ends.near.receive(LIMIT) for _ in range(3)] == [[0], [1], [2]]


def test_one_item_at_a_time(ends: BothEnds) -> None:
    """None of them waits for company until somebody else looks after it."""
    for i in range(500):
        ends.near.send(i)
        assert ends.far.receive(LIMIT) == i
        ends.far.send(i)
        assert ends.near.receive(LIMIT) == i


def test_echo_of_a_real_peer(peer: Connection) -> None:
    stream = peer.open_stream()
    future = peer.submit(echo_there(), stream)
    items = [*range(500), 'x', b'y' * 100_000, {'a': [None]}, *range(500)]
    for item in items:
        stream.send(item)
    stream.end()
    assert list(stream) == items
    assert future.result(LIMIT) is None


def test_peer_of_another_version(other_peer: Connection) -> None:
    stream = other_peer.open_stream()
    future = other_peer.submit(echo_there(), stream)
    for i in range(900):
        stream.send([i])
    stream.end()
    assert [item[0] for item in stream] == list(range(900))
    assert future.result(LIMIT) is None


def echo_there() -> Callable[[Any], None]:
    def echo(stream: Any) -> None:
        for item in stream:
            stream.send(item)
        stream.end()

    return echo


def test_sent_before_the_other_end_travels(pair: Pair) -> None:
    stream = pair.near.open_stream()
    for i in range(500):
        stream.send([i])
    stream.end()
    pair.near.call(keep, stream)
    assert [item[0] for item in ARRIVED.pop()] == list(range(500))


def test_end_travels_in_a_result(pair: Pair) -> None:
    def numbers(count: int) -> Any:
        stream = get_connection().open_stream()
        for i in range(count):
            stream.send(i)
        stream.end()
        return {'stream': stream}

    assert list(pair.near.call(numbers, 3)['stream']) == [0, 1, 2]


def test_end_travels_as_an_item(ends: BothEnds, pair: Pair) -> None:
    inner = pair.near.open_stream()
    ends.near.send(['here', inner])
    text, other = ends.far.receive(LIMIT)
    other.send('back')
    assert text == 'here'
    assert inner.receive(LIMIT) == 'back'
    returned = pair.far.open_stream()
    other.send(returned)
    inner.receive(LIMIT).send('from here')
    assert returned.receive(LIMIT) == 'from here'


def test_refs_and_proxies_as_items(ends: BothEnds) -> None:
    mine: list[int] = []
    ends.near.send(ref(mine))
    proxy = ends.far.receive(LIMIT)
    proxy.append(1)
    assert mine == [1]
    ends.far.send((proxy, 2))
    assert ends.near.receive(LIMIT)[0] is mine


def test_buffer_may_change_once_it_is_sent(ends: BothEnds) -> None:
    block = bytearray(300_000)
    got: list[Any] = []
    ends.far.set_callback(got.append)
    for i in range(10):
        block[:] = bytes([i]) * len(block)
        ends.near.send(block)
    wait_until(lambda: len(got) == 10)
    assert [bytes(item[:1]) + bytes(item[-1:]) for item in got] == [
        bytes([i, i]) for i in range(10)
    ]


def test_unpicklable_item(ends: BothEnds) -> None:
    ends.near.send(1)
    with pytest.raises(OperationError, match=r"'_thread.lock' object: item 2, key 'a'"):
        ends.near.send({'a': threading.Lock()})
    ends.near.send(3)
    assert [ends.far.receive(LIMIT) for _ in range(2)] == [1, 3]


# ------------------------------------------------------------------------------------ waiting


def test_timeout_of_receive(ends: BothEnds) -> None:
    with pytest.raises(TimeoutError, match=r'no item came within 0\.01 s'):
        ends.near.receive(0.01)
    with pytest.raises(TimeoutError):
        ends.near.receive(0)
    ends.far.send(1)
    wait_until(lambda: ends.near.queued)
    assert ends.near.receive(0) == 1


def test_poll_finds_what_has_arrived(ends: BothEnds) -> None:
    for i in range(20):
        ends.far.send(i)

        def poll() -> list[int]:
            try:
                return [ends.near.receive(0)]
            except TimeoutError:
                return []

        assert wait_until(poll) == [i]


def test_timeout_while_other_messages_come(pair: Pair, ends: BothEnds) -> None:
    """They must not keep the waiting thread from looking at the clock."""
    stop = threading.Event()

    def chatter() -> None:
        while not stop.is_set():
            pair.far.submit(int).result(LIMIT)

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        with at_once(), pytest.raises(TimeoutError):
            ends.near.receive(0.1)
    finally:
        stop.set()
        thread.join()


def test_timeout_of_send(ends: BothEnds) -> None:
    sent = 0
    while True:
        try:
            ends.near.send(sent, timeout=0)
        except TimeoutError:
            break
        sent += 1
    assert 500 < sent <= 1024
    with pytest.raises(TimeoutError, match=r'made no room for an item within 0\.01 s'):
        ends.near.send(sent, timeout=0.01)
    assert [ends.far.receive(LIMIT) for _ in range(sent)] == list(range(sent))
    ends.near.send('again', LIMIT)
    assert ends.far.receive(LIMIT) == 'again'


def test_many_threads_send_and_receive(ends: BothEnds) -> None:
    count = 2000

    def send(start: int) -> None:
        for i in range(count):
            ends.near.send((start, i) if i % 2 else start * count + i)

    def receive() -> list[Any]:
        return list(ends.far)

    def end_after(senders: list[Any]) -> None:
        together(*senders)
        ends.near.end()

    got = together(lambda: end_after([lambda i=i: send(i) for i in range(3)]), *[receive] * 3)[1:]
    plain = [
        divmod(item, count) if isinstance(item, int) else item for part in got for item in part
    ]
    assert sorted(plain) == [(start, i) for start in range(3) for i in range(count)]


def test_queued(ends: BothEnds) -> None:
    assert ends.far.queued == 0
    for i in range(10):
        ends.near.send(i if i % 2 else [i])
    wait_until(lambda: ends.far.queued == 10)
    ends.far.receive()
    assert ends.far.queued == 9


# ------------------------------------------------------------------------------------- ending


def test_end_closes_one_direction(ends: BothEnds) -> None:
    ends.near.send(1)
    ends.near.end()
    ends.near.end()
    assert ends.far.receive(LIMIT) == 1
    for _ in range(2):
        with pytest.raises(EOFError, match='the stream has ended'):
            ends.far.receive(LIMIT)
    assert list(ends.far) == []
    with pytest.raises(OperationError, match='this side has ended the stream'):
        ends.near.send(2)
    ends.far.send('still')
    assert ends.near.receive(LIMIT) == 'still'
    assert (ends.far.ended, ends.near.ended) == (True, False)


def test_end_with_an_error(ends: BothEnds) -> None:
    def fail() -> None:
        raise KeyError('lost')

    ends.near.send(1)
    ends.near.end(raised_by(fail))
    assert ends.far.receive(LIMIT) == 1
    for _ in range(2):
        with pytest.raises(KeyError, match='lost') as caught:
            ends.far.receive(LIMIT)
        assert ', in fail' in ''.join(traceback.format_exception(caught.value))
    with pytest.raises(KeyError):
        next(iter(ends.far))


def test_end_with_a_timeout_error_is_told_from_our_own(ends: BothEnds) -> None:
    ends.near.end(TimeoutError('over there'))
    with pytest.raises(TimeoutError, match='over there'):
        ends.far.receive(LIMIT)


def test_end_with_what_is_no_exception(ends: BothEnds) -> None:
    with pytest.raises(TypeError, match="must be an exception, not 'str'"):
        ends.near.end('oops')  # type: ignore[arg-type]


def test_close_stops_the_sender(ends: BothEnds) -> None:
    ends.near.send(1)
    ends.far.close()
    assert ends.far.closed
    error = wait_until(lambda: _error_of_send(ends.near))
    assert str(error) == 'the other side has closed the stream: nobody would receive the item'
    with pytest.raises(EOFError):
        ends.near.receive(LIMIT)
    with pytest.raises(EOFError):
        ends.far.receive(LIMIT)
    with pytest.raises(OperationError, match='this side has ended'):
        ends.far.send(1)


def _error_of_send(stream: Stream) -> BaseException | None:
    try:
        stream.send(2)
    except OperationError as exc:
        return exc
    return None


def test_close_wakes_a_blocked_sender(ends: BothEnds) -> None:
    errors: list[Any] = []
    thread = threading.Thread(target=lambda: errors.append(raised_by(_send_for_ever, ends.near)))
    thread.start()
    wait_until(lambda: ends.near._outlet._waiters._waiting, 'the sender to wait')
    with at_once():
        ends.far.close()
        thread.join()
    assert 'the other side has closed the stream' in str(errors[0])


def _send_for_ever(stream: Stream) -> None:
    while True:
        stream.send(0)


def test_stop_keeps_what_was_sent(ends: BothEnds) -> None:
    errors: list[BaseException] = []

    def send() -> None:
        try:
            while True:
                ends.far.send(0)
        except OperationError as exc:
            errors.append(exc)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: someone_waits(ends.far._outlet._waiters))
    assert ends.near.receive(LIMIT) == 0
    sent = 1 + ends.near.queued
    ends.near.stop()
    ends.near.stop()
    sender.join(LIMIT)
    assert 'has closed the stream' in str(errors[0])
    assert 1 + len(list(ends.near)) >= sent
    ends.near.send('the other direction')
    assert ends.far.receive(LIMIT) == 'the other direction'


def test_close_wakes_a_blocked_receiver(ends: BothEnds) -> None:
    errors: list[Any] = []
    thread = threading.Thread(target=lambda: errors.append(raised_by(ends.near.receive)))
    thread.start()
    wait_until(lambda: ends.near._inlet.waiters._waiting, 'the receiver to wait')
    with at_once():
        ends.near.close()
        thread.join()
    assert isinstance(errors[0], EOFError)


@pytest.mark.parametrize('timeout', ['x', [1]])
def test_senseless_timeout(ends: BothEnds, timeout: Any) -> None:
    for use in (ends.near.receive, ends.near.wait_ended, partial(ends.near.send, 1)):
        with pytest.raises(TypeError, match='the timeout must be seconds, or None, not'):
            use(timeout)


def test_close_wakes_a_receiver_that_reads() -> None:
    """Though nothing comes from the peer, not even a heartbeat."""
    silent = Options(timeout=None)
    with connected_pair(silent, silent) as pair:
        near = pair.near.open_stream()
        receiver = Background(lambda: raised_by(near.receive))
        wait_until(lambda: near._inlet.waiters._waiting, 'the receiver to wait')
        near.close()
        assert isinstance(receiver.join(), EOFError)


def test_with_block_closes(ends: BothEnds) -> None:
    with ends.near as stream:
        assert stream is ends.near
    assert ends.near.closed
    wait_until(lambda: ends.far.ended)


def test_items_sent_before_close_arrive(ends: BothEnds) -> None:
    for i in range(10):
        ends.near.send(i)
    ends.near.close()
    assert list(ends.far) == list(range(10))


def test_dropped_end_acts_as_closed(ends: BothEnds) -> None:
    ends.near.send(1)
    del ends.near
    assert list(ends.far) == [1]
    assert wait_until(lambda: _error_of_send(ends.far))


def test_dropped_far_end_acts_as_closed(ends: BothEnds) -> None:
    del ends.far
    gc.collect()
    assert list(ends.near) == []


def test_wait_ended(ends: BothEnds) -> None:
    with pytest.raises(TimeoutError, match=r'the stream did not end within 0\.01 s'):
        ends.near.wait_ended(0.01)
    ends.far.send(1)
    ends.far.end()
    ends.near.wait_ended(LIMIT)
    assert ends.near.receive() == 1


def test_wait_ended_tells_the_error(ends: BothEnds) -> None:
    ends.far.send([1])
    ends.far.end(KeyError('lost'))
    for _ in range(2):
        with pytest.raises(KeyError, match='lost'):
            ends.near.wait_ended(LIMIT)
    assert ends.near.receive() == [1]
    with pytest.raises(KeyError, match='lost'):
        ends.near.receive()


def test_wait_ended_after_our_own_close(ends: BothEnds) -> None:
    ends.near.close()
    ends.near.wait_ended(LIMIT)


def test_nothing_remains_of_streams(pair: Pair) -> None:
    for how in range(40):
        ends = BothEnds(pair)
        ends.near.send(1)
        ends.far.send(2)
        for i, way in enumerate((ends.near.end, ends.far.end, ends.near.close, ends.far.close)):
            if i == how % 4 or how % 3:
                way()
        del ends, way
        if how % 5 == 0:
            stream = pair.near.open_stream()
            stream.send(3)
            del stream
    for conn in pair:
        wait_until(partial(holds_no_stream, conn), 'streams to go')
    assert pair.far._link.streams._lowest > 40
    assert not pair.far._link.streams._seen


# -------------------------------------------------------------------------------- the journey


def test_other_end_travels_once(ends: BothEnds, pair: Pair) -> None:
    with pytest.raises(OperationError, match='has travelled already'):
        pair.near.call(keep, ends.near)
    with pytest.raises(OperationError, match='was opened by the other side'):
        pair.far.call(keep, ends.far)


def test_twice_in_one_call_is_one(pair: Pair) -> None:
    stream = pair.near.open_stream()
    assert pair.near.call(operator.is_, stream, stream)


def test_wrong_connection(pair: Pair, ends: BothEnds) -> None:
    with connected_pair() as other:
        with pytest.raises(OperationError, match='belongs to another connection'):
            other.near.call(keep, ends.near)
        stream = pair.near.open_stream()
        with pytest.raises(OperationError, match='belongs to another connection'):
            pair.far.call(keep, stream)


def test_plain_pickle_and_copy(ends: BothEnds) -> None:
    with pytest.raises(TypeError, match='a stream cannot be copied'):
        pickle.dumps(ends.near)
    with pytest.raises(TypeError, match='a stream cannot be copied'):
        copy.copy(ends.near)


def test_call_that_could_not_be_packed_leaves_the_end_here(pair: Pair) -> None:
    stream = pair.near.open_stream()
    with pytest.raises(OperationError):
        pair.near.call(keep, stream, threading.Lock())
    pair.near.call(keep, stream)
    stream.send(1)
    assert ARRIVED.pop().receive(LIMIT) == 1


def test_end_travels_with_a_function_by_value(pair: Pair) -> None:
    """The plain pickler has met the stream before it gives up."""
    stream = pair.near.open_stream()
    pair.near.call(lambda stream, func: func(stream), stream, lambda stream: stream.send(5))
    assert stream.receive(LIMIT) == 5


class Unreadable:
    def __reduce__(self) -> Any:
        return operator.truediv, (1, 0)


def test_end_that_is_lost_on_its_way(pair: Pair) -> None:
    stream = pair.near.open_stream()
    stream.send(1)
    with pytest.raises(OperationError, match='cannot unpickle'):
        pair.near.call(keep, Unreadable(), stream)
    with pytest.raises(EOFError):
        stream.receive(LIMIT)
    with pytest.raises(OperationError, match='the other end of the stream was lost'):
        stream.send(1)
    wait_until(lambda: not pair.far._link.streams or not pair.far._link.streams._early)
    assert pair.near.call(abs, -5) == 5


def test_end_in_an_item_that_nobody_takes_is_lost(pair: Pair, ends: BothEnds) -> None:
    inner = pair.near.open_stream()
    ends.near.send([inner])
    wait_until(lambda: ends.far.queued)
    ends.far.close()
    with pytest.raises(EOFError):
        inner.receive(LIMIT)


# ---------------------------------------------------------------------- the end of the connection


def test_closed_connection(pair: Pair, ends: BothEnds) -> None:
    ends.near.send(1)
    ends.near.send(2)
    pair.near.close()
    assert [ends.far.receive(LIMIT), ends.far.receive(LIMIT)] == [1, 2]
    for stream in (ends.near, ends.far):
        assert stream.ended
        with pytest.raises(DisconnectError):
            stream.receive(LIMIT)
        with pytest.raises(DisconnectError):
            stream.send(1)
        with pytest.raises(DisconnectError):
            stream.wait_ended(LIMIT)
        with pytest.raises(DisconnectError):
            next(stream)
        stream.end()
        stream.close()
    with pytest.raises(DisconnectError):
        pair.near.open_stream()


@pytest.mark.parametrize('how', ['close', 'cancel'])
def test_end_of_the_connection_wakes_all(how: str) -> None:
    with connections() as (conn, _):
        full, silent = conn.open_stream(), conn.open_stream()
        waits: list[Callable[[], Any]] = [
            lambda: _send_for_ever(full),
            full.receive,
            silent.wait_ended,
            lambda: next(silent),
        ]
        errors: list[Any] = []
        threads = [
            threading.Thread(target=lambda wait=wait: errors.append(raised_by(wait)))
            for wait in waits
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: someone_waits(full._outlet._waiters, full._inlet.waiters))
        wait_until(lambda: someone_waits(silent._inlet.waiters, count=2))
        with at_once():
            getattr(conn, how)()
            for thread in threads:
                thread.join(AT_ONCE)
        finish(conn)
        assert [type(error) for error in errors] == [DisconnectError] * 4


def test_end_of_a_closed_connection_is_no_end_of_items(pair: Pair, ends: BothEnds) -> None:
    def send() -> None:
        with ends.far:
            _send_for_ever(ends.far)

    errors: list[Any] = []
    thread = threading.Thread(target=lambda: errors.append(raised_by(send)))
    thread.start()
    wait_until(lambda: someone_waits(ends.far._outlet._waiters))
    pair.far.close()
    thread.join()
    assert isinstance(errors[0], DisconnectError)
    with pytest.raises(DisconnectError):
        list(ends.near)


def test_connection_of_a_stream(pair: Pair, ends: BothEnds) -> None:
    assert ends.near.connection is pair.near
    assert ends.far.connection is pair.far


def test_repr(ends: BothEnds) -> None:
    assert repr(ends.near).endswith(', open>')
    ends.near.close()
    assert repr(ends.near).endswith(', closed>')


def test_stream_is_a_public_name() -> None:
    assert across.Stream is Stream
    assert Stream.__module__ == 'across'
    with pytest.raises(AttributeError, match='has no attribute'):
        across.Streams


def test_end_that_arrives_when_all_is_over(pair: Pair) -> None:
    stream = pair.near.open_stream()
    future = pair.near.submit(keep, stream)
    stream.close()
    future.result(LIMIT)
    ARRIVED.pop()
    wait_until(lambda: holds_no_stream(pair.near), 'the ticket to be released')
