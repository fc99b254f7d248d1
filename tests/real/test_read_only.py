"""A bare peer on a machine where nothing can be written to any disk."""

from __future__ import annotations

import tempfile
import traceback
from typing import TYPE_CHECKING

import pytest

from across import Connection, Options
from support.ends import raised_by
from support.interpreters import Interpreter, bare_command
from support.namespaces import without_writable_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def read_only(interpreter: Interpreter) -> Iterator[Connection]:
    command = without_writable_disk(bare_command(interpreter))
    with Connection.from_command(command, options=Options(forward_stdio=True)) as conn:
        missing = raised_by(conn.call, tempfile.gettempdir)
        assert 'No usable temporary directory' in str(missing)
        yield conn


@pytest.fixture
def island(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / 'island'
    package.mkdir()
    (package / '__init__.py').write_text('from .shore import land\n')
    (package / 'shore.py').write_text('def land():\n    raise LookupError("no land")  # in sight\n')
    (package / 'map.txt').write_text('X marks the spot')
    monkeypatch.syspath_prepend(tmp_path)


def test_no_writable_disk(
    read_only: Connection, island: None, capsys: pytest.CaptureFixture[str]
) -> None:
    two = 2
    assert read_only.call(lambda value: value * two, 3) == 6
    read_only.execute('import os; print("by the peer"); os.system("echo by its child")')
    assert capsys.readouterr().out == 'by the peer\nby its child\n'
    read_only.export('island')
    error = raised_by(read_only.execute, 'import island; island.land()')
    assert type(error) is LookupError
    assert 'raise LookupError("no land")  # in sight' in ''.join(traceback.format_exception(error))
    code = 'import pkgutil; pkgutil.get_data("island", "map.txt")'
    assert read_only.execute(code) == b'X marks the spot'
