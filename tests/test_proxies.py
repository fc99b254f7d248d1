"""Proxies: what they forward, where they lead, and what they are not."""

from __future__ import annotations

import collections
import copy
import io
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from across import (
    Connection,
    DisconnectError,
    OperationError,
    Proxy,
    Reference,
    get_connection,
    get_proxy_connection,
    ref,
)
from support.peers import Pair, connected_pair


class Counter:
    """Something with state, methods, and a private part."""

    limit = 10

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.exits: list[Any] = []

    def add(self, by: int = 1, *, twice: bool = False) -> Counter:
        self.count += by * (2 if twice else 1)
        return self

    def value(self) -> int:
        return self.count

    def fresh(self) -> Any:
        return ref(Counter(self.count))

    def _private(self) -> None:
        raise AssertionError('private methods are not forwarded')

    @classmethod
    def make(cls) -> Counter:
        return cls(5)

    @staticmethod
    def half(value: int) -> float:
        return value / 2

    def __enter__(self) -> Counter:
        self.exits.append('entered')
        return self

    def __exit__(self, kind: Any, exc: Any, traceback: Any) -> Any:
        self.exits.append((kind, str(exc)))
        return kind is KeyError


# -------------------------------------------------------------------------- what is forwarded


def test_methods_and_their_arguments(pair: Pair) -> None:
    proxy = pair.near.call_ref(Counter)
    assert issubclass(type(proxy), Proxy)
    proxy.add(3, twice=True)
    assert proxy.value() == 6
    assert proxy.half(3) == 1.5
    assert proxy.make().count == 5


def test_container_methods(peer: Connection) -> None:
    items = peer.call_ref(dict)
    items['a'] = 1
    items['b'] = [2]
    assert (len(items), items['b'], 'a' in items, 'c' in items) == (2, [2], True, False)
    del items['a']
    assert copy.deepcopy(items) == {'b': [2]}
    with pytest.raises(KeyError):
        items['a']


def test_empty_container_is_false(peer: Connection) -> None:
    assert not peer.call_ref(list)
    assert peer.call_ref(list, 'a')
    assert peer.call_ref(object)


def test_callables(peer: Connection) -> None:
    assert peer.call_ref(lambda: lambda a, b=2: (a, b))(1, b=3) == (1, 3)
    fraction = peer.execute('from across import ref; from fractions import Fraction; ref(Fraction)')
    assert fraction(1, 2) == fraction.from_float(0.5)


def test_module(peer: Connection) -> None:
    module = peer.execute('import os, across; across.ref(os)')
    assert module.getpid() == peer.call(os.getpid)


@pytest.mark.parametrize(
    'make', ['[1, 2, 3]', 'range(1, 4)', 'dict.fromkeys([1, 2, 3])', '(n for n in (1, 2, 3))']
)
def test_iteration(peer: Connection, make: str) -> None:
    proxy = peer.execute(f'import across; across.ref({make})')
    assert list(proxy) == [1, 2, 3]


def test_iteration_is_lazy_and_next_works(peer: Connection) -> None:
    numbers = peer.execute('import across, itertools; across.ref(itertools.count(5))')
    assert next(numbers) == 5
    assert next(iter(numbers)) == 6
    ended = peer.call_ref(iter, [])
    assert next(ended, 'end') == 'end'
    with pytest.raises(StopIteration):
        next(ended)


def test_iteration_over_what_only_has_getitem(pair: Pair) -> None:
    class Squares:
        def __getitem__(self, index: int) -> int:
            if index > 3:
                raise IndexError
            return index * index

    assert list(pair.near.call_ref(Squares)) == [0, 1, 4, 9]


def test_exception_in_iteration(peer: Connection) -> None:
    def generate() -> Any:
        yield 1
        raise KeyError('two')

    items = iter(peer.call_ref(generate))
    assert next(items) == 1
    with pytest.raises(KeyError, match='two'):
        next(items)


def test_with_statement(pair: Pair) -> None:
    counter = Counter()
    proxy = pair.near.call_ref(lambda found: found, ref(counter))
    assert proxy is counter  # it came home
    proxy = pair.near.call_ref(Counter)
    with proxy as entered:
        assert entered is proxy
    with pytest.raises(ValueError, match='here'), proxy:
        raise ValueError('here')
    with proxy:
        dict[str, int]()['swallowed']
    exits = copy.deepcopy(proxy).exits
    assert exits == [
        *('entered', (None, 'None')),
        *('entered', (ValueError, 'here')),
        *('entered', (KeyError, "'swallowed'")),
    ]


def test_files(peer: Connection, tmp_path: Path) -> None:
    path = tmp_path / 'extinct_species'
    with peer.call_ref(open, str(path), 'w') as file:
        file.write('dinosaurs\n')
        file.writelines(['unicorns\n', 'dodos\n'])
    assert list(peer.call_ref(open, str(path))) == ['dinosaurs\n', 'unicorns\n', 'dodos\n']
    with pytest.raises(ValueError, match='closed'):
        file.write('')


def test_what_is_not_forwarded(pair: Pair) -> None:
    proxy = pair.near.call_ref(Counter)
    for name in ('_private', 'nothing'):
        with pytest.raises(AttributeError, match=name):
            getattr(proxy, name)
    with pytest.raises(TypeError):
        len(proxy)
    with pytest.raises(TypeError):
        proxy()
    with pytest.raises(TypeError):
        iter(proxy)
    with pytest.raises(TypeError), pair.near.call_ref(object):
        pass


def test_setting_attributes_is_refused(pair: Pair) -> None:
    proxy = pair.near.call_ref(Counter)
    with pytest.raises(AttributeError):
        proxy.count = 3


def test_errors_come_back(peer: Connection) -> None:
    items = peer.call_ref(list)
    with pytest.raises(ValueError, match='not in list'):
        items.remove(1)
    with pytest.raises(OperationError, match='lock'):
        items.append(threading.Lock())
    assert len(items) == 0


# --------------------------------------------------------------------------------- identities


def test_method_that_returns_self_gives_the_same_proxy(pair: Pair, peer: Connection) -> None:
    proxy = pair.near.call_ref(Counter)
    assert proxy.add().add() is proxy
    assert proxy.value() == 2
    other = proxy.fresh()
    assert other is not proxy
    assert other.value() == 2


def test_object_has_one_proxy_at_a_time(pair: Pair) -> None:
    counter = Counter()

    def keep(value: Any) -> Any:
        return ref(value)

    first = pair.far.call_ref(list)
    assert pair.far.call(keep, first) is first
    assert copy.copy(first) is first
    assert pair.near.call(lambda a, b: a is b, ref(counter), ref(counter))


def test_call_ref_of_a_reference_gives_one_proxy(peer: Connection) -> None:
    def make() -> Any:
        from across import ref

        return ref([1])

    for proxy in (peer.call_ref(make), peer.call(make)):
        assert issubclass(type(proxy), Proxy)
        proxy.append(2)
        assert copy.deepcopy(proxy) == [1, 2]


def test_reference_of_a_reference_is_the_same() -> None:
    once = ref([])
    assert ref(once) is once
    assert isinstance(once, Reference)


def test_proxy_sent_home_arrives_as_the_object(peer: Connection) -> None:
    items = peer.call_ref(list)
    peer.call(lambda col, item: col.append(item), items, 'brie')
    assert peer.call(lambda nested: type(nested['deep'][0]) is list, {'deep': [items]})
    assert peer.call(lambda a, b: a is b, items, items)
    assert list(items) == ['brie']


def test_local_object_is_used_over_there(peer: Connection) -> None:
    def append_feta(cheeses: Any) -> tuple[int, list[str]]:
        cheeses.append('feta')
        return len(cheeses), list(cheeses)

    cheeses = ['gouda']
    assert peer.call(append_feta, ref(cheeses)) == (2, ['gouda', 'feta'])
    assert peer.call(lambda *, cheeses: append_feta(cheeses), cheeses=ref(cheeses))[0] == 3
    assert cheeses == ['gouda', 'feta', 'feta']


def test_callback(peer: Connection) -> None:
    lines: list[str] = []
    assert peer.call(lambda tell: tell('one') or tell('two'), ref(lines.append)) is None
    assert lines == ['one', 'two']


def test_references_inside_of_results(peer: Connection) -> None:
    def make() -> Any:
        from across import ref

        return {'items': [ref([1]), ref({2})]}

    first, second = peer.call(make)['items']
    first.append(5)
    assert (len(first), 2 in second) == (2, True)


def test_proxies_are_hashable_and_equal_to_themselves(peer: Connection) -> None:
    first, second = peer.call_ref(list), peer.call_ref(list)
    assert {first: 1}[first] == 1
    assert first == first
    assert first != second


def test_replicate(peer: Connection) -> None:
    local = {'a': [1]}
    copied = peer.replicate(local)
    copied['b'] = 2
    assert local == {'a': [1]}
    assert copy.deepcopy(copied) == {'a': [1], 'b': 2}
    with pytest.raises(OperationError, match='lock'):
        peer.replicate(threading.Lock())


def test_deepcopy(peer: Connection) -> None:
    items = peer.call_ref(collections.OrderedDict, a=[1])
    copied = copy.deepcopy(items)
    copied['a'].append(2)
    assert type(copied) is collections.OrderedDict
    assert copied['a'] == [1, 2]
    assert items['a'] == [1]
    with pytest.raises(OperationError, match='lock'):
        copy.deepcopy(peer.call_ref(threading.Lock))


def test_representation_asks_nobody(peer: Connection) -> None:
    items = peer.call_ref(list)
    assert 'list' in repr(items)
    assert type(items).__name__ == 'Proxy'
    peer.close()
    assert 'list' in repr(items)


# -------------------------------------------------------------------------------- connections


def test_get_proxy_connection(pair: Pair) -> None:
    assert get_proxy_connection(pair.near.call_ref(list)) is pair.near
    assert pair.near.call(proxy_is_of_current_connection, ref([]))
    with pytest.raises(TypeError, match='list'):
        get_proxy_connection([])  # type: ignore[arg-type]


def proxy_is_of_current_connection(proxy: Any) -> bool:
    # Both ends are in this process: the proxy leads back.
    return get_proxy_connection(proxy) is get_connection()


def test_proxy_over_the_wrong_connection(peer: Connection, pair: Pair) -> None:
    items = peer.call_ref(list)
    with pytest.raises(OperationError, match='belongs to another connection'):
        pair.near.call(print, items)
    with connected_pair() as other:
        assert other.near.call(use_through_here, ref(items)) == 1
    assert list(items) == ['passed on']


def use_through_here(items: Any) -> int:
    items.append('passed on')
    return len(items)


def test_proxy_after_its_connection_closed(pair: Pair) -> None:
    items = pair.near.call_ref(list)
    pair.near.close()
    with pytest.raises(DisconnectError, match='closed'):
        items.append(1)
    with pytest.raises(DisconnectError):
        copy.deepcopy(items)
    with pytest.raises(DisconnectError):
        len(items)


def test_proxies_and_references_outside_of_a_connection(peer: Connection) -> None:
    for value in (peer.call_ref(list), ref([])):
        with pytest.raises(TypeError):
            pickle.dumps(value)


def test_standard_streams_by_reference(peer: Connection) -> None:
    out = io.StringIO()

    def speak(stream: Any) -> None:
        print('printed', 2, file=stream)

    peer.call(speak, ref(out))
    assert out.getvalue() == 'printed 2\n'


def test_slices_and_keys_travel(peer: Connection) -> None:
    items = peer.call_ref(list, 'abcd')
    assert items[1:3] == ['b', 'c']
    assert items[-1] == 'd'
