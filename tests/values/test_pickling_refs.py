"""References in payloads: counted once each, whatever fails on the way."""

from __future__ import annotations

import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest

from across import OperationError, Proxy, ref
from across._core.wire.frames import CALL, Frame
from values.sides import Side, transfer


class Thing:
    """Something to refer to."""

    def hello(self) -> str:
        return 'hello'


class Bomb:
    """Pickles, and fails when it is unpickled."""

    def __reduce__(self) -> Any:
        return fail, ()


def fail() -> None:
    raise RuntimeError('this cannot be unpickled')


@pytest.fixture
def here() -> Side:
    return Side()


@pytest.fixture
def there() -> Side:
    return Side()


def settle(here: Side, there: Side) -> None:
    """Have all proxies that are gone reported."""
    gc.collect()
    there.take_releases(here)
    here.take_releases(there)


def test_reference_arrives_as_a_proxy(here: Side, there: Side) -> None:
    thing = Thing()
    proxy = there.unpack(here.pack([ref(thing), 1]))[0]
    assert isinstance(proxy, Proxy)
    assert hasattr(proxy, 'hello')
    assert len(here.exports) == 1
    del proxy
    settle(here, there)
    assert len(here.exports) == 0


def test_proxy_comes_home_as_the_object(here: Side, there: Side) -> None:
    thing = Thing()
    proxy = there.unpack(here.pack(ref(thing)))
    for wrapped in (proxy, ref(proxy)):
        assert here.unpack(there.pack(wrapped)) is thing
    del proxy, wrapped
    settle(here, there)
    assert len(here.exports) == 0


def test_deletion_overtakes_use(here: Side, there: Side) -> None:
    """The proxy goes away, and that is told, before the frame it went in is unpacked."""
    thing = Thing()
    proxy = there.unpack(here.pack(ref(thing)))
    frame = here.receive(there.pack(proxy))
    del proxy
    settle(here, there)
    assert here.pickling.loads(frame) is thing
    assert len(here.exports) == 0


def test_same_object_again_is_the_same_proxy(here: Side, there: Side) -> None:
    thing = Thing()
    first = there.unpack(here.pack(ref(thing)))
    second, third = there.unpack(here.pack([ref(thing), ref(thing)]))
    assert first is second is third
    del first, second, third
    settle(here, there)
    assert len(here.exports) == 0


# -------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize('culprit', [threading.Lock(), Proxy.__new__(Proxy)])
def test_failed_dumps_take_back_refs(here: Side, culprit: Any) -> None:
    with pytest.raises(OperationError):
        here.dumps([ref(Thing()), culprit, ref(Thing())])
    assert len(here.exports) == 0


def test_interrupted_dumps_take_back_refs(here: Side) -> None:
    class Interrupted:
        def __reduce__(self) -> Any:
            raise KeyboardInterrupt

    for others in ([], [lambda: 1]):
        with pytest.raises(KeyboardInterrupt):
            here.dumps([ref(Thing()), *others, Interrupted()])
        assert len(here.exports) == 0


def test_second_pickler_counts_refs_anew(here: Side, there: Side) -> None:
    """The plain pickler exports, then fails at the lambda: only what the second one did counts."""
    found = there.unpack(here.pack([ref(Thing()), lambda: 1]))
    assert len(here.exports) == 1
    del found
    settle(here, there)
    assert len(here.exports) == 0


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('position', [0, 1, 2])
def test_failed_loads_give_back_refs(here: Side, there: Side, position: int, count: int) -> None:
    """Those before the fault became proxies, those behind it did not; it may be one object."""
    things = [Thing() for _ in range(count)]
    value: list[Any] = [ref(things[0]), ref(things[-1])]
    value.insert(position, Bomb())
    with pytest.raises(RuntimeError):
        there.unpack(here.pack(value))
    settle(here, there)
    assert len(here.exports) == 0


def test_failed_loads_unpin_what_came_home(here: Side, there: Side) -> None:
    proxy = there.unpack(here.pack(ref(Thing())))
    with pytest.raises(RuntimeError):
        here.unpack(there.pack([proxy, Bomb()]))
    del proxy
    settle(here, there)
    assert len(here.exports) == 0


def test_frame_that_is_never_unpacked(here: Side, there: Side) -> None:
    proxy = there.unpack(here.pack(ref(Thing())))
    back = here.receive(there.pack([proxy, ref(Thing())]))
    here.payloads.give_back_unread(back)
    here.payloads.give_back_unread(Frame(CALL, 1, 0, (), b'', ()))
    del proxy
    settle(here, there)
    assert len(here.exports) == len(there.exports) == 0


def test_object_that_is_gone(here: Side, there: Side) -> None:
    proxy = there.unpack(here.pack(ref(Thing())))
    here.exports.clear()
    with pytest.raises(OperationError, match='the object behind a proxy is gone'):
        here.unpack(there.pack(proxy))


def test_finish_runs_within_the_session(here: Side, there: Side) -> None:
    """Parts that are pickles of their own find their references, too."""
    packed = here.pickling.dumps_parts(lambda dumps: [dumps(ref(Thing())), dumps(2)], 'the parts')
    frame = Frame(CALL, 1, 0, tuple(packed.refs), b''.join(packed.payload), ())

    def finish(parts: list[bytes]) -> list[Any]:
        return [pickle.loads(part) for part in parts]

    proxy, two = there.pickling.loads(frame, finish)
    assert isinstance(proxy, Proxy)
    assert two == 2
    del proxy
    settle(here, there)
    assert len(here.exports) == 0


# ---------------------------------------------------------------------------------------- in parts


@pytest.mark.parametrize('other', [1, lambda: 1], ids=['plain', 'by-value'])
def test_parts_keep_their_buffers_in_band(here: Side, there: Side, other: Any) -> None:
    """Each part is a pickle of its own, that must be whole."""
    value = [np.arange(100_000), b'x' * 100_000, bytearray(100_000), 'é' * 100_000, other]
    packed = here.pickling.dumps_parts(lambda dumps: {'part': dumps(value)}, 'the parts')
    assert packed.buffers == []
    found = pickle.loads(pickle.loads(b''.join(packed.payload))['part'])
    assert np.array_equal(found[0], value[0])
    assert found[1:4] == value[1:4]


def test_failing_part_takes_back_refs_of_all(here: Side) -> None:
    def pack(dumps: Any) -> list[bytes]:
        return [dumps(ref(Thing())), dumps(threading.Lock())]

    with pytest.raises(OperationError, match='the parts'):
        here.pickling.dumps_parts(pack, 'the parts')
    assert len(here.exports) == 0


def test_part_that_cannot_be_pickled_may_be_replaced(here: Side) -> None:
    def pack(dumps: Any) -> bytes:
        try:
            return bytes(dumps([ref(Thing()), threading.Lock()]))
        except OperationError:
            return bytes(dumps('a lock'))

    packed = here.pickling.dumps_parts(pack, 'the parts')
    assert transfer(pickle.loads(pickle.loads(b''.join(packed.payload)))) == 'a lock'
