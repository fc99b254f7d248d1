"""Channels that are read slowly, or not at all: the other side waits, and nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from across._core.wire.frames import WINDOW_ITEMS
from across.gateways import Channel, Gateway, Group, MultiChannel, TimeoutError
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 10 * SECOND
END = 'the end'
# Each side may have a window full of items.
MOST = 2 * WINDOW_ITEMS + 1
# It sends as much as it may, and keeps count where other code of its process finds it.
COUNTING = """
channel.gateway.count = 0
for item in range(channel.receive()):
    channel.send(item)
    channel.gateway.count += 1
"""


def begin_counting(gateway: Gateway, count: int = 1 << 40) -> Channel:
    channel = gateway.remote_exec(COUNTING)
    channel.send(count)
    return channel


def counter(gateway: Gateway) -> Callable[[], int]:
    """What asks how many were sent; by another channel, so that works meanwhile."""
    channel = gateway.remote_exec('for _ in channel: channel.send(channel.gateway.count)')

    def ask() -> int:
        channel.send(None)
        count: int = channel.receive(LIMIT)
        return count

    return ask


def wait_for_standstill(gateway: Gateway) -> int:
    """Wait until code over there waits for room, as its stack tells; returns the count."""
    probe = gateway.remote_exec("""
        import sys
        def waits(frame):
            while frame is not None:
                if frame.f_code.co_name == 'wait' and 'outlet' in frame.f_back.f_code.co_filename:
                    return True
                frame = frame.f_back
            return False
        for _ in channel:
            channel.send(sum(map(waits, sys._current_frames().values())))
    """)

    def is_waiting() -> bool:
        probe.send(None)
        return bool(probe.receive(LIMIT))

    wait_until(is_waiting, 'the sender to wait', LIMIT)
    return counter(gateway)()


def test_sender_waits_for_whoever_does_not_receive(gateway: Gateway) -> None:
    channel = begin_counting(gateway)
    assert 0 < wait_for_standstill(gateway) <= MOST
    for item in range(2 * MOST):  # which lets it go on
        assert channel.receive(LIMIT) == item
    assert 2 * MOST < wait_for_standstill(gateway) <= 3 * MOST
    channel.close()


def test_waitclose_takes_all(gateway: Gateway) -> None:
    channel = begin_counting(gateway)
    wait_for_standstill(gateway)
    ask = counter(gateway)
    while ask() <= 2 * MOST:
        with pytest.raises(TimeoutError):
            channel.waitclose(0.01)
    assert [channel.receive(LIMIT) for _ in range(100)] == list(range(100))
    channel.close()


def test_full_queue_lets_the_senders_wait(group: Group) -> None:
    gateways = [group.makegateway() for _ in range(2)]
    channels = MultiChannel([begin_counting(gateway, 3 * MOST) for gateway in gateways])
    queue = channels.make_receive_queue(END, maxsize=10)
    for gateway in gateways:
        assert 0 < wait_for_standstill(gateway) <= MOST + 10
    wait_until(queue.full, 'the queue to be full', LIMIT)
    assert queue.qsize() == 10
    # What else goes on between the two is not held up.
    for gateway in gateways:
        assert gateway.remote_exec('channel.send(1)').receive(LIMIT) == 1
        assert gateway.connection.call(abs, -1) == 1
    found: dict[Channel, list[Any]] = {channel: [] for channel in channels}
    while not all(items[-1:] == [END] for items in found.values()):
        channel, item = queue.get(timeout=LIMIT)
        found[channel].append(item)
        assert queue.qsize() <= 10 + len(gateways)
    assert all(items == [*range(3 * MOST), END] for items in found.values())


def test_queue_without_a_limit_takes_all(gateway: Gateway) -> None:
    queue = MultiChannel([begin_counting(gateway, 2 * MOST)]).make_receive_queue(END)
    wait_until(lambda: queue.qsize() == 2 * MOST + 1, 'all to arrive', LIMIT)


def test_closed_channel_waits_for_no_room(gateway: Gateway) -> None:
    """No thread is left behind; the fixture that looks for leaks would tell."""
    channel = begin_counting(gateway)
    queue = MultiChannel([channel]).make_receive_queue(END, maxsize=10)
    wait_until(queue.full, 'the queue to be full', LIMIT)
    channel.close()
    channel.waitclose(LIMIT)  # when its callback has had the end
    assert queue.qsize() == 11


def test_gateway_that_is_gone_waits_for_no_room(gateway: Gateway) -> None:
    channel = begin_counting(gateway)
    queue = MultiChannel([channel]).make_receive_queue(END, maxsize=10)
    wait_until(queue.full, 'the queue to be full', LIMIT)
    gateway.kill()
    wait_until(lambda: queue.queue[-1] == (channel, END), 'the end to arrive', LIMIT)
    items = [queue.get_nowait()[1] for _ in range(queue.qsize())]
    assert items == [*range(len(items) - 1), END]


def test_items_like_the_end_marker_wait_for_room(gateway: Gateway) -> None:
    channel = gateway.remote_exec('for _ in range(1000): channel.send(None)')
    queue = MultiChannel([channel]).make_receive_queue(None, maxsize=10)
    wait_until(queue.full, 'the queue to be full', LIMIT)
    for _ in range(1000):
        queue.get(timeout=LIMIT)
        assert queue.qsize() <= 11
    assert queue.get(timeout=LIMIT) == (channel, None)
    channel.waitclose(LIMIT)
    assert queue.empty()


def test_queue_gets_what_waitclose_has_taken(gateway: Gateway) -> None:
    channel = begin_counting(gateway, 100)
    channel.waitclose(LIMIT)
    queue = MultiChannel([channel]).make_receive_queue(END, maxsize=10)
    items = [queue.get(timeout=LIMIT)[1] for _ in range(101)]
    assert items == [*range(100), END]
