"""Modules exported to bare interpreters of every version, and used there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from across import Connection, OperationError
from support.interpreters import Interpreter, bare_command

Files = dict[str, str]


@pytest.fixture
def conn(
    interpreter: Interpreter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    """A bare peer that was started in an empty folder."""
    empty = tmp_path_factory.mktemp('empty')
    command = ['sh', '-c', 'cd "$0" && exec "$@"', str(empty), *bare_command(interpreter)]
    with Connection.from_command(command) as connection:
        yield connection


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))


def test_nothing_is_installed_there(conn: Connection) -> None:
    assert conn.execute("import sys; [path for path in sys.path if 'site-packages' in path]") == []
    assert conn.execute('import os; os.listdir()') == []


def test_third_party_packages(conn: Connection, interpreter: Interpreter) -> None:
    if interpreter.version < (3, 9):
        pytest.skip('these packages need Python 3.9')
    conn.export('attr', 'attrs', 'packaging')
    code = """
    import attrs
    from packaging.version import Version

    @attrs.define
    class Point:
        x: int
        y: int = 2

    import attr
    str(Point(1)), str(max(Version('1.10'), Version('1.9'))), attr.__file__
    """
    import attr

    shown, newest, file = conn.execute(textwrap.dedent(code))
    assert (shown, newest, file) == ('Point(x=1, y=2)', '1.10', attr.__file__)


def test_jinja_with_templates(conn: Connection, interpreter: Interpreter, folder: Path) -> None:
    if interpreter.version < (3, 9):
        pytest.skip('markupsafe needs Python 3.9')
    write(
        folder,
        {
            'webshop/__init__.py': '',
            'webshop/templates/base.html': 'Base: {% block body %}{% endblock %}',
            'webshop/templates/sub/page.html': (
                '{% extends "base.html" %}{% block body %}{{ name }}{% endblock %}'
            ),
        },
    )
    conn.export('jinja2', 'markupsafe', 'webshop')
    code = """
    import jinja2, markupsafe
    try:
        import markupsafe._speedups
    except ImportError as exc:
        reason = str(exc)
    environment = jinja2.Environment(loader=jinja2.PackageLoader('webshop'), autoescape=True)
    page = environment.get_template('sub/page.html').render(name='<me>')
    page, environment.list_templates(), reason, markupsafe._escape_inner.__module__
    """
    page, templates, reason, fallback = conn.execute(textwrap.dedent(code))
    assert page == 'Base: &lt;me&gt;'
    assert templates == ['base.html', 'sub/page.html']
    assert "'markupsafe._speedups': it is a C extension and cannot travel" in reason
    assert fallback == 'markupsafe._native'


RESOURCES: Files = {
    'pkg/__init__.py': 'name = "pkg"',
    'pkg/sub/__init__.py': 'from .. import name\nfrom .deep import value',
    'pkg/sub/deep.py': 'value = 5',
    'pkg/plain.py': 'import pkgutil\ndata = pkgutil.get_data(__name__, "a.txt")',
    'pkg/a.txt': 'A ä',
    'pkg/data/b.txt': 'B',
}


@pytest.mark.parametrize('zipped', [False, True], ids=['folder', 'archive'])
def test_packages_and_resources(
    conn: Connection,
    interpreter: Interpreter,
    folder: Path,
    zipped: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if zipped:
        with zipfile.ZipFile(folder / 'lib.zip', 'w') as archive:
            for name, content in RESOURCES.items():
                archive.writestr(name, content)
        monkeypatch.syspath_prepend(folder / 'lib.zip')
    else:
        write(folder, RESOURCES)
    conn.export('pkg')
    code = """
    import importlib.resources, inspect, pkgutil, warnings
    import pkg.sub, pkg.plain
    warnings.simplefilter('ignore')
    found = [pkg.sub.name, pkg.sub.value, pkg.plain.data.decode()]
    found.append([module.name for module in pkgutil.walk_packages(pkg.__path__, 'pkg.')])
    if hasattr(importlib.resources, 'read_text'):
        found.append(importlib.resources.read_text('pkg', 'a.txt', encoding='utf-8'))
        found.append(importlib.resources.is_resource('pkg', 'data'))
        found.append(sorted(importlib.resources.contents('pkg')))
        with importlib.resources.path('pkg', 'a.txt') as path:
            found.append(path.read_bytes().decode())
    found.append(inspect.getsource(pkg.sub).split())
    found
    """
    found = conn.execute(textwrap.dedent(code))
    assert found[:3] == ['pkg', 5, 'A ä']
    assert found[3] == ['pkg.plain', 'pkg.sub', 'pkg.sub.deep']
    if len(found) > 5:
        names = [name for name in found[6] if name != '__pycache__']
        assert found[4:6] == ['A ä', False]
        assert names == ['__init__.py', 'a.txt', 'data', 'plain.py', 'sub']
        assert found[7] == 'A ä'
    assert found[-1] == ['from', '..', 'import', 'name', 'from', '.deep', 'import', 'value']
    if interpreter.version >= (3, 9):
        code = """
        import importlib.resources
        root = importlib.resources.files('pkg')
        names = sorted(entry.name for entry in root.iterdir() if entry.is_file())
        with importlib.resources.as_file(root / 'data' / 'b.txt') as path:
            content = path.read_text()
        names, (root / 'a.txt').read_text(encoding='utf-8'), content, (root / 'no').is_dir()
        """
        assert conn.execute(textwrap.dedent(code)) == (
            ['__init__.py', 'a.txt', 'plain.py'],
            'A ä',
            'B',
            False,
        )


def test_namespace_package(conn: Connection, folder: Path) -> None:
    write(folder, {'space/part/mod.py': 'x = 3'})
    conn.export('space')
    assert conn.execute('import space.part.mod; space.part.mod.x') == 3


def test_exported_modules_come_before_installed_ones(conn: Connection, folder: Path) -> None:
    write(folder, {'wave.py': 'mine = True'})  # one of the standard library
    conn.export('wave')
    assert conn.execute('import wave; wave.mine') is True


def test_module_that_was_imported_before_stays(conn: Connection, folder: Path) -> None:
    write(folder, {'wave.py': 'mine = True'})
    theirs = conn.execute('import wave; wave.__file__')
    conn.export('wave')
    assert conn.execute('import wave; wave.__file__, hasattr(wave, "mine")') == (theirs, False)


def test_missing_submodule(conn: Connection, folder: Path) -> None:
    write(folder, {'pkg/__init__.py': ''})
    conn.export('pkg')
    with pytest.raises(ModuleNotFoundError, match=r"'pkg\.missing'.* has no such module"):
        conn.execute('import pkg.missing')


def test_refused_exports_change_nothing(conn: Connection) -> None:
    with pytest.raises(ValueError, match=r"submodule 'os\.path'"):
        conn.export('os.path')
    with pytest.raises(ModuleNotFoundError, match='no such module here'):
        conn.export('no_such_module')
    assert conn.execute('1 + 1') == 2


def test_bare_peer_boots_another_one(conn: Connection) -> None:
    """Also of another version, for which it needs sources that it was not sent itself."""
    code = """
    import across
    command = [python, '-I', '-S', '-c', across.get_bios()]
    with across.Connection.from_command(command) as inner:
        result = inner.execute('import across.logging, sys; sys.version_info[:2]')
    result
    """
    assert conn.execute(textwrap.dedent(code), python=sys.executable) == sys.version_info[:2]


def test_interrupt_of_the_terminal_is_left_to_the_caller(conn: Connection) -> None:
    pid = conn.call(os.getpid)
    os.kill(pid, signal.SIGINT)
    assert conn.call(os.getpid) == pid
    # Programs started there can be interrupted as usual.
    code = 'import signal; print(signal.getsignal(2) is signal.default_int_handler)'
    command = 'import subprocess, sys; subprocess.check_output([sys.executable, "-c", code])'
    assert conn.execute(command, code=code) == b'True\n'


def test_process_ends_though_threads_are_left(interpreter: Interpreter) -> None:
    with Connection.from_command(bare_command(interpreter)) as conn:
        conn.execute(
            'import atexit, os, sys, threading, time\n'
            'threading.Thread(target=time.sleep, args=(100,)).start()\n'
        )
    # Leaving the block waits for the process.


MAIN = """
import sys
from across import Connection
counter = 0

def count():
    global counter
    counter += 1
    return counter

class Thing:
    def name(self):
        return __name__

{start}
    conn.export('__main__')
    conn.call(count)
    print(conn.call(count), conn.call(Thing().name), counter)
    print(type(conn.call(Thing)) is Thing)
{end}
"""


@pytest.mark.parametrize('guarded', [True, False])
def test_main(interpreter: Interpreter, tmp_path: Path, guarded: bool) -> None:
    if guarded:
        start = "if __name__ == '__main__':\n    conn = Connection.from_command(sys.argv[1:])"
        end = '    conn.close()'
    else:
        start = 'conn = Connection.from_command(sys.argv[1:])\nif conn is not None:'
        end = 'conn.close()'
    script = tmp_path / 'script.py'
    script.write_text(MAIN.format(start=start, end=end))
    result = subprocess.run(
        [sys.executable, str(script), *bare_command(interpreter)],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert result.stderr == ''
    assert result.stdout.splitlines() == ['2 __main__ 0', 'True']


def test_export_can_be_refused_by_the_options() -> None:
    """What was refused is not exported: the other side can't ask for it, either."""
    code = 'import across; across.Connection.from_stdio().wait()'
    ask = "import across; across.get_connection()._link.calls.operation('find_module', name, '')"
    with Connection.from_command([sys.executable, '-c', code]) as conn:
        with pytest.raises(OperationError, match='accept_exported_modules=True'):
            conn.export('attr', 'across')
        assert conn.execute(ask, name='attr') is None
        assert conn.execute(ask, name='across') is not None  # always exported
