"""The peer's side, with an owner that is a few lines of this file."""

from __future__ import annotations

import inspect
import linecache
import pkgutil
import sys
import traceback
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from across import DisconnectError, OperationError
from across._core.travel.exporter import ModuleInfo
from across._core.travel.importer import Importer

SOURCES = {
    'owned': ('"""Docs."""\nfrom . import part\n', True),
    'owned.part': ('def fail():\n    raise ValueError(1)\n', False),
    'textwrap': ('x = 1\n', False),
    'other': ('import owned.part\nfrom owned.part import fail as f\n', False),
}


class Owner:
    def __init__(self) -> None:
        self.gone = False
        self.asked: list[tuple[object, ...]] = []

    def ask(self, method: str, *args: object) -> Any:
        self.asked.append((method, *args))
        if self.gone:
            raise DisconnectError('the peer closed the connection')
        return getattr(self, method)(*args)

    def find_module(self, fullname: str, cache_tag: str) -> object:
        if fullname == 'owned.fast':
            return tuple(ModuleInfo('x.so', None, [], None, None, 'owned', 'cannot travel'))
        if fullname not in SOURCES:
            return None
        source, is_package = SOURCES[fullname]
        name = fullname.replace('.', '/')
        file = f'/nowhere/{name}/__init__.py' if is_package else f'/nowhere/{name}.py'
        locations = [f'/nowhere/{name}'] if is_package else None
        modules = [('part', False)] if is_package else []
        text = zlib.compress(source.encode())
        return tuple(ModuleInfo(file, locations, modules, None, text, 'owned'))

    def read_resource(self, package: str, path: str) -> object:
        return {'a.txt': b'A'}.get(path)


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def importer(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Importer]:
    before = dict(sys.modules)
    entries = dict(sys.path_importer_cache)
    made = Importer(owner.ask, 'here (CPython 3.11)')
    made.install()
    yield made
    made.uninstall()
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)
    sys.path_importer_cache.clear()
    sys.path_importer_cache.update(entries)
    linecache.clearcache()


def test_packages_and_submodules(importer: Importer) -> None:
    importer.accept(['owned'])
    module = import_module('owned')
    assert module.__doc__ == 'Docs.'
    assert module.__file__ == '/nowhere/owned/__init__.py'
    assert module.__path__ == ['/nowhere/owned']
    assert module.part.__package__ == 'owned'
    assert [entry.name for entry in pkgutil.iter_modules(module.__path__)] == ['part']
    assert pkgutil.get_data('owned', 'a.txt') == b'A'
    with pytest.raises(FileNotFoundError):
        pkgutil.get_data('owned', 'b.txt')


def test_names_that_were_not_accepted_are_none_of_its_business(
    importer: Importer, owner: Owner
) -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module('owned')
    assert not owner.asked


def test_missing_module(importer: Importer) -> None:
    importer.accept(['owned'])
    with pytest.raises(ModuleNotFoundError) as caught:
        import_module('owned.nothing')
    assert caught.value.name == 'owned.nothing'
    assert "No module named 'owned.nothing'" in str(caught.value)
    assert 'to here (CPython 3.11), and that has no such module' in str(caught.value)


def test_module_that_cannot_travel(importer: Importer) -> None:
    importer.accept(['owned'])
    with pytest.raises(ImportError, match=r'^cannot travel$') as caught:
        import_module('owned.fast')
    assert not isinstance(caught.value, ModuleNotFoundError)


def test_sources_are_shown(importer: Importer) -> None:
    importer.accept(['owned'])
    part = import_module('owned.part')
    assert inspect.getsource(part.fail) == SOURCES['owned.part'][0]
    with pytest.raises(ValueError) as caught:
        part.fail()
    assert 'raise ValueError(1)' in ''.join(traceback.format_exception(caught.value))


def test_accepted_names_come_first(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    import textwrap

    importer.accept(['textwrap', 'json'])
    assert import_module('textwrap') is textwrap  # imported before
    monkeypatch.delitem(sys.modules, 'textwrap')
    assert import_module('textwrap').x == 1


def test_packages_are_not_mixed(importer: Importer, owner: Owner) -> None:
    import json

    importer.accept(['json'])
    sys.modules.pop('json.tool', None)
    assert Path(import_module('json.tool').__file__ or '').parent == Path(json.__file__).parent
    assert not owner.asked


def test_lost_connection(importer: Importer, owner: Owner) -> None:
    importer.accept(['owned', 'other'])
    module = import_module('owned')
    owner.gone = True
    with pytest.raises(ImportError, match='peer closed the connection') as caught:
        import_module('other')
    assert isinstance(caught.value.__cause__, DisconnectError)
    assert inspect.getsource(module) == SOURCES['owned'][0]


def test_imported_modules_outlive_it(importer: Importer) -> None:
    importer.accept(['owned', 'other'])
    module = import_module('other')
    importer.uninstall()
    with pytest.raises(ValueError):
        module.f()
    assert import_module('owned') is module.owned
    with pytest.raises(ModuleNotFoundError):
        import_module('owned.nothing')


def test_one_at_a_time(importer: Importer, owner: Owner) -> None:
    importer.install()
    other = Importer(owner.ask, 'here')
    with pytest.raises(OperationError, match='accepts exported modules from another connection'):
        other.install()
    other.uninstall()  # changes nothing
    assert importer in sys.meta_path
    importer.uninstall()
    other.install()
    other.accept(['owned'])
    assert import_module('owned.part').fail
    other.uninstall()


def test_main_is_replaced_until_the_end(
    importer: Importer, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, '__main__', ('def f(): return __name__\n', False))
    former = sys.modules['__main__']
    importer.accept(['__main__'])
    assert not owner.asked  # it is fetched when it is used
    main = sys.modules['__main__']
    assert main.f() == '__main__'
    assert inspect.getsource(main.f) == 'def f(): return __name__\n'
    importer.accept(['__main__'])
    assert sys.modules['__main__'] is main
    importer.uninstall()
    assert sys.modules['__main__'] is former
