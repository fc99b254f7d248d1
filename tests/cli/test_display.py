"""The progress of many hosts on a terminal: what a user sees on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.program import environment, run_program, serving
from cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip('rich')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp('hosts')
    with serving(f'unix://{path}/rose'):
        (path / 'queen').symlink_to(path / 'rose')
        yield path


def waiting_for(path: Path, text: str = '') -> str:
    """Code that prints, and waits until a file is there."""
    return f"""
        import os, time
        print({text!r})
        while not os.path.exists({str(path)!r}): time.sleep(0.01)
    """


def test_progress_midway_and_at_the_end(folder: Path, tmp_path: Path) -> None:
    hosts = f'unix://{folder}/rose,unix://{folder}/gone,local:,unix://{folder}/queen'
    code = waiting_for(tmp_path / 'go', 'off with her head')
    with Screen('exec', '--width', '2', '--on', hosts, code) as screen:
        screen.wait_for(r'(?s)(off with her head.*){2}1 of 4 hosts finished  1 failed  2 running')
        lines = screen.lines()
        assert sorted(line.split()[:2] for line in lines[-3:-1]) == [
            ['local', 'running'],
            [f'unix://{folder}/rose', 'running'],
        ]
        assert lines[-1].startswith('1 of 4 hosts finished  1 failed  2 running  1 waiting  0:0')
        # What hosts print stands above, and stays.
        assert f'unix://{folder}/rose: off with her head' in lines[:-3]
        assert 'local: off with her head' in lines[:-3]
        (tmp_path / 'go').touch()
        assert screen.finish() == 11
        assert sorted(screen.lines()[:3]) == [
            'local: off with her head',
            f'unix://{folder}/queen: off with her head',
            f'unix://{folder}/rose: off with her head',
        ]
        assert screen.lines()[3] == 'across: 1 of 4 hosts failed'
        assert len(screen.lines()) == 5, 'the display is gone'
        assert screen.shows_cursor()


def test_more_hosts_than_lines(tmp_path: Path, folder: Path) -> None:
    for number in range(8):
        (tmp_path / f'h{number}').symlink_to(folder / 'rose')
    hosts = ','.join(f'unix://{tmp_path}/h{number}' for number in range(8))
    code = waiting_for(tmp_path / 'go')
    with Screen('exec', '--on', hosts, code, height=8) as screen:
        screen.wait_for(r'(?s)running.*and 4 more.*0 of 8 hosts finished  8 running')
        (tmp_path / 'go').touch()
        assert screen.finish() == 0


def test_ctrl_c(tmp_path: Path, folder: Path) -> None:
    hosts = f'unix://{folder}/rose,local:'
    with Screen('exec', '--on', hosts, waiting_for(tmp_path / 'never')) as screen:
        screen.wait_for('2 running')
        screen.type('\x03')
        assert screen.finish() == 130
        text = '\n'.join(screen.lines())
        assert f'; at work: unix://{folder}/rose, local\n' in text
        assert text.endswith(f'across: stopped: unix://{folder}/rose, local')
        assert screen.shows_cursor()


@pytest.mark.parametrize('variables', [{'TERM': 'dumb'}, {'PYTHONPATH': 'without rich'}])
def test_terminal_without_progress(variables: dict[str, str], tmp_path: Path) -> None:
    """One that can't move its cursor, or `rich` is not installed: only the output."""
    if 'PYTHONPATH' in variables:
        (tmp_path / 'rich.py').write_text('raise ImportError')
        variables = {'PYTHONPATH': f'{tmp_path}:{environment()["PYTHONPATH"]}'}
    with Screen('exec', '--on', 'local:', 'print(1); 2', variables=variables) as screen:
        assert screen.finish() == 0
        assert screen.lines() == ['local: 1', 'local: 2']
        assert '\x1b' not in screen.raw


def test_no_progress_where_another_program_has_the_terminal() -> None:
    with Screen('exec', '--on', 'local:', '1', pipe_to='cat') as screen:
        assert screen.finish() == 0
        assert screen.raw == 'local: 1\r\n'


def test_progress_where_output_goes_to_a_file(tmp_path: Path) -> None:
    code = waiting_for(tmp_path / 'go', 'hello')
    with Screen('exec', '--on', 'local:', code, out=tmp_path / 'out') as screen:
        screen.wait_for('0 of 1 hosts finished  1 running')
        (tmp_path / 'go').touch()
        assert screen.finish() == 0
        assert screen.lines() == []
    assert (tmp_path / 'out').read_text() == 'local: hello\n'


def test_no_progress_without_a_terminal() -> None:
    assert run_program('exec', '--on', 'local:', '1') == (0, 'local: 1\n', '')
