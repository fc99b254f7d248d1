"""Packages of an editable install, exported to bare interpreters of every version.

Such packages are in no folder of ``sys.path``: a finder of their own knows where they are.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

import pytest

from across import Connection
from support.interpreters import Interpreter, bare_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What setuptools puts into site-packages, without its corners: a finder for packages, and one for
# the namespaces they are in, which an entry of sys.path leads to that is no folder.
FINDER = """
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path

MAPPING = {mapping}
NAMESPACES = {namespaces}
PLACEHOLDER = '__editable__.works.finder.__path_hook__'


class Finder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            return spec_from_file_location(fullname, Path(MAPPING[fullname], '__init__.py'))
        parent = fullname.rpartition('.')[0]
        if parent in MAPPING:
            return PathFinder.find_spec(fullname, path=[MAPPING[parent]])
        return None


class NamespaceFinder:
    @classmethod
    def path_hook(cls, path):
        if path == PLACEHOLDER:
            return cls
        raise ImportError

    @classmethod
    def find_spec(cls, fullname, target=None):
        if fullname not in NAMESPACES:
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = NAMESPACES[fullname] or [PLACEHOLDER]
        return spec


sys.meta_path.append(Finder)
sys.path_hooks.append(NamespaceFinder.path_hook)
sys.path.append(PLACEHOLDER)
"""

FILES = {
    'a/src/bakery/__init__.py': 'from .stock import count\n',
    'a/src/bakery/stock/__init__.py': 'count = 3\n',
    'a/src/bakery/price.py': 'def price(): return 5\n',
    'a/src/bakery/data/hours.txt': 'nine to five',
    'b/orchard/part/__init__.py': '',
    'b/orchard/part/deep.py': 'depth = 7\n',
    'b/orchard/part/note.txt': 'in orchard',
}

USE = """
import importlib.resources, pkgutil, sys
import bakery.price, orchard.part.deep
if sys.version_info >= (3, 9):
    hours = (importlib.resources.files('bakery') / 'data' / 'hours.txt').read_bytes()
    note = (importlib.resources.files('orchard.part') / 'note.txt').read_bytes()
else:
    hours = pkgutil.get_data('bakery', 'data/hours.txt')
    note = importlib.resources.read_binary('orchard.part', 'note.txt')
names = [module.name for module in pkgutil.walk_packages(bakery.__path__, 'bakery.')]
bakery.count, bakery.price.price(), orchard.part.deep.depth, hours, note, names
"""


@pytest.fixture(params=['real', 'virtual'])
def installed(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Packages in an editable install; their namespace has a folder, or none."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    mapping = {'bakery': f'{folder}/a/src/bakery', 'orchard.part': f'{folder}/b/orchard/part'}
    namespaces = {'orchard': [f'{folder}/b/orchard'] if request.param == 'real' else []}
    source = FINDER.format(mapping=mapping, namespaces=namespaces)
    (folder / '__editable___works_finder.py').write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        for name in ('meta_path', 'path_hooks', 'path'):
            patch.setattr(sys, name, [*getattr(sys, name)])
        importlib.import_module('__editable___works_finder')
        yield
    sys.path_importer_cache.pop('__editable__.works.finder.__path_hook__', None)


def test_editable_packages(installed: None, interpreter: Interpreter) -> None:
    with Connection.from_command(bare_command(interpreter)) as conn:
        conn.export('bakery', 'orchard')
        assert conn.execute(USE) == (
            *(3, 5, 7, b'nine to five', b'in orchard'),
            ['bakery.price', 'bakery.stock'],
        )
        price = importlib.import_module('bakery.price')
        assert conn.call(price.price) == 5
    assert (
        pkgutil.get_data('orchard.part', 'note.txt') == b'in orchard'
    )  # they can be used here, too
