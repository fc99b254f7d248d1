"""Each interpreter of the machine as a bare peer of the one that runs the tests.

What travels between different versions is the same as between equal ones.
"""

from __future__ import annotations

import builtins
import collections
import copy
import decimal
import functools
import importlib
import json
import logging
import os
import queue
import sys
import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, ForeignError, OperationError, Options, get_connection, ref
from support.interpreters import Interpreter, bare_command
from support.waiting import SECOND

if TYPE_CHECKING:
    pass

LIMIT = 10 * SECOND
STEP = 4
ExceptionGroup: Any = getattr(builtins, 'ExceptionGroup', None)  # from 3.11 on


# ------------------------------------------------------------------------------- by reference


def test_by_reference(bare: Connection) -> None:
    assert bare.call(json.loads, '{"a": [1, 2.5, null]}') == {'a': [1, 2.5, None]}
    assert bare.call(decimal.Decimal, '1.10') == decimal.Decimal('1.10')
    assert bare.call(collections.Counter('aab').most_common, 1) == [('a', 2)]
    assert bare.call(functools.partial(int, base=2), '11') == 3
    assert bare.call(os.path.join, 'a', 'b') == 'a/b'


VALUES: list[Any] = [
    None, True, -1, 1 << 80, 1.5, 2j, 'ä\udc80', b'\0', (1, (2,)), {1, 2}, frozenset({1}),
    {'a': {'b': []}}, range(3), slice(1, 2), Ellipsis, bytearray(b'x'), int, len,
    decimal.Decimal('0.1'), Path('a/b'), collections.deque([1], 5), collections.OrderedDict(a=1),
    collections.defaultdict(list, a=[1]), bytes(1 << 17), bytearray(1 << 17), 'x' * (1 << 17),
]  # fmt: skip


def test_values_there_and_back(bare: Connection) -> None:
    for value in VALUES:
        found = bare.call(lambda value: value, value)
        assert found == value
        assert type(found) is type(value)


# ------------------------------------------------------------------------------------- export


@pytest.fixture
def shop_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp('shop')
    (folder / 'shop').mkdir()
    (folder / 'shop' / '__init__.py').write_text('from .stock import Item, fail\ncount = 0\n')
    (folder / 'shop' / 'stock.py').write_text(
        textwrap.dedent("""\
            class Item:
                def __init__(self, price):
                    self.price = price

                def times(self, count):
                    return Item(self.price * count)

            def fail():
                raise LookupError('sold out')  # in an exported module
        """)
    )
    monkeypatch.syspath_prepend(folder)
    for name in ('shop', 'shop.stock'):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_exported_modules(bare: Connection, shop_folder: None) -> None:
    module: Any = importlib.import_module('shop')
    with pytest.raises(OperationError, match=r"conn\.export\('shop'\)"):
        bare.call(module.Item, 2)
    bare.export('shop')
    found = bare.call(module.Item(2).times, 3)
    assert (type(found) is module.Item, found.price) == (True, 6)
    bare.execute('import shop; shop.count += 1')
    assert bare.execute('import shop; shop.count') == 1
    with pytest.raises(LookupError, match='sold out') as caught:
        bare.call(module.fail)
    shown = ''.join(traceback.format_exception(caught.value))
    assert "raise LookupError('sold out')  # in an exported module" in shown
    assert module.stock.__file__ in shown


# ------------------------------------------------------------------------------------- errors


def test_exception_with_file_line_and_source(bare: Connection, interpreter: Interpreter) -> None:
    def inner(value: int) -> float:
        return 1 / value  # the line that fails

    def outer() -> None:
        try:
            inner(0)
        except ZeroDivisionError as exc:
            raise LookupError('not found') from exc

    with pytest.raises(LookupError, match='not found') as caught:
        bare.call(outer)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    shown = ''.join(traceback.format_exception(caught.value))
    assert 'return 1 / value  # the line that fails' in shown
    assert "raise LookupError('not found') from exc" in shown
    line = inner.__code__.co_firstlineno + 1
    assert f'line {line}, in inner' in shown or f':{line}' in shown
    assert __file__ in shown
    assert f'process {bare.call(os.getpid)}' in shown


def test_exception_of_a_local_class(bare: Connection) -> None:
    class OddError(ValueError):
        def __init__(self, code: int) -> None:
            super().__init__(f'code {code}')
            self.code = code

    def fail() -> None:
        raise OddError(7)

    with pytest.raises(Exception, match='7') as caught:
        bare.call(fail)
    assert 'OddError' in ''.join(traceback.format_exception_only(caught.value))


def test_exception_of_the_other_version(bare: Connection) -> None:
    """Groups and notes where both sides have them, syntax errors everywhere."""
    with pytest.raises(SyntaxError):
        bare.execute('1 +')
    if ExceptionGroup and bare.execute('import sys; sys.version_info >= (3, 11)'):
        with pytest.raises(ExceptionGroup, match='both') as caught:
            bare.execute("raise ExceptionGroup('both', [KeyError('k'), ValueError('v')])")
        assert [type(exc) for exc in caught.value.exceptions] == [KeyError, ValueError]
        with pytest.raises(KeyError) as noted:
            bare.execute("error = KeyError('k')\nerror.add_note('a note')\nraise error")
        assert noted.value.__notes__ == ['a note']


@pytest.mark.skipif(not ExceptionGroup, reason='needs Python 3.11 on this side')
def test_local_exception_group_over_there(bare: Connection, interpreter: Interpreter) -> None:
    """Those before 3.11 have no groups, but can still tell what happened."""

    def fail() -> None:
        raise ExceptionGroup('both', [KeyError('k')])

    expected = ExceptionGroup if interpreter.version >= (3, 11) else ForeignError
    with pytest.raises(expected, match='both') as caught:
        bare.call(lambda call: call(), ref(fail))
    if isinstance(caught.value, ForeignError):
        assert caught.value.type_name == 'ExceptionGroup'
        assert "KeyError: 'k'" in str(caught.value)


# -------------------------------------------------------------------- proxies, submit, execute


def test_proxies(bare: Connection) -> None:
    items = bare.call_ref(dict, a=1)
    items['b'] = [2]
    assert (len(items), sorted(items), 'a' in items) == (2, ['a', 'b'], True)
    assert copy.deepcopy(items) == {'a': 1, 'b': [2]}
    local: list[str] = []
    bare.call(lambda col, text: col.append(text), ref(local), 'from there')
    assert local == ['from there']
    assert bare.call(lambda d: type(d) is dict, items)
    with bare.call_ref(open, os.devnull) as file:
        assert file.read() == ''


def test_nested_calls(bare: Connection) -> None:
    def count(down: Any, depth: int) -> int:
        return 0 if not depth else 1 + int(down(depth - 1))

    def down(depth: int) -> int:
        return 0 if not depth else 1 + int(get_connection().call(count, ref(down), depth - 1))

    assert bare.call(count, ref(down), 11) == 11


def test_submit_and_cancel(bare: Connection) -> None:
    futures = [bare.submit(lambda value: value + STEP, number) for number in range(20)]
    assert [future.result(LIMIT) for future in futures] == [n + STEP for n in range(20)]

    def work(seen: Any) -> None:
        import time

        import across

        seen('started')
        while not across.current_call().cancelled:
            time.sleep(0.001)  # the work
        seen('cancelled')

    seen: queue.Queue[str] = queue.Queue()
    future = bare.submit(work, ref(seen.put))
    assert seen.get(timeout=LIMIT) == 'started'
    assert future.cancel()
    assert seen.get(timeout=LIMIT) == 'cancelled'


def test_execute(bare: Connection) -> None:
    assert bare.execute('two = 2; two + two') == 4
    assert bare.execute('[x + n for n in range(2)]', x=2) == [2, 3]
    with pytest.raises(KeyError) as caught:
        bare.execute("def f():\n    return {}['absent']  # here\nf()")
    assert "return {}['absent']  # here" in ''.join(traceback.format_exception(caught.value))


# ---------------------------------------------------------------------------- streams, logging


def test_forwarded_streams(interpreter: Interpreter, capsys: pytest.CaptureFixture[str]) -> None:
    options = Options(forward_stdio=True)
    with Connection.from_command(bare_command(interpreter), options=options) as conn:
        conn.execute('import sys; print("out ä"); print("err", file=sys.stderr)')
        assert capsys.readouterr() == ('out ä\n', 'err\n')
        conn.execute('import os; os.system("echo child")')
        assert capsys.readouterr().out == 'child\n'


def test_logging(bare: Connection, caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        import logging

        import across.logging

        logger = logging.getLogger('matrix')
        logger.setLevel(logging.INFO)
        logger.addHandler(across.logging.AcrossHandler())
        try:
            1 / 0
        except ZeroDivisionError:
            logger.exception('failed %d times', 2)

    with caplog.at_level(logging.INFO):
        bare.call(work)
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ('matrix', 'failed 2 times')
    assert 'ZeroDivisionError' in str(record.exc_text)
