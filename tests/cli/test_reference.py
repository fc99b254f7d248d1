"""The reference of the command line is what the parser says."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from cli.program import run_program

DOCS = Path(__file__).parents[2] / 'docs'
COMMANDS = ['exec', 'run', 'shell', 'ping', 'info', 'serve', 'bios']


def test_reference_is_made_from_the_parser() -> None:
    made = runpy.run_path(str(DOCS / 'command_line.py'))['page']()
    command = 'python docs/command_line.py > docs/reference/command-line.rst'
    assert (DOCS / 'reference' / 'command-line.rst').read_text() == made, f'run: {command}'


@pytest.mark.parametrize('command', COMMANDS)
def test_help_and_how_to_name_every_command(command: str) -> None:
    assert f'\n    {command} ' in run_program('--help').out
    assert f'across {command}' in (DOCS / 'howto' / 'command-line.rst').read_text()
    result = run_program(command, '--help')
    assert result.status == 0
    assert result.out.startswith(f'usage: across {command} ')


def test_installed_program_is_the_same() -> None:
    from importlib.metadata import entry_points

    found = [each for each in entry_points().select(group='console_scripts', name='across')]
    if not found:
        pytest.skip('the library is not installed')
    assert found[0].load() is sys.modules['across.cli'].main
