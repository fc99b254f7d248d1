"""`async def` functions, awaited on the side that runs them."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from across import Connection, Proxy, check_cancelled, current_call, get_connection, ref
from support.peers import Pair
from support.waiting import SECOND, wait_until

LIMIT = 5 * SECOND


async def add(first: int, second: int) -> int:
    await asyncio.sleep(0)
    return first + second


async def fail() -> None:
    await asyncio.sleep(0)
    raise LookupError('in a coroutine')


class Worker:
    async def work(self, value: int) -> int:
        await asyncio.sleep(0)
        return value * 2

    async def __call__(self, value: int) -> int:
        return await self.work(value) + 1


def test_call_and_submit(pair: Pair) -> None:
    assert pair.near.call(add, 1, second=2) == 3
    assert pair.near.submit(add, 1, 2).result(LIMIT) == 3


def test_by_value(peer: Connection) -> None:
    offset = 10

    async def scale(value: int) -> int:
        import asyncio

        parts = await asyncio.gather(*(asyncio.sleep(0, n) for n in range(value)))
        return sum(parts) + offset

    assert peer.call(scale, 4) == 16
    assert peer.submit(scale, 3).result(LIMIT) == 13


def test_methods_callables_and_partials(pair: Pair) -> None:
    assert pair.near.call(Worker().work, 2) == 4
    assert pair.near.call(Worker(), 2) == 5
    assert pair.near.call(functools.partial(add, 1), 5) == 6


def test_call_ref(pair: Pair) -> None:
    async def make() -> list[int]:
        return [1]

    proxy = pair.near.call_ref(make)
    assert issubclass(type(proxy), Proxy)
    assert list(proxy) == [1]


def test_exception(pair: Pair) -> None:
    with pytest.raises(LookupError, match='in a coroutine'):
        pair.near.call(fail)
    assert isinstance(pair.near.submit(fail).exception(LIMIT), LookupError)


def test_method_of_a_proxy(pair: Pair) -> None:
    """A method of a proxy is a call: what it returns is awaited where it runs."""
    assert pair.near.call_ref(Worker).work(3) == 6


async def where_am_i() -> tuple[bool, bool]:
    before = get_connection()
    await asyncio.sleep(0)
    task = asyncio.get_running_loop().create_task(in_task())
    return before is get_connection(), await task is before


async def in_task() -> Any:
    check_cancelled()
    assert not current_call().cancelled
    return get_connection()


def test_context_inside(pair: Pair) -> None:
    assert pair.near.call(where_am_i) == (True, True)


async def calls_back(depth: int) -> int:
    await asyncio.sleep(0)
    if not depth:
        return 0
    return int(get_connection().call(calls_back, depth - 1)) + 1


def test_nested(pair: Pair) -> None:
    """A nested coroutine is run by a thread in which a loop runs already."""
    assert pair.near.call(calls_back, 4) == 4


def test_called_from_within_a_loop(pair: Pair) -> None:
    async def main() -> int:
        first = await asyncio.wrap_future(pair.near.submit(add, 1, 1))
        return int(first) + int(pair.near.call(add, 1, 1))

    assert asyncio.run(main()) == 4


def test_many_at_once(peer: Connection) -> None:
    """They wait together, each in the loop of its own call."""

    async def meet(number: int, arrived: Any, opened: Any) -> int:
        import asyncio

        arrived.release()
        while not opened.is_set():
            await asyncio.sleep(0.001)
        return number

    arrived, opened = threading.Semaphore(0), threading.Event()
    futures = [peer.submit(meet, n, ref(arrived), ref(opened)) for n in range(8)]
    for _ in range(8):
        assert arrived.acquire(timeout=LIMIT)
    opened.set()
    assert [future.result(LIMIT) for future in futures] == list(range(8))


def test_cancelled_between_awaits(peer: Connection) -> None:
    async def work(seen: Any) -> None:
        import asyncio

        import across

        seen.append('started')
        try:
            while True:
                await asyncio.sleep(0.001)
                across.check_cancelled()
        except BaseException as exc:
            seen.append(type(exc).__name__)
            raise

    seen: list[str] = []
    future = peer.submit(work, ref(seen))
    wait_until(lambda: seen)
    future.cancel()
    wait_until(lambda: len(seen) == 2)
    assert seen[1] == 'CancelledError'


def test_functions_that_only_return_an_awaitable(pair: Pair) -> None:
    def make() -> Any:
        return add(2, 3)

    assert pair.near.call(make) == 5
