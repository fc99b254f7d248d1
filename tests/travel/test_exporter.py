"""The owner's side: what may be exported, and how modules of all kinds are described."""

from __future__ import annotations

import importlib.util
import marshal
import py_compile
import subprocess
import sys
import textwrap
import types
import zipfile
import zlib
from pathlib import Path

import pytest

from across._core.travel.exporter import Exporter, ModuleInfo

TAG = sys.implementation.cache_tag


def describe(name: str, cache_tag: str = TAG) -> ModuleInfo:
    exporter = Exporter()
    exporter.add(name.partition('.')[0])
    found = exporter.find_module(name, cache_tag)
    assert found is not None
    return ModuleInfo(*found)  # type: ignore[arg-type]


def source_of(info: ModuleInfo) -> str:
    assert info.source is not None
    return zlib.decompress(info.source).decode()


def test_names_and_modules_can_be_added() -> None:
    assert Exporter().add('attr', textwrap) == ('attr', 'textwrap')


@pytest.mark.parametrize(
    ('module', 'error', 'text'),
    [
        ('os.path', ValueError, "submodule 'os.path'; export 'os' in its place"),
        ('no_such_module', ModuleNotFoundError, "'no_such_module': there is no such module here"),
        ('', ModuleNotFoundError, 'there is no such module'),
        ('sys', ValueError, "'sys': it is part of the interpreter"),
        (sys, ValueError, 'part of the interpreter'),
        ('_ctypes', ValueError, 'C extension and cannot travel'),
        (3, TypeError, 'takes modules and names of modules, not 3'),
        (types.ModuleType('made_up'), ModuleNotFoundError, 'no such module'),
    ],
)
def test_what_cannot_be_exported_is_refused(module: str, error: type[Exception], text: str) -> None:
    exporter = Exporter()
    with pytest.raises(error, match=r'^cannot export|^export') as caught:
        exporter.add('attr', module)
    assert text in str(caught.value)
    assert exporter.find_module('attr', TAG) is None  # nothing was added


def test_nothing_else_is_shown() -> None:
    exporter = Exporter()
    assert exporter.find_module('attr', TAG) is None
    assert exporter.list_resources('attr') is None
    assert exporter.read_resource('attr', '__init__.py') is None


def test_library_travels_without_source_between_equal_versions() -> None:
    for name in ('across', 'across._core.errors', 'cloudpickle.cloudpickle', 'tblib'):
        found = Exporter().find_module(name, TAG)
        assert found is not None
        info = ModuleInfo(*found)  # type: ignore[arg-type]
        assert (info.code is None, info.source is None, info.refusal) == (False, True, None)
        other = Exporter().find_module(name, 'cpython-38')
        assert other is not None
        assert '"""' not in source_of(ModuleInfo(*other))  # type: ignore[arg-type]


def test_package(folder: Path) -> None:
    (folder / 'pkg').mkdir()
    (folder / 'pkg/__init__.py').write_text('raise RuntimeError("must not be imported here")')
    (folder / 'pkg/sub.py').write_text('x = 1')
    info = describe('pkg')
    assert info.filename == str(folder / 'pkg/__init__.py')
    assert info.locations == [str(folder / 'pkg')]
    assert info.modules == [('sub', False)]
    sub = describe('pkg.sub')
    assert (sub.locations, sub.package, source_of(sub)) == (None, 'pkg', 'x = 1')
    assert marshal.loads(zlib.decompress(sub.code or b'')).co_filename == sub.filename
    assert describe('pkg.sub', 'cpython-38').code is None
    assert Exporter().find_module('pkg.missing', TAG) is None
    assert 'pkg' not in sys.modules


def test_source_in_another_encoding(folder: Path) -> None:
    text = '# coding: latin-1\nname = "Käse"\n'
    (folder / 'old_times.py').write_bytes(text.encode('latin-1'))
    assert source_of(describe('old_times')) == text


def test_namespace_packages_also_nested(folder: Path) -> None:
    (folder / 'one/space/inner').mkdir(parents=True)
    (folder / 'two/space').mkdir(parents=True)
    (folder / 'one/space/inner/m.py').write_text('x = 1')
    (folder / 'two/space/n.py').write_text('x = 2')
    sys.path[:0] = [str(folder / 'one'), str(folder / 'two')]
    info = describe('space')
    assert info.filename is None
    assert info.locations == [str(folder / 'one/space'), str(folder / 'two/space')]
    assert source_of(describe('space.n')) == 'x = 2'
    assert source_of(describe('space.inner.m')) == 'x = 1'


def test_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / 'lib.zip', 'w') as archive:
        archive.writestr('zipped/__init__.py', 'x = 1')
        archive.writestr('zipped/data/a.txt', 'A')
    sys.path.insert(0, str(folder / 'lib.zip'))
    info = describe('zipped')
    assert info.locations == [str(folder / 'lib.zip/zipped')]
    assert source_of(info) == 'x = 1'
    exporter = Exporter()
    exporter.add('zipped')
    assert exporter.list_resources('zipped') == [('__init__.py', False), ('data', True)]
    assert exporter.list_resources('zipped', 'data') == [('a.txt', False)]
    assert exporter.list_resources('zipped', 'data/a.txt') is None
    assert exporter.read_resource('zipped', 'data/a.txt') == b'A'
    assert exporter.read_resource('zipped', 'data') is None
    assert exporter.read_resource('zipped', 'data/b.txt') is None
    sys.path.remove(str(folder / 'lib.zip'))


def test_resources_stay_inside_the_package(folder: Path) -> None:
    (folder / 'pkg/data').mkdir(parents=True)
    (folder / 'pkg/__init__.py').write_text('')
    (folder / 'pkg/data/a.txt').write_text('A')
    (folder / 'secret').write_text('S')
    exporter = Exporter()
    exporter.add('pkg')
    assert exporter.read_resource('pkg', 'data/a.txt') == b'A'
    assert exporter.read_resource('pkg', 'data//./a.txt') == b'A'
    for path in ('../secret', 'data/../../secret', str(folder / 'secret'), '..'):
        assert exporter.read_resource('pkg', path) is None
        assert exporter.list_resources('pkg', path) is None


def test_compiled_module_without_source(folder: Path) -> None:
    (folder / 'only.py').write_text('x = 1')
    py_compile.compile(str(folder / 'only.py'), str(folder / 'only.pyc'))
    (folder / 'only.py').unlink()
    assert describe('only').refusal is None
    refusal = describe('only', 'cpython-38').refusal
    assert refusal is not None
    assert refusal.startswith("'only': its source cannot be had")
    assert f'is for {TAG}, not for cpython-38' in refusal


def test_extension_in_a_package_is_refused() -> None:
    assert 'C extension and cannot travel' in str(describe('markupsafe._speedups').refusal)


def test_module_of_a_finder_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As editable installs have them."""
    (folder / 'elsewhere.py').write_text('x = 1')

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            file = folder / 'elsewhere.py'
            return importlib.util.spec_from_file_location(name, file) if name == 'edit' else None

    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path, Finder])
    assert source_of(describe('edit')) == 'x = 1'


def test_module_with_an_error_is_left_to_the_peer(folder: Path) -> None:
    (folder / 'wrong.py').write_text('def')
    info = describe('wrong')
    assert (info.code, info.refusal, source_of(info)) == (None, None, 'def')


def test_main_without_source_is_refused() -> None:
    code = "from across._core.travel.exporter import Exporter; Exporter().add('__main__')"
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert "ValueError: cannot export '__main__': it has no source here" in result.stderr


def test_main_started_in_different_ways(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        # coding: latin-1
        from zlib import decompress
        from across._core.travel.exporter import Exporter, ModuleInfo
        exporter = Exporter()
        exporter.add('__main__')
        info = ModuleInfo(*exporter.find_module('__main__', ''))
        print(repr(info.package), 'exporter.add' in decompress(info.source).decode())
        """
    ).lstrip()
    package = tmp_path / 'pkg'
    package.mkdir()
    (package / '__main__.py').write_text(script)
    (package / 'mod.py').write_text(script)
    (tmp_path / 'program').write_text(script)
    with zipfile.ZipFile(tmp_path / 'app.zip', 'w') as archive:
        archive.writestr('__main__.py', script)
    for command, expected in [
        (['program'], "''"),
        (['app.zip'], "''"),
        (['pkg'], "''"),
        (['-m', 'pkg'], "'pkg'"),
        (['-m', 'pkg.mod'], "'pkg'"),
    ]:
        result = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.stdout.split() == [expected, 'True'], (command, result.stderr)
