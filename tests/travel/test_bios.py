"""The script that bare interpreters are started with, and the blob that it reads."""

from __future__ import annotations

import marshal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from across import Connection, ProtocolError, get_bios
from across._core.travel import bios
from travel.minify import minify

BIOS_FOLDER = Path(__file__).parents[2] / 'bios'


def run_script(python: str, data: bytes, script: str = '') -> subprocess.CompletedProcess[bytes]:
    command = [python, '-c', script or get_bios()]
    return subprocess.run(command, input=data, capture_output=True, timeout=20)


def blob(code: str) -> bytes:
    """A blob whose code is this, followed by nothing."""
    packed = zlib.compress(marshal.dumps({'boot': code}, 2))
    return b'%08x' % len(packed) + packed


def test_script_is_made_from_the_readable_source() -> None:
    assert get_bios() == minify((BIOS_FOLDER / 'stdio.py').read_text())


def test_script_survives_shells() -> None:
    script = get_bios()
    assert len(script) <= 512
    assert script.isascii()
    assert script.isprintable()
    assert not set(script) & set("'`$!\\")


@pytest.mark.parametrize('file', [False, True])
def test_reads_not_a_byte_too_much(file: bool) -> None:
    code = 'import os; os.write(1, os.read(0, 100))'
    data = b'ACROSS 1 peer host=here\n' + blob(code) + b'the first frame'
    script = (BIOS_FOLDER / 'stdio.py').read_text() if file else get_bios()
    script = "__file__ = '/x/stdio.py'\n" + script if file else script
    result = run_script(sys.executable, data, script)
    line, _, rest = result.stdout.partition(b'\n')
    assert line == f'ACROSS 1 bios {sys.implementation.cache_tag}'.encode()
    assert rest == b'the first frame'


@pytest.mark.parametrize('data', [b'', b'ACROSS 1 peer', b'ACROSS 1 peer\n0000', b'x\n00000010abc'])
def test_ends_quietly_when_nobody_is_there(data: bytes) -> None:
    result = run_script(sys.executable, data)
    assert result.returncode == 1
    assert result.stderr == b''


def old_pythons() -> list[str]:
    versions = Path.home() / '.pyenv' / 'versions'
    return [str(path) for path in sorted(versions.glob('*/bin/python')) if is_old(path)]


def is_old(path: Path) -> bool:
    return path.parts[-3].startswith(('2.7.', '3.6.', '3.7.'))


@pytest.mark.parametrize('python', old_pythons())
def test_old_interpreters_are_refused_on_both_sides(python: str) -> None:
    result = run_script(python, b'')
    assert result.returncode == 1
    version = python.split('/')[-3]
    assert result.stderr.decode() == (
        f'across needs Python 3.8 or newer, this is {version} ({python})\n'
    )
    short = version.rpartition('.')[0]
    conn = Connection.from_command([python, '-c', get_bios()])
    with pytest.raises(ProtocolError) as caught, conn:
        pass
    sentence = f'across needs Python 3.8 or newer on the other side, there it is {short}'
    assert str(caught.value).endswith(sentence)


@pytest.mark.parametrize(
    ('cache_tag', 'refused'),
    [
        ('cpython-27', True),
        ('cpython-37', True),
        ('cpython-38', False),
        ('cpython-310', False),
        ('cpython-315', False),
        ('pypy39', False),
        ('None', False),
        ('', False),
    ],
)
def test_refusal(cache_tag: str, refused: bool) -> None:
    assert bool(bios.refusal(cache_tag)) == refused


def test_blob_is_made_once_for_each_version() -> None:
    first = bios.make_blob('cpython-38', {'timeout': 1.5})
    second = bios.make_blob('cpython-38', {'timeout': None})
    assert first != second
    size = int(first[:8], 16)
    assert first[: size + 8] == second[: size + 8]
    assert marshal.loads(first[size + 16 :]) == {'timeout': 1.5}


def test_blob_holds_code_for_the_same_version_and_source_for_others() -> None:
    def kinds(cache_tag: str) -> set[str]:
        modules: object = bios.namespace_of_blob(cache_tag)['modules']
        assert isinstance(modules, dict)
        return {type(content).__name__ for _, _, content in modules.values()}

    assert kinds(sys.implementation.cache_tag) == {'code'}
    assert kinds('cpython-38') == {'str'}
