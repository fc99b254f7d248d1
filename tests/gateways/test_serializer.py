"""Plain values to bytes and back, and nothing else."""

from __future__ import annotations

import enum
import io
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from across.gateways.execnet import DumpError, LoadError, dump, dumps, load, loads
from across.gateways.execnet.serializer import check


class Colour(enum.IntEnum):
    RED = 1


class Named(str):
    __slots__ = ()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.binary()
    | st.text(st.characters())
)
keys = st.recursive(scalars, lambda each: st.tuples(each, each) | st.frozensets(each), max_leaves=5)
values = st.recursive(
    keys | st.sets(keys, max_size=3),
    lambda each: (
        st.lists(each, max_size=4)
        | st.dictionaries(keys, each, max_size=4)
        | st.tuples(each)
        | st.tuples(each, each)
    ),
    max_leaves=10,
)


def types_of(value: Any) -> Any:
    """The types in a value; 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return dict, [(types_of(key), types_of(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(item) for item in value]
    return type(value)


@settings(max_examples=25)
@given(values)
def test_value_comes_back(value: Any) -> None:
    found = loads(dumps(value))
    assert found == value
    assert types_of(found) == types_of(value)


@pytest.mark.parametrize('number', [1 << 62, 1 << 63, -(1 << 63), -(1 << 63) - 1, 1 << 1000, -255])
def test_large_integer(number: int) -> None:
    assert loads(dumps(number)) == number


def test_half_surrogate_in_a_name() -> None:
    assert loads(dumps('a\udcffb')) == 'a\udcffb'


def test_files_hold_values_one_after_the_other() -> None:
    file = io.BytesIO()
    dump(file, [1])
    dump(file, 'two')
    file.seek(0)
    assert (load(file), load(file)) == ([1], 'two')


@pytest.mark.parametrize(
    ('value', 'name'),
    [
        (object(), 'builtins.object'),
        (Colour.RED, 'Colour'),
        (Named('x'), 'Named'),
        (bytearray(b'x'), 'builtins.bytearray'),
        (ValueError('x'), 'builtins.ValueError'),
        ({'deep': [(1, {2: print})]}, 'builtin_function_or_method'),
        ({Colour.RED: 1}, 'Colour'),
    ],
)
def test_other_types_are_refused(value: Any, name: str) -> None:
    with pytest.raises(DumpError, match=f"can't dump .*{name}: only None, bool, int"):
        dumps(value)


def test_value_in_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(DumpError, match='250 levels deep, or contains itself'):
        dumps(value)


def test_check_allows_what_it_is_told_to() -> None:
    check([Named('x')], Named)
    with pytest.raises(DumpError):
        check([Named('x')])


@settings(max_examples=25)
@given(st.binary() | st.binary().map(lambda data: b'AX1' + data))
def test_garbage_is_only_ever_refused(data: bytes) -> None:
    try:
        loads(data)
    except LoadError:
        pass


@settings(max_examples=25)
@given(values, st.data())
def test_damage_is_only_ever_refused(value: Any, data: st.DataObject) -> None:
    whole = bytearray(dumps(value))
    index = data.draw(st.integers(0, len(whole) - 1))
    whole[index] = data.draw(st.integers(0, 255))
    for damaged in (whole, whole[:index]):
        try:
            loads(bytes(damaged))
        except LoadError:
            pass


def test_nothing_is_run() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return print, ('boom',)

    with pytest.raises(LoadError, match='do not begin as those of dumps'):
        loads(pickle.dumps(Bomb()))


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'AX1i\0', 'end in the middle of a value'),
        (b'AX1s\xff\xff\xff\xff', 'end in the middle of a value'),
        (b'AX1NN', 'bytes behind the value'),
        (b'AX1?', "no value begins with b'\\?'"),
        (b'AX1S\0\0\0\1l\0\0\0\0', 'there is no such set: unhashable'),
        (b'AX1s\0\0\0\1\xff', 'is not UTF-8'),
        (b'AX1' + b'l\0\0\0\1' * 300, '250 levels deep'),
    ],
)
def test_refusal_says_why(data: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        loads(data)


def test_text_is_no_data() -> None:
    with pytest.raises(LoadError, match='expected bytes, not str'):
        loads('AX1N')  # type: ignore[arg-type]
