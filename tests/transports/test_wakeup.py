"""The switch that ends waits."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from across._core.transports.wakeup import Wakeup
from support.waiting import MS, SECOND


@pytest.fixture(params=['eventfd', 'pipe'])
def wakeup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wakeup:
    if request.param == 'pipe':
        monkeypatch.delattr(os, 'eventfd', raising=False)
    elif not hasattr(os, 'eventfd'):
        pytest.skip('no os.eventfd here')
    return Wakeup()


def is_readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup.fileno()], [], [], 0)[0])


def test_readable_once_set_and_ever_after(wakeup: Wakeup) -> None:
    assert not is_readable(wakeup)
    assert not wakeup.wait(0)
    for _ in range(300):
        wakeup.set()
        assert is_readable(wakeup)
    assert wakeup.is_set
    assert wakeup.wait(60)
    wakeup.close()


def test_set_before_there_is_a_descriptor(wakeup: Wakeup) -> None:
    wakeup.set()
    assert is_readable(wakeup)
    wakeup.close()


def test_nothing_is_opened_before_it_is_needed(wakeup: Wakeup) -> None:
    before = os.dup(0)
    os.close(before)
    wakeup.set()
    after = os.dup(0)
    os.close(after)
    assert after == before
    wakeup.close()


def test_set_after_close_touches_no_other_descriptor(wakeup: Wakeup) -> None:
    wakeup.fileno()
    wakeup.close()
    read_fd, write_fd = os.pipe()  # gets the number that has just become free
    wakeup.set()
    assert wakeup.fileno() == -1
    assert not select.select([read_fd], [], [], 0)[0]
    wakeup.close()
    os.close(read_fd)
    os.close(write_fd)


def test_a_pipe_that_is_full_is_no_error(wakeup: Wakeup) -> None:
    wakeup.fileno()
    for _ in range(10_000):  # eight bytes each, beyond what a pipe holds
        wakeup.set()
    wakeup.close()


def test_set_from_another_thread_ends_a_wait(wakeup: Wakeup) -> None:
    thread = threading.Thread(target=wakeup.set)
    thread.start()
    while not wakeup.wait(5 * SECOND):
        pytest.fail('nobody set it')
    thread.join()
    wakeup.close()


def test_set_by_a_signal_handler_that_interrupts_its_own_methods(wakeup: Wakeup) -> None:
    wakeup.fileno()
    previous = signal.signal(signal.SIGUSR1, lambda *_: wakeup.set())
    try:
        with wakeup.lock:  # as if set() or close() had been interrupted
            signal.raise_signal(signal.SIGUSR1)
        assert wakeup.wait(100 * MS)
    finally:
        signal.signal(signal.SIGUSR1, previous)
        wakeup.close()


def test_abandon_where_a_vanished_thread_holds_the_lock(wakeup: Wakeup) -> None:
    wakeup.fileno()
    lock = wakeup.lock
    thread = threading.Thread(target=lock.acquire)  # ends without releasing it
    thread.start()
    thread.join()
    wakeup.abandon()
    wakeup.set()
    wakeup.close()
