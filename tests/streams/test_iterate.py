"""`Connection.iterate`: what a remote function yields, item by item."""

from __future__ import annotations

import asyncio
import operator
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from across import (
    Connection,
    DisconnectError,
    OperationError,
    Options,
    current_call,
    get_connection,
    ref,
)
from support.ends import WORK, bare_peer, run_work, together
from support.items import failing, numbers, of_all_kinds, of_two_kinds
from support.peers import Pair, connected_pair
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def test_generator(pair: Pair) -> None:
    assert list(pair.near.iterate(numbers, 3, start=7)) == [7, 8, 9]


def test_any_iterable(pair: Pair) -> None:
    assert list(pair.near.iterate(range, 3)) == [0, 1, 2]
    assert list(pair.near.iterate(sorted, {'b': 1, 'a': 2})) == ['a', 'b']
    assert list(pair.near.iterate(str, 'text')) == ['t', 'e', 'x', 't']
    assert list(pair.near.iterate(list)) == []


def test_items_of_all_kinds_and_sizes_arrive_in_order(peer: Connection) -> None:
    assert list(peer.iterate(of_all_kinds)) == list(of_all_kinds())


def test_other_direction(pair: Pair) -> None:
    def collect() -> list[int]:
        return list(get_connection().iterate(numbers, 3000))

    assert pair.near.call(collect) == list(range(3000))


def test_bare_peer_of_another_version(other_peer: Connection) -> None:
    def total() -> int:
        return sum(get_connection().iterate(numbers, 5000))

    assert list(other_peer.iterate(of_all_kinds)) == list(of_all_kinds())
    assert other_peer.call(total) == sum(range(5000))


def test_asynchronous_generator(pair: Pair) -> None:
    async def ticks(count: int) -> AsyncIterator[int]:
        for i in range(count):
            await asyncio.sleep(0)
            yield i

    assert list(pair.near.iterate(ticks, 2000)) == list(range(2000))


def test_coroutine_that_returns_an_iterable(pair: Pair) -> None:
    async def later() -> range:
        await asyncio.sleep(0)
        return range(3)

    assert list(pair.near.iterate(later)) == [0, 1, 2]


def test_method_of_an_iterator_can_be_called_further_after_the_end(pair: Pair) -> None:
    iterator = pair.near.iterate(range, 1)
    assert [*iterator, *iterator] == [0]
    assert next(iterator, 'over') == 'over'


def test_item_is_what_it_was_when_it_was_yielded(pair: Pair) -> None:
    def growing() -> Iterator[list[int]]:
        item: list[int] = []
        for i in range(100):
            item.append(i)
            yield item

    assert [len(item) for item in pair.near.iterate(growing)] == list(range(1, 101))


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize('count', [0, 1, 5000])
def test_exception_comes_behind_the_items(peer: Connection, count: int) -> None:
    iterator = peer.iterate(failing, count, ValueError('over there'))
    got: list[int] = []
    with pytest.raises(ValueError, match='over there') as caught:
        got.extend(iterator)
    assert got == list(range(count))
    assert ', in failing' in ''.join(traceback.format_exception(caught.value))
    assert list(iterator) == []  # as with a generator


def test_function_that_fails_before_it_yields(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError):
        next(pair.near.iterate(operator.truediv, 1, 0))


def test_function_that_returns_no_iterable(pair: Pair) -> None:
    with pytest.raises(TypeError, match=r"int\(\) returned 'int', which has no items"):
        next(pair.near.iterate(int))


def test_what_is_no_function(pair: Pair) -> None:
    with pytest.raises(TypeError, match="expected a function to call, not 'range'"):
        pair.near.iterate(range(3))  # type: ignore[arg-type]


def test_stop_iteration_is_an_error(pair: Pair) -> None:
    with pytest.raises(RuntimeError, match='the other side raised StopIteration'):
        next(pair.near.iterate(next, iter([])))


def test_end_of_file_of_the_function_is_no_end(pair: Pair) -> None:
    with pytest.raises(EOFError, match='mine'):
        list(pair.near.iterate(failing, 2, EOFError('mine')))


def test_unpicklable_argument(pair: Pair) -> None:
    with pytest.raises(OperationError, match=r"'_thread.lock' object: argument 1, key 'a'"):
        pair.near.iterate(numbers, {'a': threading.Lock()})
    assert list(pair.near.iterate(numbers, 2)) == [0, 1]


def test_unpicklable_item_is_named(pair: Pair) -> None:
    closed = []

    def locks() -> Iterator[Any]:
        try:
            yield 1
            yield 2
            yield {'a': [0, threading.Lock()]}
        finally:
            closed.append(True)

    WORK.append(locks)
    got: list[int] = []
    where = "cannot pickle '_thread.lock' object: item 3, key 'a', item 2"
    with pytest.raises(OperationError, match=where):
        got.extend(pair.near.iterate(run_work))
    assert got == [1, 2]
    assert closed == [True]


class Unreadable:
    """Can be pickled, and not be unpickled."""

    def __reduce__(self) -> Any:
        return operator.truediv, (1, 0)


def test_item_that_cannot_be_unpickled_is_passed_by(pair: Pair) -> None:
    def items() -> Iterator[Any]:
        yield from (1, [2], Unreadable(), [3], Unreadable(), 4)

    iterator = pair.near.iterate(items)
    got: list[Any] = []
    for _ in range(6):
        try:
            got.append(next(iterator))
        except OperationError as exc:
            got.append(str(exc).rpartition(': ')[2])
    assert got == [1, [2], 'division by zero', [3], 'division by zero', 4]
    assert list(iterator) == []


def test_item_larger_than_the_peer_accepts() -> None:
    def items() -> Iterator[bytes]:
        yield b'small'
        yield bytes(100_000)

    with connected_pair(near=Options(max_frame_size=65536)) as pair:
        iterator = pair.near.iterate(items)
        assert next(iterator) == b'small'
        with pytest.raises(OperationError, match=r'the item takes 1000\d\d bytes'):
            next(iterator)


def test_more_iterations_than_the_peer_accepts() -> None:
    with connected_pair(far=Options(max_calls=1)) as pair:
        first = pair.near.iterate(numbers, 100_000)
        assert next(first) == 0
        with pytest.raises(OperationError, match='option max_calls over there'):
            next(pair.near.iterate(numbers, 1))


def test_a_thread_that_reads_sees_a_refusal_at_once() -> None:
    refused: list[OperationError] = []

    def iterate() -> None:
        first = conn.iterate(range, 100_000)
        next(first)
        try:
            next(conn.iterate(range, 1))
        except OperationError as exc:
            refused.append(exc)

    with bare_peer(max_calls=1) as conn:
        thread = threading.Thread(target=iterate)  # the main thread never reads
        thread.start()
        thread.join(2 * SECOND)  # the next sign of life comes later
        assert refused


def test_iterations_one_after_the_other_are_one_at_a_time() -> None:
    with bare_peer(max_calls=1) as conn:
        for _ in range(50):
            assert list(conn.iterate(range, 1)) == [0]


def test_missing_module_is_named() -> None:
    with bare_peer() as conn, pytest.raises(OperationError, match=r"conn.export\('support'\)"):
        next(conn.iterate(numbers, 3))


def test_closed_connection(pair: Pair) -> None:
    pair.near.close()
    with pytest.raises(DisconnectError):
        pair.near.iterate(range, 3)


# -------------------------------------------------------------------------- what goes on meanwhile


def test_calls_back_from_the_generator(pair: Pair) -> None:
    def squares(count: int) -> Iterator[int]:
        for i in range(count):
            yield get_connection().call(operator.mul, i, i)

    assert list(pair.near.iterate(squares, 50)) == [i * i for i in range(50)]


def test_generator_knows_its_connection_and_call(pair: Pair) -> None:
    def tell() -> Iterator[Any]:
        for _ in range(3):
            yield get_connection() is not None, current_call().cancelled, threading.get_ident()

    got = list(pair.near.iterate(tell))
    assert len(set(got)) == 1
    assert got[0][:2] == (True, False)


def test_calls_between_items(pair: Pair) -> None:
    for i in pair.near.iterate(numbers, 3000):
        if i % 100 == 0:
            assert pair.near.call(operator.neg, i) == -i


def test_iterations_within_each_other(pair: Pair) -> None:
    def table(size: int) -> Iterator[list[int]]:
        for row in get_connection().iterate(numbers, size):
            yield [row * column for column in get_connection().iterate(numbers, size)]

    assert list(pair.near.iterate(table, 12)) == [[i * j for j in range(12)] for i in range(12)]


def test_many_iterations_at_once(peer: Connection) -> None:
    iterators = [peer.iterate(numbers, 300, i) for i in range(100)]
    got = [list(items) for items in zip(*iterators, strict=True)]
    assert got == [list(range(i, i + 100)) for i in range(300)]


def test_many_threads(peer: Connection) -> None:
    def collect() -> list[int]:
        return list(peer.iterate(numbers, 3000))

    assert together(*[collect] * 8) == [list(range(3000))] * 8


def test_threads_share_an_iterator(peer: Connection) -> None:
    iterator = peer.iterate(of_two_kinds, 20_000)

    def take() -> list[int]:
        return [item[0] if isinstance(item, list) else item for item in iterator]

    parts = together(*[take] * 4)
    assert sorted(item for part in parts for item in part) == list(range(20_000))
    assert all(part == sorted(part) for part in parts)


# --------------------------------------------------------------------------------- references


def test_proxies_as_items(pair: Pair) -> None:
    def lists() -> Iterator[Any]:
        for i in range(20):
            yield ref([i])

    proxies = list(pair.near.iterate(lists))
    assert [proxy[0] for proxy in proxies] == list(range(20))


def test_our_own_object_comes_home(pair: Pair) -> None:
    mine: list[int] = []

    def give_back(proxy: Any) -> Iterator[Any]:
        yield proxy
        yield [proxy, 1]

    first, (second, _) = pair.near.iterate(give_back, ref(mine))
    assert first is mine
    assert second is mine


def test_large_buffers(peer: Connection) -> None:
    def blocks() -> Iterator[bytearray]:
        block = bytearray(200_000)
        for i in range(20):
            block[:] = bytes([i]) * 200_000
            yield block

    assert [item == bytes([i]) * 200_000 for i, item in enumerate(peer.iterate(blocks))] == [
        True
    ] * 20


def test_prints_appear_before_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    def talking() -> Iterator[int]:
        yield 1
        print('said over there')

    with bare_peer(forward_stdio=True) as conn:
        assert list(conn.iterate(talking)) == [1]
        assert capsys.readouterr().out == 'said over there\n'


def test_repr(pair: Pair) -> None:
    iterator = pair.near.iterate(range, 3)
    next(iterator)
    assert repr(iterator).startswith('<iterator over items of ')
    list(iterator)
    assert repr(iterator).endswith('ended>')
