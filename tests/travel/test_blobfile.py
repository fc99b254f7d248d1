"""The boot blob is kept in a file while the sources stay as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from across._core.travel.blobfile import kept

Get = Callable[[bytes], bytes]


@pytest.fixture
def get(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Asks for what a module is made into; the argument is what making it would give now."""
    monkeypatch.setattr(sys, 'dont_write_bytecode', False)
    monkeypatch.setattr(sys, 'pycache_prefix', str(folder / 'cache'))
    (folder / 'some_module.py').write_text('')

    def get(content: bytes) -> bytes:
        return kept('cpython-38', ('some_module',), lambda: content)

    return get


def test_it_is_made_once(get: Get) -> None:
    assert [get(b'one'), get(b'two')] == [b'one', b'one']
    assert kept('cpython-39', ('some_module',), lambda: b'other') == b'other'


def test_it_is_made_anew_when_a_source_changed(get: Get, folder: Path) -> None:
    get(b'one')
    (folder / 'some_module.py').write_text('changed')
    assert [get(b'two'), get(b'three')] == [b'two', b'two']


def test_truncated_file_is_not_used(get: Get, folder: Path) -> None:
    get(b'one')
    (file,) = (path for path in folder.rglob('blob.*') if path.is_file())
    file.write_bytes(file.read_bytes()[:20])
    assert get(b'two') == b'two'


def test_nothing_is_written_where_python_may_not(
    get: Get, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    assert [get(b'one'), get(b'two')] == [b'one', b'two']
    monkeypatch.setattr(sys, 'dont_write_bytecode', False)
    (folder / 'cache').write_text('a file in the place of the folder')
    assert [get(b'one'), get(b'two')] == [b'one', b'two']


def test_tags_are_no_paths(get: Get, folder: Path) -> None:
    assert kept('../../x', ('some_module',), lambda: b'one') == b'one'
    assert not list(folder.rglob('*x'))
