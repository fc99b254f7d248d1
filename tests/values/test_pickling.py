"""Values to payloads, and back: what goes out of band, and what becomes of references."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from across import OperationError, ref
from across._core.threads.context import context
from across._core.values.pickling import LARGE, Packed
from across._core.wire.frames import BYTEARRAY, BYTES, PLAIN
from values.sides import Side, decode, to_bytes, transfer


class Thing:
    """Something to refer to."""


class Bomb:
    """Pickles, and fails when it is unpickled."""

    def __reduce__(self) -> Any:
        return fail, ()


def fail() -> None:
    raise RuntimeError('this cannot be unpickled')


def buffers_of(value: Any) -> list[tuple[int, int]]:
    """Kind and size of the buffers that go out of band."""
    packed = Side().dumps(value)
    if isinstance(packed, bytes):
        return []
    return [(kind, view.nbytes) for kind, view in packed.buffers]


# ------------------------------------------------------------------------------------- out of band


@pytest.mark.parametrize('size', [LARGE, LARGE + 1, 5 << 20])
@pytest.mark.parametrize(('make', 'kind'), [(bytes, BYTES), (bytearray, BYTEARRAY)])
def test_large_bytes_go_out_of_band(make: Any, kind: int, size: int) -> None:
    value = make(os.urandom(size))
    assert buffers_of(value) == [(kind, size)]
    found = transfer(value)
    assert type(found) is make
    assert found == value


@pytest.mark.parametrize('make', [bytes, bytearray])
def test_large_bytes_are_not_copied_by_the_sender(make: Any) -> None:
    value = make(LARGE)
    packed = Side().dumps([value])
    assert isinstance(packed, Packed)
    assert packed.buffers[0][1].obj is value


@pytest.mark.parametrize('make', [bytes, bytearray, lambda size: np.zeros(size, np.uint8)])
def test_small_buffers_stay_in_band(make: Any) -> None:
    value = make(LARGE - 1)
    assert buffers_of(value) == []
    assert bytes(transfer(value)) == bytes(value)


def test_numpy_arrays_go_out_of_band() -> None:
    value = np.arange(LARGE, dtype=np.int32).reshape(256, -1)
    assert buffers_of(value) == [(PLAIN, value.nbytes)]
    packed = Side().dumps(value)
    assert isinstance(packed, Packed)
    assert np.shares_memory(np.frombuffer(packed.buffers[0][1], np.int32), value)
    found = transfer(value)
    assert np.array_equal(found, value)
    assert found.flags.writeable
    found[0, 0] = 7


def test_read_only_array_stays_read_only() -> None:
    value = np.arange(LARGE)
    value.setflags(write=False)
    found = transfer(value)
    assert np.array_equal(found, value)
    assert not found.flags.writeable


@pytest.mark.parametrize('order', ['C', 'F'])
def test_contiguous_arrays_keep_their_order(order: Any) -> None:
    value = np.asarray(np.arange(LARGE).reshape(64, -1), order=order)
    assert len(buffers_of(value)) == 1
    found = transfer(value)
    assert np.array_equal(found, value)
    assert found.flags[f'{order}_CONTIGUOUS']


def test_array_that_is_not_contiguous_arrives_all_the_same() -> None:
    value = np.arange(4 * LARGE).reshape(256, -1)[::2, ::3]
    assert np.array_equal(transfer(value), value)


class Strided:
    """Hands the pickler a buffer that has no flat form."""

    def __init__(self) -> None:
        self.data = memoryview(bytes(2 * LARGE))[::2]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return bytes, (pickle.PickleBuffer(self.data),)


def test_buffer_that_is_not_contiguous_is_refused_by_pickle() -> None:
    with pytest.raises(OperationError, match='contiguous'):
        Side().dumps(Strided())


@pytest.mark.parametrize('readonly', [False, True])
def test_memoryviews_go_out_of_band(readonly: bool) -> None:
    data = os.urandom(LARGE)
    value = memoryview(data if readonly else bytearray(data))
    assert buffers_of(value) == [(PLAIN, LARGE)]
    found = transfer(value)
    assert type(found) is memoryview
    assert found == value
    assert found.readonly == readonly


def test_pickle_buffers_go_out_of_band() -> None:
    value = pickle.PickleBuffer(bytearray(b'x' * LARGE))
    assert buffers_of(value) == [(PLAIN, LARGE)]
    assert bytes(transfer(value)) == b'x' * LARGE


class Name(str):
    """A string with a class of its own."""


class Blob(bytes):
    """Bytes with a class of their own."""


def test_subclasses_stay_what_they_are() -> None:
    for value in (Blob(b'x' * LARGE), Name('x' * LARGE)):
        found = transfer(value)
        assert type(found) is type(value)
        assert found == value


def test_the_same_buffer_twice_travels_once() -> None:
    shared, array = bytearray(LARGE), np.zeros(LARGE)
    value = {'a': [shared, array], 'b': (shared, array)}
    assert len(buffers_of(value)) == 2
    found = transfer(value)
    assert found['a'][0] is found['b'][0]
    assert found['a'][1] is found['b'][1]


def test_equal_buffers_stay_apart() -> None:
    first, second = transfer((bytearray(LARGE), bytearray(LARGE)))
    assert first is not second


large_text = st.builds(
    lambda char, size: char * size,
    st.sampled_from(['a', 'é', '€', '😀', '\udc80', 'B\x00\x00\x01\x00', '\x8e']),
    st.integers(LARGE // 8, 2 * LARGE),
)
large_bytes = st.builds(
    lambda pattern, size: pattern * (size // len(pattern)),
    st.sampled_from([b'\x00', b'B\x00\x00\x01\x00', b'\x8e\x00\x00\x01\x00\x00\x00\x00\x00', b'.']),
    st.integers(LARGE - 10, 2 * LARGE),
)
parts = st.one_of(
    large_text,
    large_bytes,
    large_bytes.map(bytearray),
    st.integers(LARGE // 8 - 1, LARGE).map(np.arange),
    st.integers(0, 300).map(lambda bits: 1 << bits * 4000),
    st.binary(max_size=20),
    st.text(max_size=20),
    st.none(),
)
values = st.recursive(
    parts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


def same(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    return bool(first == second)


@given(values)
def test_any_mixture_arrives_as_it_was(value: Any) -> None:
    assert same(transfer(value), value)


def test_large_text_stays_in_band_and_outlives_the_pickler() -> None:
    texts = ['a' * LARGE, 'é' * LARGE, '\ud800' * LARGE]
    packed = Side().dumps(texts)
    assert isinstance(packed, Packed)
    assert packed.buffers == []
    assert decode(to_bytes(packed)).buffers == []
    assert transfer(texts) == texts


def test_large_number_in_front_of_a_buffer() -> None:
    value = [1 << 16 * LARGE, b'x' * LARGE]
    assert buffers_of(value) == [(BYTES, LARGE)]
    assert transfer(value) == value


def test_text_with_surrogates_is_no_buffer() -> None:
    """The pickler writes it as bytes, as large ones: only the header in front tells."""
    value = [b'x' * LARGE, '\ud800' * LARGE, b'y' * LARGE]
    assert buffers_of(value) == [(BYTES, LARGE), (BYTES, LARGE)]
    assert transfer(value) == value


# ---------------------------------------------------------------------------------------- sessions


def test_pickler_is_used_again_and_keeps_nothing_alive() -> None:
    side = Side()
    thing = Thing()
    weak = weakref.ref(thing)
    side.dumps([thing, bytes(LARGE)])
    del thing
    gc.collect()
    assert weak() is None
    assert side.unpack(side.pack('next')) == 'next'
    assert len(side.pickling._idle) == 1


def test_failed_pickler_is_not_used_again() -> None:
    side = Side()
    thing = Thing()
    weak = weakref.ref(thing)
    with pytest.raises(OperationError):
        side.dumps([thing, threading.Lock()])
    del thing
    gc.collect()
    assert weak() is None
    assert side.pickling._idle == []
    assert transfer('next') == 'next'


def test_main_goes_by_value_unless_the_peer_can_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packed_by_value: list[object] = []
    side = Side()
    by_value_pickler = side.pickling._by_value_pickler

    def watch(file: Any, callback: Any) -> Any:
        packed_by_value.append(file)
        return by_value_pickler(file, callback)

    monkeypatch.setattr(side.pickling, '_by_value_pickler', watch)
    for value in (['__main__', bytes(LARGE)], ['__main__']):  # a word that might be a function's
        assert side.unpack(side.pack(value)) == value
    assert len(packed_by_value) == 2
    side.pickling.by_reference.add('__main__')
    assert side.unpack(side.pack('__main__')) == '__main__'
    assert len(packed_by_value) == 2


class Nested:
    """Packs something else while it is pickled, as a call over the same connection would."""

    side: Side

    def __reduce__(self) -> Any:
        assert self.side.unpack(self.side.pack(['inner', bytes(LARGE)]))[0] == 'inner'
        return list, ((1, 2),)


def test_packing_amid_packing() -> None:
    Nested.side = Side()
    found = Nested.side.unpack(Nested.side.pack([Nested(), b'x' * LARGE]))
    assert found == [[1, 2], b'x' * LARGE]


@pytest.mark.parametrize('value', [1, [Bomb()], threading.Lock()])
def test_session_is_over_whatever_happens(value: Any) -> None:
    side = Side()
    try:
        side.unpack(side.pack([value, ref(Thing())]))
    except (OperationError, RuntimeError):
        pass
    assert context.thread.session is None


def test_errors_that_are_passed_on() -> None:
    class Raising:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __reduce__(self) -> Any:
            raise self.error

    for error in (OperationError('no'), MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            Side().dumps(Raising(error))
        assert caught.value is error
        with pytest.raises(type(error)) as caught:
            Side().dumps([lambda: 1, Raising(error)])
        assert caught.value is error


def test_message_names_the_type_and_the_place() -> None:
    with pytest.raises(OperationError) as caught:
        Side().dumps({'key': [1, threading.Lock()]})
    message = str(caught.value)
    assert 'lock' in message
    assert "'key'" in message
    assert isinstance(caught.value.__cause__, TypeError)
