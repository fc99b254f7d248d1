"""What every transport must do: each kind, against plain system calls at the other end."""

from __future__ import annotations

import os
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from across._core.transports.base import Cancelled
from across._core.transports.tls import TlsTransport
from support.waiting import MS, SECOND
from transports.sleeping import wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from across._core.transports.base import Buffer, Transport
    from transports.links import Link

WAITS = ('wait_readable', 'wait_writable', 'wait_either', 'receive_next')
BULK = os.urandom(1 << 20) * 8


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def wait_for(transport: Transport, wait: str, timeout: float | None = None) -> bool:
    """One of the waits; whether what was waited for has come, of those that tell."""
    if wait == 'receive_next':
        return transport.receive_next(memoryview(bytearray(1)), timeout) >= 0
    return bool(getattr(transport, wait)(timeout))


def receive(transport: Transport, size: int) -> bytes:
    """Receive exactly ``size`` bytes, less only at the end of the stream."""
    data = bytearray(size)
    done = 0
    while done < size:
        assert transport.wait_readable(5 * SECOND)
        count = transport.receive_into(memoryview(data)[done:])
        if count == 0:
            break
        done += max(count, 0)
    return bytes(data[:done])


def send(transport: Transport, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        assert transport.wait_writable(5 * SECOND)
        rest = rest[transport.send([rest]) :]


def fill(transport: Transport) -> int:
    """Send until nothing more is taken; return how much was."""
    total = 0
    # A relay takes some of it, and one that is a thread of this process takes its time.
    pause = (100 if isinstance(transport, TlsTransport) else 20) * MS
    settled = False
    while not settled:
        while count := transport.send([bytes(1 << 20)]):
            total += count
        settled = not transport.wait_writable(pause)
        # There may be room all the same, too little to be reported.
        if settled and (count := transport.send([bytes(1 << 20)])):
            total += count
            settled = False
    return total


def test_bytes_travel_both_ways(link: Link) -> None:
    send(link.transport, b'there')
    assert link.peer.read(5) == b'there'
    link.peer.write(b'and back')
    assert receive(link.transport, 8) == b'and back'


def test_buffers_are_sent_in_order(link: Link) -> None:
    buffers: list[Buffer] = [b'one ', memoryview(b'-two-')[1:4], b'', bytearray(b' three')]
    assert link.transport.send(buffers) == 13
    assert link.peer.read(13) == b'one two three'


def test_more_buffers_than_the_system_takes(link: Link) -> None:
    numbers = [b'%05d' % number for number in range(3000)]
    sent = link.transport.send([*numbers])
    assert 0 < sent <= 15000
    assert sent % 5 == 0
    assert link.peer.read(sent) == b''.join(numbers)[:sent]


def test_receiving_never_blocks(link: Link) -> None:
    assert link.transport.receive_into(memoryview(bytearray(10))) == -1
    assert not link.transport.wait_readable(0)


def test_sending_never_blocks(link: Link) -> None:
    taken = fill(link.transport)
    assert taken > 0
    assert link.transport.send([b'more']) == 0
    assert link.transport.send([b'more', b'and more']) == 0
    assert not link.transport.wait_writable(0)
    assert link.peer.read(taken) == bytes(taken)
    assert link.transport.wait_writable(5 * SECOND)


def test_bulk_both_ways_by_two_threads_a_side(link: Link, threads: ThreadPoolExecutor) -> None:
    results: list[Future[Any]] = [
        threads.submit(link.peer.write, BULK),
        threads.submit(send, link.transport, BULK[::-1]),
        threads.submit(link.peer.read, len(BULK)),
        threads.submit(receive, link.transport, len(BULK)),
    ]
    _, _, there, back = [result.result() for result in results]
    assert there == BULK[::-1]
    assert back == BULK


def test_bulk_both_ways_by_one_thread(link: Link, threads: ThreadPoolExecutor) -> None:
    writing = threads.submit(link.peer.write, BULK)
    reading = threads.submit(link.peer.read, len(BULK))
    output = memoryview(BULK)
    received = bytearray(len(BULK))
    room = memoryview(received)
    while output or room:
        if output:
            link.transport.wait_either(5 * SECOND)
            output = output[link.transport.send([output]) :]
        else:
            assert link.transport.wait_readable(5 * SECOND)
        if room:
            room = room[max(link.transport.receive_into(room), 0) :]
    writing.result()
    assert reading.result() == BULK
    assert received == BULK


def test_waits_end_when_their_time_is_up(link: Link) -> None:
    fill(link.transport)
    for wait in WAITS:
        for timeout in (30 * MS, 0, -1):
            started = time.monotonic()
            assert not wait_for(link.transport, wait, timeout)
            assert timeout <= time.monotonic() - started < 5 * SECOND


@pytest.mark.parametrize('timeout', [None, 600 * MS, 10 * MS, 0])
def test_next_receives_what_is_there(link: Link, timeout: float | None) -> None:
    buffer = bytearray(10)
    if timeout is not None:
        started = time.monotonic()
        assert link.transport.receive_next(memoryview(buffer), timeout) == -1
        assert timeout <= time.monotonic() - started < 5 * SECOND
    link.peer.write(b'x')
    assert link.transport.wait_readable(5 * SECOND)
    assert link.transport.receive_next(memoryview(buffer), timeout) == 1
    assert buffer[:1] == b'x'
    link.peer.close()
    assert link.transport.wait_readable(5 * SECOND)
    assert link.transport.receive_next(memoryview(buffer), timeout) == 0


@pytest.mark.parametrize('timeout', [None, 5 * SECOND])
def test_next_waits_for_what_comes(
    link: Link, timeout: float | None, threads: ThreadPoolExecutor
) -> None:
    buffer = bytearray(10)
    threads.submit(int).result()  # there is a thread now
    waiting = threads.submit(link.transport.receive_next, memoryview(buffer), timeout)
    for thread in threads._threads:
        wait_until_asleep(thread)
    link.peer.write(b'x')
    assert waiting.result() == 1
    assert buffer[:1] == b'x'


def test_waits_take_any_length(link: Link) -> None:
    link.peer.write(b'x')
    for timeout in (None, 1, 1e12, float('inf')):
        assert link.transport.wait_readable(timeout)
        assert link.transport.wait_writable(timeout)
        link.transport.wait_either(timeout)


def test_either_returns_for_input_alone(link: Link) -> None:
    fill(link.transport)
    link.peer.write(b'x')
    link.transport.wait_either()
    assert receive(link.transport, 1) == b'x'


def test_either_returns_for_room_alone(link: Link) -> None:
    link.transport.wait_either()
    assert link.transport.receive_into(memoryview(bytearray(1))) == -1


@pytest.mark.parametrize('wait', WAITS)
def test_cancel_ends_a_wait_of_another_thread(link: Link, wait: str) -> None:
    fill(link.transport)
    caught = []

    def wait_for_ever() -> None:
        try:
            wait_for(link.transport, wait)
        except Cancelled as exc:
            caught.append(exc)

    thread = threading.Thread(target=wait_for_ever)
    thread.start()
    wait_until_asleep(thread)
    link.transport.cancel()
    thread.join()
    assert len(caught) == 1
    assert link.transport.name in str(caught[0])


@pytest.mark.parametrize('wait', WAITS)
def test_cancelled_stays_cancelled(link: Link, wait: str) -> None:
    link.peer.write(b'even though there is something to read')
    link.transport.cancel()
    link.transport.cancel()
    for timeout in (None, 0, 1, None):
        with pytest.raises(Cancelled):
            wait_for(link.transport, wait, timeout)


def test_cancel_closes_nothing(link: Link) -> None:
    link.transport.cancel()
    assert link.transport.send([b'still']) == 5
    assert link.peer.read(5) == b'still'


def test_cancel_before_connecting(unconnected: Link) -> None:
    unconnected.transport.cancel()
    with pytest.raises(Cancelled):
        unconnected.transport.connect(5 * SECOND)
    unconnected.transport.close(5 * SECOND)


def test_close_before_connecting(unconnected: Link) -> None:
    unconnected.transport.close(5 * SECOND)


def test_end_of_stream_is_zero(link: Link) -> None:
    link.peer.write(b'last')
    link.peer.close()
    assert receive(link.transport, 100) == b'last'
    assert link.transport.wait_readable(5 * SECOND)
    assert link.transport.receive_into(memoryview(bytearray(1))) == 0
    assert link.transport.receive_into(memoryview(bytearray(1))) == 0


def test_sending_to_nobody_is_an_error(link: Link) -> None:
    link.peer.close()
    receive(link.transport, 1)
    with pytest.raises(OSError):  # noqa: PT012
        while link.transport.wait_writable(5 * SECOND):
            link.transport.send([b'anybody there?'])


def test_ending_says_why(link: Link) -> None:
    link.peer.close()
    receive(link.transport, 1)
    assert re.fullmatch(link.ending, link.transport.ending())


def test_close_ends_the_stream_of_the_peer(link: Link) -> None:
    send(link.transport, b'bye')
    link.transport.close(5 * SECOND)
    assert link.peer.read(100) == b'bye'


def test_close_twice_and_use_nothing_afterwards(link: Link) -> None:
    link.transport.close(5 * SECOND)
    link.transport.close(5 * SECOND)
    link.transport.cancel()
    with pytest.raises(OSError):
        link.transport.receive_into(memoryview(bytearray(1)))
    with pytest.raises(OSError):
        link.transport.send([b'x'])
    for wait in WAITS:
        with pytest.raises((OSError, Cancelled)):
            wait_for(link.transport, wait, 0)


def test_kill_cancels(link: Link) -> None:
    link.transport.kill()
    for wait in WAITS:
        with pytest.raises(Cancelled):
            wait_for(link.transport, wait)


def test_close_after_kill(link: Link) -> None:
    fill(link.transport)
    link.transport.kill()
    started = time.monotonic()
    link.transport.close(60)
    assert time.monotonic() - started < 5 * SECOND


def test_close_frees_what_the_peer_has_closed(link: Link) -> None:
    link.peer.close()
    receive(link.transport, 1)
    with suppress(OSError):
        link.transport.send([b'unheard'])
    link.transport.close(5 * SECOND)


def test_fork_leaves_the_stream_to_the_parent(link: Link) -> None:
    assert link.fork_and_abandon() == 0
    send(link.transport, b'there')
    assert link.peer.read(5) == b'there'
    assert link.transport.receive_into(memoryview(bytearray(1))) == -1  # still does not wait
    link.peer.write(b'and back')
    assert receive(link.transport, 8) == b'and back'
