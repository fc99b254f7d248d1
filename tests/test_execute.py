"""`Connection.execute`: snippets of source."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from across import Connection, OperationError, ref


@pytest.mark.parametrize(
    ('source', 'value'),
    [
        ('2 + 2', 4),
        ('two = 2; two + two', 4),
        ('x = 1', None),
        ('', None),
        ('# only a comment', None),
        ('"text"', 'text'),
        ('None', None),
        ('for n in range(3): pass\nn', 2),
        ('if True:\n    5', None),  # the last statement is no expression
        ('(\n1,\n2\n)', (1, 2)),
        ('def f(n): return n and n + f(n - 1)\nf(4)', 10),
        ('import os.path as p\np.join("a", "b")', 'a/b'),
        ('base = 2\n[base ** n for n in range(3)]', [1, 2, 4]),
        ('count = 0\ndef up():\n    global count\n    count += 1\nup(); up(); count', 2),
        ('class A:\n    x = 7\nA().x', 7),
        ('é = "ü"; é', 'ü'),
        ('x: int = 3\nx', 3),
        ('"a\\tb"', 'a\tb'),
        ('1 # the last line has no end', 1),
    ],
)
def test_values(peer: Connection, source: str, value: Any) -> None:
    assert peer.execute(source) == value


def test_indented_source(peer: Connection) -> None:
    value = peer.execute("""
        total = 0
        for number in range(4):
            total += number
        total
    """)
    assert value == 6


def test_variables(peer: Connection) -> None:
    assert peer.execute('x + x', x=2) == 4
    assert peer.execute('source, self', source=1, self=2) == (1, 2)
    assert peer.execute('f(3)', f=lambda value: value * 2) == 6


def test_variables_by_reference(peer: Connection) -> None:
    items: list[int] = []
    assert peer.execute('items.append(1); len(items)', items=ref(items)) == 1
    assert items == [1]


def test_each_execution_has_its_own_names(peer: Connection) -> None:
    peer.execute('mine = 1')
    with pytest.raises(NameError, match='mine'):
        peer.execute('mine')


def test_annotations_do_not_inherit_our_future_imports(peer: Connection) -> None:
    assert peer.execute('def f(x: int): pass\nf.__annotations__') == {'x': int}


def test_function_comes_back(peer: Connection) -> None:
    twice = peer.execute('by = 2\ndef twice(x): return x * by\ntwice')
    assert twice(4) == 8
    assert peer.execute('lambda x: x + 1')(1) == 2


def test_class_comes_back(peer: Connection) -> None:
    point = peer.execute('class Point:\n    def __init__(self, x): self.x = x\nPoint(3)')
    assert point.x == 3
    assert type(point).__name__ == 'Point'


def test_exception_shows_the_line(peer: Connection) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        peer.execute('def divide(x):\n    return 1 / x  # here\n\ndivide(0)')
    shown = ''.join(traceback.format_exception(caught.value))
    assert 'return 1 / x  # here' in shown
    assert 'line 2' in shown
    assert 'divide(0)' in shown


def test_lines_of_indented_source_are_counted_from_its_start(peer: Connection) -> None:
    with pytest.raises(KeyError) as caught:
        peer.execute("""
            fine = 1
            {}['absent']
        """)
    shown = ''.join(traceback.format_exception(caught.value))
    assert "{}['absent']" in shown
    assert 'line 3' in shown


def test_syntax_error(peer: Connection) -> None:
    with pytest.raises(SyntaxError) as caught:
        peer.execute('fine = 1\nnot fine(')
    assert caught.value.lineno == 2
    assert 'not fine(' in ''.join(traceback.format_exception_only(caught.value))
    assert peer.execute('1') == 1


def test_unpicklable_value(peer: Connection) -> None:
    with pytest.raises(OperationError, match='lock'):
        peer.execute('import threading\nthreading.Lock()')
    assert peer.execute('import threading\nthreading.Lock()\nNone') is None


def test_reference_to_the_value(peer: Connection) -> None:
    lock = peer.execute('import across, threading\nacross.ref(threading.Lock())')
    assert lock.acquire() is True
    assert lock.locked() is True


@pytest.mark.parametrize('source', [None, b'1', 5, ['1']], ids=repr)
def test_source_must_be_text(pair: Any, source: Any) -> None:
    with pytest.raises(TypeError, match=type(source).__name__):
        pair.near.execute(source)


def test_null_byte_is_refused_like_by_compile(peer: Connection) -> None:
    with pytest.raises((SyntaxError, ValueError), match='null'):
        peer.execute('1\0')


def test_calls_back_from_source(peer: Connection) -> None:
    import os

    code = 'import across, os\nacross.get_connection().call(os.getpid)'
    assert peer.execute(code) == os.getpid()
