"""Futures: `submit`, cancellation, and what both sides know of a call that nobody waits for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import operator
import os
import signal
import threading
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from across import (
    Connection,
    DisconnectError,
    OperationError,
    check_cancelled,
    current_call,
    get_connection,
    ref,
)
from support.peers import Pair, connected_pair
from support.waiting import SECOND, wait_until

LIMIT = 5 * SECOND


class Gate:
    """Where functions that run over there, in this very process, wait for the test."""

    entered = threading.Event()
    opened = threading.Event()
    seen: list[Any] = []  # noqa: RUF012  # emptied by the fixture


@pytest.fixture(autouse=True)
def gate() -> Any:
    Gate.entered, Gate.opened, Gate.seen = threading.Event(), threading.Event(), []
    yield Gate
    Gate.opened.set()


def wait_at_gate(result: Any = None) -> Any:
    Gate.entered.set()
    assert Gate.opened.wait(LIMIT)
    return result


def wait_for_cancellation() -> None:
    """Runs until it is cancelled; tells how it learned that."""
    call = current_call()
    Gate.seen.append(call.cancelled)
    Gate.entered.set()
    wait_until(lambda: call.cancelled, 'the cancellation')
    Gate.seen.append(call.cancelled)
    try:
        check_cancelled()
    except BaseException as exc:
        Gate.seen.append(exc)
        raise
    finally:
        Gate.opened.set()


class Thing:
    """Something that can be referred to weakly."""


# ------------------------------------------------------------------------------------ futures


def test_future_of_the_standard_library(pair: Pair) -> None:
    future = pair.near.submit(wait_at_gate, result=7)
    assert isinstance(future, Future)
    assert Gate.entered.wait(LIMIT)
    assert not future.done()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0)
    Gate.opened.set()
    assert future.result(LIMIT) == 7
    assert future.done()
    assert future.exception() is None
    assert not future.cancelled()


def test_result_and_arguments(peer: Connection) -> None:
    assert peer.submit(dict, 'a', func=1).exception(LIMIT) is not None
    assert peer.submit(dict, func=1, self=2).result(LIMIT) == {'func': 1, 'self': 2}
    assert peer.submit(lambda: None).result(LIMIT) is None


def test_exception_is_in_the_future(peer: Connection) -> None:
    future = peer.submit(operator.truediv, 1, 0)
    assert isinstance(future.exception(LIMIT), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        future.result(LIMIT)


def test_works_with_wait_and_as_completed(peer: Connection) -> None:
    futures = [peer.submit(operator.mul, number, number) for number in range(50)]
    assert concurrent.futures.wait(futures, LIMIT).not_done == set()
    squares = {future.result() for future in concurrent.futures.as_completed(futures, LIMIT)}
    assert squares == {number * number for number in range(50)}


def test_many_threads_wait_for_one_future(pair: Pair) -> None:
    future = pair.near.submit(wait_at_gate, 'for all')
    assert Gate.entered.wait(LIMIT)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(future.result, limit) for limit in (LIMIT, None) * 4]
        waiting.append(threads.submit(concurrent.futures.wait, [future], LIMIT))
        assert concurrent.futures.wait(waiting, 0.01 * SECOND).done == set()
        Gate.opened.set()
        assert [each.result(LIMIT) for each in waiting[:8]] == ['for all'] * 8


def test_asking_again_and_again_leaves_nothing_behind(pair: Pair) -> None:
    future: Any = pair.near.submit(wait_at_gate)
    for limit in (0, -1, 0.001):
        with pytest.raises(concurrent.futures.TimeoutError):
            future.exception(limit)
    assert future._pauses == []
    Gate.opened.set()
    assert future.exception(LIMIT) is None


def test_loop_of_asyncio_waits_for_it(peer: Connection) -> None:
    async def work() -> list[int]:
        futures = [peer.submit(abs, -number) for number in range(20)]
        return [await asyncio.wrap_future(future) for future in futures]

    assert asyncio.run(work()) == list(range(20))


def test_callback_may_call(pair: Pair) -> None:
    """A callback runs in some thread of the library, which must still be able to use it."""
    found: Future[int] = Future()

    def callback(done: Future[int]) -> None:
        found.set_result(pair.near.call(operator.add, done.result(), 1))

    pair.near.submit(operator.add, 1, 1).add_done_callback(callback)
    assert found.result(LIMIT) == 3


def test_blocking_callback_holds_up_nobody(pair: Pair) -> None:
    pair.near.submit(len, '').add_done_callback(lambda _: wait_at_gate())
    assert Gate.entered.wait(LIMIT)
    assert pair.near.call(len, 'abc') == 3
    assert pair.near.submit(len, 'ab').result(LIMIT) == 2


def test_more_calls_than_may_be_in_flight_at_a_time(peer: Connection) -> None:
    """Calls that end at once are never refused for being many."""
    futures = [peer.submit(operator.neg, number) for number in range(10_000)]
    assert [future.result(LIMIT) for future in futures] == [-n for n in range(10_000)]


def submit_back() -> int:
    future = get_connection().submit(os.getppid)
    return int(future.result(LIMIT))


def test_submit_inside_a_call(pair: Pair) -> None:
    assert pair.near.call(submit_back) == os.getppid()


def submit_and_leave() -> None:
    get_connection().submit(wait_at_gate).add_done_callback(
        lambda future: Gate.seen.append(future.exception())
    )


def test_submitted_call_outlives_the_call_that_submitted_it(pair: Pair) -> None:
    pair.near.call(submit_and_leave)
    assert Gate.entered.wait(LIMIT)
    Gate.opened.set()
    wait_until(lambda: Gate.seen)
    assert Gate.seen == [None]


def test_closing_ends_futures(pair: Pair) -> None:
    future = pair.near.submit(wait_at_gate)
    assert Gate.entered.wait(LIMIT)
    pair.near.close()
    with pytest.raises(DisconnectError, match='closed'):
        future.result(LIMIT)
    with pytest.raises(DisconnectError, match='closed'):
        pair.near.submit(len, '')


def test_unpicklable_argument_leaves_nothing_behind(pair: Pair) -> None:
    with pytest.raises(OperationError, match='lock'):
        pair.near.submit(print, ref(Thing()), threading.Lock()).result(LIMIT)
    assert pair.near.call(len, '') == 0


# ------------------------------------------------------------------------------- cancellation


def test_cancel_drops_the_result_and_tells_the_other_side(pair: Pair) -> None:
    future = pair.near.submit(wait_for_cancellation)
    assert Gate.entered.wait(LIMIT)
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    with pytest.raises(CancelledError):
        future.result(LIMIT)
    assert Gate.opened.wait(LIMIT)
    assert Gate.seen[:2] == [False, True]
    assert isinstance(Gate.seen[2], CancelledError)
    assert pair.near.call(len, '') == 0


def test_cancel_twice_and_too_late(pair: Pair) -> None:
    future = pair.near.submit(wait_for_cancellation)
    assert future.cancel()
    assert future.cancel()
    finished = pair.near.submit(len, 'ab')
    assert finished.result(LIMIT) == 2
    assert not finished.cancel()
    assert finished.result() == 2


def test_cancel_calls_callbacks_and_wakes_waiters(pair: Pair) -> None:
    future = pair.near.submit(wait_at_gate)
    assert Gate.entered.wait(LIMIT)
    called: list[Any] = []
    future.add_done_callback(called.append)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(future.exception, LIMIT)
        future.cancel()
        assert isinstance(waiting.exception(LIMIT), CancelledError)
    assert called == [future]


def test_cancelling_one_call_does_not_touch_others(pair: Pair) -> None:
    kept = pair.near.submit(wait_at_gate, 'kept')
    dropped = pair.near.submit(wait_for_cancellation)
    wait_until(lambda: Gate.seen)
    dropped.cancel()
    assert kept.result(LIMIT) == 'kept'


def test_cancel_reaches_a_real_child(peer: Connection) -> None:
    def work(seen: Any) -> None:
        import time

        import across

        seen.append('started')
        try:
            while True:
                across.check_cancelled()
                time.sleep(0.001)  # the work
        except BaseException as exc:
            seen.append(type(exc).__name__)

    seen: list[str] = []
    future = peer.submit(work, ref(seen))
    wait_until(lambda: seen)
    future.cancel()
    wait_until(lambda: len(seen) == 2, 'the end of the call')
    assert seen == ['started', 'CancelledError']


def return_ref_after_gate() -> Any:
    thing = ref(Thing())
    wait_at_gate()
    Gate.seen.append('returned')
    return thing


def test_result_of_a_cancelled_call_is_released() -> None:
    with connected_pair() as pair:
        futures = [pair.near.submit(return_ref_after_gate) for _ in range(3)]
        assert Gate.entered.wait(LIMIT)
        for future in futures:
            future.cancel()
        Gate.opened.set()
        wait_until(lambda: not live_things(), 'the results to go')


def live_things() -> list[Thing]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is Thing]


def test_result_that_arrives_while_it_is_cancelled_is_released(pair: Pair) -> None:
    for _ in range(200):
        pair.near.submit(lambda: ref(object())).cancel()
        pair.near.submit(make_thing_ref).cancel()
    pair.near.call(len, '')
    wait_until(lambda: not live_things(), 'the results to go')


def make_thing_ref() -> Any:
    return ref(Thing())


def test_arguments_of_a_cancelled_call_are_released(pair: Pair) -> None:
    future = pair.near.submit(wait_at_gate, ref(Thing()))
    assert Gate.entered.wait(LIMIT)
    future.cancel()
    Gate.opened.set()
    pair.near.call(len, '')
    wait_until(lambda: not live_things(), 'the argument to go')


# ---------------------------------------------------------------------------- dropped callers


def test_forgotten_future_leaks_nothing(pair: Pair) -> None:
    for _ in range(100):
        pair.near.submit(make_thing_ref)
    pair.near.call(len, '')
    wait_until(lambda: not live_things(), 'the results to go')


def test_call_learns_that_the_connection_was_closed(pair: Pair) -> None:
    pair.near.submit(wait_for_cancellation)
    assert Gate.entered.wait(LIMIT)
    pair.near.close()
    assert Gate.opened.wait(LIMIT)
    assert isinstance(Gate.seen[2], CancelledError)


def interrupt_and_wait() -> None:
    threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT)).start()
    wait_for_cancellation()


def test_call_learns_that_its_caller_was_interrupted(pair: Pair) -> None:
    with pytest.raises(KeyboardInterrupt):
        pair.near.call(interrupt_and_wait)
    assert Gate.opened.wait(LIMIT)
    assert isinstance(Gate.seen[2], CancelledError)
    assert pair.near.call(len, '') == 0


# ------------------------------------------------------------------------------- current call


def test_no_current_call_outside() -> None:
    with pytest.raises(ValueError, match='no call'):
        current_call()
    check_cancelled()  # does nothing: a function may use it wherever it runs


def inspect_call(pair: Pair | None = None) -> Any:
    outer = current_call()
    inner = get_connection().call(nested_call)
    check_cancelled()
    assert current_call() is outer
    return outer.connection is get_connection(), inner is not outer, outer.cancelled


def nested_call() -> bool:
    return current_call().cancelled


def test_current_call_belongs_to_the_innermost_call(pair: Pair) -> None:
    assert pair.near.call(inspect_call) == (True, True, False)
    with pytest.raises(ValueError):
        current_call()


def test_other_threads_have_no_current_call(pair: Pair) -> None:
    assert pair.near.call(current_call_in_thread) == 'ValueError'


def current_call_in_thread() -> str:
    found = []

    def look() -> None:
        try:
            found.append(repr(current_call()))
        except Exception as exc:
            found.append(type(exc).__name__)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]
