"""The units of docs/howto/systemd.rst, as systemd's own checker sees them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / 'docs' / 'howto' / 'systemd.rst'
PROGRAM = shutil.which('systemd-analyze')


def units() -> list[str]:
    """The blocks of the page, with a program that exists."""
    blocks = re.findall(
        r'^\.\. code-block:: ini\n\n((?:    .*\n|\n)+)', PAGE.read_text(), re.MULTILINE
    )
    return [
        re.sub('^    ', '', block, flags=re.MULTILINE).replace(
            '/path/to/venv/bin/across', '/bin/sh'
        )
        for block in blocks
    ]


def complaints(folder: Path, **units: str) -> list[str]:
    """What is said of units, by the kind of each, that are installed together."""
    assert PROGRAM is not None
    folder.mkdir()
    paths = [folder / f'across.{kind}' for kind in units]
    for path in paths:
        path.write_text(units[path.suffix[1:]])
    run = subprocess.run([PROGRAM, 'verify', *paths], capture_output=True, text=True)
    lines = run.stderr.splitlines()  # some may be about units of this machine
    return [line for line in lines if str(folder) in line or 'across.s' in line]


@pytest.mark.skipif(PROGRAM is None, reason='there is no systemd-analyze')
def test_units(tmp_path: Path) -> None:
    socket, service, alone = units()
    wrong = service.replace('KillMode=', 'KilMode=')
    if not complaints(tmp_path / 'wrong', service=wrong):
        pytest.skip('systemd-analyze cannot verify units here')
    assert complaints(tmp_path / 'together', socket=socket, service=service) == []
    assert complaints(tmp_path / 'alone', service=alone) == []
