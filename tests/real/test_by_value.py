"""Functions and values of few types by value, in each interpreter of the machine as a bare peer.

What travels between different versions is the same as between equal ones.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, OperationError
from support.interpreters import Interpreter
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 10 * SECOND
STEP = 4


# ---------------------------------------------------------------------------------- functions


def test_functions(bare: Connection) -> None:
    offset = 10

    def work(value: int, *more: int, scale: int = 2, **named: int) -> list[int]:
        def inner(number: int) -> int:
            return number * scale + offset + STEP

        return [inner(number) for number in (value, *more)] + sorted(named.values())

    assert bare.call(work, 1, 2, scale=3, x=7) == [17, 20, 7]
    assert bare.call(lambda first, second=5: first + second, 1) == 6
    assert (bare.call(lambda value: value * STEP, 3), bare.call(lambda: offset)) == (12, 10)


def test_functions_that_call_each_other(bare: Connection) -> None:
    def is_even(number: int) -> bool:
        return number == 0 or is_odd(number - 1)

    def is_odd(number: int) -> bool:
        return number != 0 and is_even(number - 1)

    assert bare.call(is_even, 10)


def test_decorated_functions(bare: Connection) -> None:
    def twice(func: Callable[[int], int]) -> Callable[[int], int]:
        @functools.wraps(func)
        def wrapper(value: int) -> int:
            return func(func(value))

        return wrapper

    @twice
    def add(value: int) -> int:
        return value + 1

    assert bare.call(add, 1) == 3


def test_functions_that_dispatch_on_types(bare: Connection) -> None:
    class Base:
        pass

    @functools.singledispatch
    def depth(value: object) -> int:
        return 0

    @depth.register(list)
    def of_list(value: list[Any]) -> int:
        return 1 + max(map(depth, value))

    @depth.register(Base)
    def of_base(value: Base) -> int:
        return -1

    class Shape:
        @functools.singledispatchmethod
        def name(self, value: object) -> str:
            return 'object'

        @name.register(int)
        def of_int(self, value: int) -> str:
            return 'number'

    assert bare.call(depth, [1, [2]]) == 2
    assert bare.call(lambda: (depth(Base()), depth(''))) == (-1, 0)
    assert bare.call(lambda: [Shape().name(each) for each in (1, '')]) == ['number', 'object']


def test_generators_that_can_be_awaited(bare: Connection) -> None:
    @types.coroutine
    def pause() -> Any:
        yield
        return STEP

    async def work() -> int:
        return int(await pause())

    assert bare.call(work) == STEP
    assert bare.call(bare.call(lambda: work)) == STEP  # and back, and there again


def test_generators_and_async_functions(bare: Connection) -> None:
    def count(limit: int) -> Any:
        for number in range(limit):
            sent = yield number * STEP
            if sent:
                yield sent

    async def wait(value: int) -> int:

        return sum(await asyncio.gather(*(asyncio.sleep(0, n) for n in range(value))))

    assert list(bare.call_ref(count, 3)) == [0, 4, 8]
    assert bare.call(lambda: list(count(2))) == [0, 4]
    assert bare.call(wait, 4) == 6
    assert bare.submit(wait, 3).result(LIMIT) == 3


def test_functions_come_back(bare: Connection) -> None:
    by = 3
    scale = bare.call(lambda: lambda value: value * by)
    assert scale(2) == 6
    twice = bare.execute('def twice(x):\n    return x * 2\ntwice')
    assert twice(4) == 8


def test_function_without_source(bare: Connection, interpreter: Interpreter) -> None:
    namespace: dict[str, Any] = {}
    exec('def secret(): return 5', namespace)
    if interpreter.version == sys.version_info[:2]:
        assert bare.call(namespace['secret']) == 5
        return
    with pytest.raises(OperationError) as caught:
        bare.call(namespace['secret'])
    message = str(caught.value)
    assert 'secret' in message
    assert 'source' in message
    assert interpreter.name in message
    assert bare.call(len, '') == 0


def test_functions_that_share_a_variable(bare: Connection) -> None:
    count = 0

    def increase() -> None:
        nonlocal count
        count += 1

    def work(increase: Callable[[], None], get: Callable[[], int]) -> int:
        increase()
        increase()
        return get()

    assert bare.call(work, increase, lambda: count) == 2
    assert count == 0


def test_global_in_the_body_of_a_class(bare: Connection) -> None:
    def make() -> int:
        class Local:
            step = STEP

        return Local.step

    assert bare.call(make) == STEP


def test_annotations_need_nothing(bare: Connection) -> None:
    class Here:
        pass

    def annotated(first: int, second: pytest.MonkeyPatch | None = None) -> Here | None:
        return None

    annotated.__annotations__.update({'first': int, 'second': pytest.MonkeyPatch, 'return': Here})
    assert bare.call(annotated, 1) is None
    found = bare.call(lambda: annotated.__annotations__)
    assert (found['first'], 'MonkeyPatch' in found['second']) == (int, True)


# ------------------------------------------------------------------------------------- values


def test_standard_streams_are_those_of_the_peer(bare: Connection) -> None:
    streams = sys.stdout, sys.stderr
    assert bare.call(lambda: (streams[0] is sys.stdout, streams[1] is sys.stderr)) == (True, True)


def test_views_of_dicts(bare: Connection) -> None:
    table = {'a': 1, 'b': 2}
    views = table.keys(), table.values(), table.items()
    assert bare.call(lambda *each: [list(view) for view in each], *views) == [
        ['a', 'b'],
        [1, 2],
        [('a', 1), ('b', 2)],
    ]


@pytest.mark.parametrize('mode', ['r', 'rb', 'w'])
def test_open_files_stay_where_they_are(bare: Connection, tmp_path: Path, mode: str) -> None:
    path = tmp_path / 'file'
    path.write_text('text')
    with path.open(mode) as file, pytest.raises(OperationError) as caught:
        bare.call(type, file)
    assert str(caught.value).startswith("cannot pickle '_io.")
    assert 'argument 1' in str(caught.value)
    with pytest.raises(OperationError, match=r"cannot pickle '_io\.\w+' object: the result"):
        bare.call(open, str(path), mode)


def test_modules_go_by_name(bare: Connection) -> None:
    assert bare.call(lambda module: module.dumps([1]), json) == '[1]'
    with pytest.raises(OperationError, match="cannot pickle module 'made_up': argument 1"):
        bare.call(type, types.ModuleType('made_up'))


def test_locks_stay_where_they_are(bare: Connection) -> None:
    lock = threading.Lock()
    with pytest.raises(OperationError, match=r"cannot pickle '_thread\.lock' object: the function"):
        bare.call(lambda: lock)


def test_methods_of_callables_without_a_name(bare: Connection) -> None:
    add = functools.partial(lambda first, second: first + second, 1)
    assert bare.call(types.MethodType(add, 5)) == 6


def test_code_objects_go_to_the_same_python_only(
    bare: Connection, interpreter: Interpreter
) -> None:
    code = compile('1 + 2', 'sum', 'eval')
    if interpreter.version == sys.version_info[:2]:
        assert bare.call(eval, code) == 3
        return
    with pytest.raises(OperationError, match="the code object '<module>' cannot be sent"):
        bare.call(eval, code)
    assert bare.call(len, '') == 0
