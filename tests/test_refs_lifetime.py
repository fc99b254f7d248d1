"""Remote objects live as long as somebody refers to them: no longer, and no shorter."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, OperationError, Proxy, get_connection, ref
from support.peers import Pair, connected_pair
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10 * SECOND


class Thing:
    """Something that can be referred to weakly, and counted."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def get(self) -> int:
        return self.value

    def me(self) -> Thing:
        return self

    def other(self) -> Any:
        return ref(Thing(self.value + 1))


def live_things() -> int:
    gc.collect()
    return sum(type(thing) is Thing for thing in gc.get_objects())


@pytest.fixture(autouse=True)
def tables_end_empty(pair: Pair) -> Iterator[None]:
    """Whatever a test does: in the end neither side holds anything for the other."""
    before = live_things()
    yield
    wait_until_empty(pair)
    wait_until(lambda: live_things() == before, 'the things to go')


def wait_until_empty(pair: Pair) -> None:
    def sizes() -> list[int]:
        for conn in pair:
            if conn.is_connected():
                conn.call(len, '')  # releases leave with the next message
        return [len(conn._link.exports) for conn in pair]

    gc.collect()
    wait_until(lambda: not any(sizes()), 'the tables of exported objects to be empty', LIMIT)


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Garbage is collected wherever the interpreter may do it."""
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(1)
    sys.setswitchinterval(1e-6)
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


def same(value: Any) -> Any:
    return value


def make(value: int = 0) -> Any:
    return ref(Thing(value))


def make_many(count: int) -> list[Any]:
    return [ref(Thing(number)) for number in range(count)]


def use(thing: Any) -> int:
    return int(thing.get())


# ------------------------------------------------------------------------------- release


def test_released_when_the_last_proxy_goes(pair: Pair) -> None:
    for conn in pair:
        proxy = conn.call_ref(Thing, 5)
        assert live_things() == 1
        assert proxy.get() == 5
        del proxy
        # Reported without any further call.
        wait_until(lambda: live_things() == 0, 'the release')


def test_released_soon_where_nobody_waited_for_an_answer() -> None:
    # A new connection is left alone for a while, until the first thing comes over it.
    with connected_pair() as pair:
        proxy = pair.near.submit(make).result(LIMIT)
        assert live_things() == 1
        del proxy
        wait_until(lambda: live_things() == 0, 'the release', 4)  # before the first look


def test_passed_reference_is_released_after_the_call(pair: Pair) -> None:
    thing = Thing(3)
    gone = weakref.ref(thing)
    assert pair.near.call(use, ref(thing)) == 3
    del thing
    wait_until(lambda: gone() is None, 'the release')


kept: list[Any] = []


def keep(value: Any) -> None:
    kept.append(value)


def test_kept_proxy_keeps_the_object(pair: Pair) -> None:
    pair.near.call(keep, ref(Thing(8)))
    gc.collect()
    wait_until(lambda: live_things() == 1)
    assert [proxy.get() for proxy in kept] == [8]
    kept.clear()


def test_copies_of_the_handle_share_one_life(pair: Pair) -> None:
    first = pair.near.call_ref(Thing, 1)
    others = [copy.copy(first), first.me()]
    assert all(other is first for other in others)
    del first
    gc.collect()
    assert others[0].get() == 1


def test_proxy_in_a_cycle_is_released(pair: Pair) -> None:
    cycle: list[Any] = [pair.near.call_ref(Thing)]
    cycle.append(cycle)
    del cycle
    gc.collect()


def test_many_at_once(pair: Pair) -> None:
    proxies = pair.near.call(make_many, 2000)
    assert proxies[1234].get() == 1234
    del proxies[::2]
    assert sum(proxy.get() for proxy in proxies[:10]) == 100


def test_references_of_failed_calls(pair: Pair) -> None:
    for _ in range(10):
        with pytest.raises(OperationError):
            pair.near.call(print, ref(Thing()), threading.Lock())
        with pytest.raises(OperationError):
            pair.near.call(make_with_lock)
        with pytest.raises(TypeError):
            pair.near.call(len, ref(Thing()))
        with pytest.raises(OperationError):
            pair.near.call(same, [ref(Thing()), Fragile()])


def make_with_lock() -> Any:
    return [ref(Thing()), threading.Lock()]


class Fragile:
    def __reduce__(self) -> Any:
        return int, ('not a number',)


def fail_with(*values: Any) -> None:
    raise LookupError(ref(Thing()), *values)


def test_references_in_exceptions(pair: Pair) -> None:
    for _ in range(5):
        with pytest.raises(LookupError):
            pair.near.call(fail_with, ref(Thing(2)))


def test_proxies_outlive_their_connection_quietly(pair: Pair) -> None:
    proxy = pair.near.call_ref(Thing)
    pair.far.call(keep, ref(Thing()))
    pair.near.close()
    pair.far.close()
    wait_until(lambda: live_things() == 0, 'closing to release everything')
    del proxy
    kept.clear()


# ---------------------------------------------------------------------------------- races


def test_call_that_returns_the_passed_reference(pair: Pair, eager_collector: None) -> None:
    """The release of the argument's proxy and its use in the result cross each other."""
    thing = Thing(1)
    for conn in pair:
        for _ in range(1000):
            assert conn.call(same, ref(thing)) is thing


def test_returning_it_wrapped_again(pair: Pair) -> None:
    thing = Thing(1)
    for _ in range(2000):
        assert pair.near.call(ref, ref(thing)) is thing


def test_passing_a_proxy_while_it_is_dropped(pair: Pair, eager_collector: None) -> None:
    for number in range(500):
        # The only reference to the proxy is the argument itself.
        assert pair.near.call(use, pair.near.call(make, number)) == number


def test_chains_of_temporary_proxies(pair: Pair, eager_collector: None) -> None:
    for _ in range(200):
        assert pair.near.call(make, 1).other().other().me().get() == 3


def test_drop_crosses_a_new_reference_to_the_same_object(pair: Pair) -> None:
    """While one side drops its last proxy, the other sends the object once more."""
    thing = Thing(4)
    stop = threading.Event()

    def push() -> None:
        while not stop.is_set():
            assert pair.far.call(use, ref(thing)) == 4

    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(push) for _ in range(3)]
        for _ in range(500):
            assert pair.far.call(use, ref(thing)) == 4
        stop.set()
        for future in futures:
            future.result(LIMIT)


def test_many_threads_share_and_drop(pair: Pair) -> None:
    things = [Thing(number) for number in range(5)]

    def work(number: int) -> None:
        conn = pair[number % 2]
        for turn in range(100):
            thing = things[turn % len(things)]
            assert conn.call(same, [ref(thing), ref(thing)]) == [thing, thing]
            assert conn.call(make, turn).get() == turn

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


def test_futures_drop_their_references(pair: Pair) -> None:
    futures = [pair.near.submit(same, ref(Thing(number))) for number in range(500)]
    assert [future.result(LIMIT).value for future in futures] == list(range(500))
    futures = [pair.near.submit(make, number) for number in range(500)]
    assert [future.result(LIMIT).get() for future in futures[:20]] == list(range(20))
    for future in futures[20:]:
        future.cancel()


class Finalized:
    """Whose end is noticed, in whatever thread it comes."""

    ended: list[Any] = []  # noqa: RUF012  # shared on purpose

    def __init__(self, conn: Any = None) -> None:
        self.conn = conn

    def __del__(self) -> None:
        if self.conn is not None:
            self.ended.append(self.conn.call(len, 'four'))
        else:
            self.ended.append(None)


def test_finalizer_of_a_released_object_may_call(pair: Pair) -> None:
    Finalized.ended.clear()
    proxy = pair.near.call_ref(make_finalized)
    assert not Finalized.ended
    del proxy
    wait_until(lambda: Finalized.ended, 'the finalizer')
    assert Finalized.ended == [4]


def make_finalized() -> Any:
    return Finalized(get_connection())


def test_finalizers_run_at_any_moment(pair: Pair, eager_collector: None) -> None:
    """Cycles that hold proxies are collected inside of the library's own code, too."""
    for number in range(300):
        cycle: list[Any] = [pair.near.call(make, number), Finalized()]
        cycle.append(cycle)
        del cycle
        assert pair.near.call(len, 'x' * number) == number


# ------------------------------------------------------------------------------ real child


def test_child_holds_nothing_in_the_end(peer: Connection) -> None:
    def count() -> int:
        import gc

        gc.collect()
        return sum(type(value).__name__ == 'Marked' for value in gc.get_objects())

    def make_marked() -> Any:
        class Marked(list):  # type: ignore[type-arg]
            pass

        return Marked()

    for _ in range(1000):
        proxy = peer.call_ref(make_marked)
        proxy.append(1)
        assert isinstance(proxy, Proxy)
        assert peer.call(len, proxy) == 1
    del proxy
    wait_until(lambda: peer.call(count) == 0, 'the child to let go')
