"""`get_connection`: which connection a thread works for."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

import across
from across import Connection, OperationError, get_connection, ref
from support.peers import Pair, connected_pair
from support.waiting import SECOND

LIMIT = 5 * SECOND


def connection_here() -> Connection | None:
    """The current thread's connection, None without one."""
    try:
        return get_connection()
    except ValueError:
        return None


class Witness:
    """Notes the current connection whenever it is packed or unpacked."""

    seen: list[Any] = []  # noqa: RUF012  # emptied by the fixture

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        self.seen.append((f'{self.name} packed', connection_here()))
        return rebuild_witness, (self.name,)


def rebuild_witness(name: str) -> Witness:
    Witness.seen.append((f'{name} unpacked', connection_here()))
    return Witness(name)


class StatefulWitness:
    seen = Witness.seen

    def __getstate__(self) -> Any:
        self.seen.append(('state packed', connection_here()))
        return {'set': True}

    def __setstate__(self, state: Any) -> None:
        self.seen.append(('state unpacked', connection_here()))


class WitnessError(Exception):
    def __reduce__(self) -> Any:
        return make_error, (Witness('error'),)


def make_error(witness: Witness) -> WitnessError:
    Witness.seen.append(('error made', connection_here()))
    return WitnessError()


@pytest.fixture(autouse=True)
def seen() -> list[Any]:
    Witness.seen.clear()
    return Witness.seen


# ----------------------------------------------------------------------------------- in calls


def test_function_that_is_called(pair: Pair) -> None:
    assert pair.near.call(is_current, True)
    assert pair.near.call(lambda: across.get_connection() is not None)


def is_current(expected: bool) -> bool:
    return (connection_here() is not None) is expected


def current_id() -> int:
    return id(get_connection())


def test_each_end_sees_its_own(pair: Pair) -> None:
    assert pair.near.call(current_id) == id(pair.far)
    assert pair.far.call(current_id) == id(pair.near)
    assert pair.near.submit(current_id).result(LIMIT) == id(pair.far)


def test_methods_of_proxies_and_snippets(pair: Pair) -> None:
    class Asker:
        def ask(self) -> int:
            return id(get_connection())

    assert pair.near.call_ref(Asker).ask() == id(pair.far)
    code = 'import across; id(across.get_connection())'
    assert pair.near.execute(code) == id(pair.far)


def test_a_real_child(peer: Connection) -> None:
    def work() -> str:
        import across

        return type(across.get_connection()).__name__

    assert peer.call(work) == 'Connection'


def ids_in_and_after_nested_calls(depth: int) -> list[int]:
    found = [current_id()]
    if depth:
        found += get_connection().call(ids_in_and_after_nested_calls, depth - 1)
    return [*found, current_id()]


def test_nested_calls(pair: Pair) -> None:
    near, far = id(pair.near), id(pair.far)
    found = pair.near.call(ids_in_and_after_nested_calls, 3)
    assert found == [far, near, far, near, near, far, near, far]


def call_over_other(other: int) -> list[int]:
    with connected_pair() as inner:
        found = [current_id(), inner.near.call(current_id) == id(inner.far), current_id()]
        with pytest.raises(ZeroDivisionError):
            inner.near.call(divmod, 1, 0)
        return [*found, current_id()]


def test_calls_over_another_connection(pair: Pair) -> None:
    far = id(pair.far)
    assert pair.near.call(call_over_other, 0) == [far, True, far, far]


# --------------------------------------------------------------------- packing and unpacking


def test_packing_and_unpacking_of_arguments_and_results(pair: Pair, seen: list[Any]) -> None:
    result = pair.near.call(Witness, 'given')
    assert result.name == 'given'
    assert seen == [('given packed', pair.far), ('given unpacked', pair.near)]
    seen.clear()
    pair.near.call(id, Witness('argument'))
    assert seen == [('argument packed', pair.near), ('argument unpacked', pair.far)]


def test_state(pair: Pair, seen: list[Any]) -> None:
    pair.near.call(lambda value: None, StatefulWitness())
    pair.near.call(make_stateful)
    assert seen == [
        ('state packed', pair.near),
        ('state unpacked', pair.far),
        ('state packed', pair.far),
        ('state unpacked', pair.near),
    ]


def make_stateful() -> StatefulWitness:
    return StatefulWitness()


def test_futures(pair: Pair, seen: list[Any]) -> None:
    pair.near.submit(Witness, 'future').result(LIMIT)
    assert seen == [('future packed', pair.far), ('future unpacked', pair.near)]


def fail() -> None:
    raise WitnessError


def test_exceptions(pair: Pair, seen: list[Any]) -> None:
    with pytest.raises(WitnessError):
        pair.near.call(fail)
    # How often an exception is tried out before it travels is not our business; where, is.
    kinds = {(kind, conn) for kind, conn in seen}
    assert ('error packed', pair.far) in kinds
    assert ('error made', pair.near) in kinds
    assert None not in [conn for _, conn in kinds]


def test_replicate_and_copies(pair: Pair, seen: list[Any]) -> None:
    import copy

    proxy = pair.near.replicate([Witness('copied')])
    assert seen == [('copied packed', pair.near), ('copied unpacked', pair.far)]
    seen.clear()
    copy.deepcopy(proxy)
    assert seen == [('copied packed', pair.far), ('copied unpacked', pair.near)]


class Caller:
    """Calls while it is packed and unpacked."""

    def __reduce__(self) -> Any:
        return make_caller, (get_connection().call(current_id),)


def make_caller(packed_with: int) -> tuple[int, int]:
    return packed_with, get_connection().call(current_id)


def test_calls_inside_of_packing(pair: Pair) -> None:
    found = pair.near.call(tuple, Caller())
    # Packed here, it asked the far end; unpacked there, it asked this end.
    assert found == (id(pair.far), id(pair.near))


# ---------------------------------------------------------------------------------- elsewhere


def test_nowhere_else(pair: Pair, seen: list[Any]) -> None:
    with pytest.raises(ValueError, match='no connection'):
        get_connection()
    pair.near.call(len, '')
    with pytest.raises(ValueError):
        get_connection()
    pickle.loads(pickle.dumps(Witness('plain')))
    assert seen == [('plain packed', None), ('plain unpacked', None)]


def test_not_after_failures(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError):
        pair.near.call(divmod, 1, 0)
    with pytest.raises(OperationError):
        pair.near.call(print, threading.Lock())
    assert connection_here() is None


def test_not_in_threads_started_by_a_call(pair: Pair) -> None:
    assert pair.near.call(look_in_thread) == [None]


def look_in_thread() -> list[Any]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(connection_here()))
    thread.start()
    thread.join()
    return found


def test_service_threads_forget(pair: Pair) -> None:
    """The same threads serve one connection after the other."""
    with connected_pair() as other:
        for both in (pair, other, pair):
            assert both.near.call(current_id) == id(both.far)
            assert both.far.call(current_id) == id(both.near)


def test_proxy_finds_its_way_in_a_plain_thread(pair: Pair) -> None:
    proxy = pair.near.call_ref(list)
    thread = threading.Thread(target=lambda: proxy.append(connection_here()))
    thread.start()
    thread.join()
    assert list(proxy) == [None]
    assert pair.near.call(len, ref([1])) == 1
