"""The commands of docs/howto/lock-it-down.rst, run as they stand there, but for host and port."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.program import run_program, serving
from support.certificates import missing_program

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / 'docs' / 'howto' / 'lock-it-down.rst'


def commands() -> list[str]:
    text = PAGE.read_text().replace('python3 -c', f'{sys.executable} -c')
    text = text.replace(' \\\n    >', '')
    return [
        line.replace('DNS:wonderland', 'DNS:localhost').replace('wonderland:1865', 'localhost:0')
        for line in re.findall(r'^    \$ (.+)$', text, re.MULTILINE)
    ]


@contextmanager
def in_folder(folder: Path, command: str) -> Iterator[list[str]]:
    """The words of an `across` command, its files looked for in a folder."""
    words = re.findall(r"'[^']*'|\S+", command)
    yield [
        str(folder / word) if (folder / word).is_file() else word.strip("'") for word in words[1:]
    ]


@pytest.mark.skipif(missing_program() != '', reason=missing_program())
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    steps = commands()
    assert len(steps) == 13
    with_key = next(step for step in steps if step.startswith('across exec'))
    steps.append(with_key)  # the last server of the page is for that client, too
    while steps:
        step = steps.pop(0)
        if not step.startswith('across '):
            subprocess.run(step, shell=True, check=True, cwd=tmp_path, capture_output=True)
            continue
        with in_folder(tmp_path, step) as served, in_folder(tmp_path, steps.pop(0)) as used:
            assert (served[0], used[0]) == ('serve', 'exec')
            with serving(*served[1:]) as target:
                port = target.rpartition(':')[2]
                used[1] = f'tcp://localhost:{port}'
                assert run_program(*used) == (0, '42\n', '')
    # As Python 3.13 verifies them.
    command = ['openssl', 'verify', '-x509_strict', '-CAfile', 'ca.pem', 'server.pem', 'alice.pem']
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.stdout == 'server.pem: OK\nalice.pem: OK\n', run.stderr
