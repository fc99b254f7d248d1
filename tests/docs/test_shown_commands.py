"""The shell commands of README.rst and of the pages run, and print what is shown below them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.examples import PAGES, ROOT, Command, check_output, find_commands
from support.waiting import SECOND

if TYPE_CHECKING:
    from support.stage import Stage

COMMANDS = [
    (f'{page.relative_to(ROOT)}-{number}', command)
    for page in PAGES
    for number, command in enumerate(find_commands(page))
    if page.name != 'lock-it-down.rst'  # these are run by test_lock_it_down.py
]

# What those begin with that are not run here, and why.
NOT_RUN = {
    'make': 'see test_commands_of_the_readme.py; a bench takes minutes',
    'pip install': 'changes the interpreter that runs the tests',
    'across shell': 'is typed at, see tests/cli/test_shell.py',
    'across run --hosts-file': 'needs hosts that differ, see tests/cli/test_many.py',
    'across serve': 'serves until it is stopped, see tests/cli/test_others.py',
    "across exec 'import os; os.uname()' -- docker": 'needs a container',
    'ssh wonderland': 'speaks with a program, as it does behind -- in command-line.rst',
    'python copy_tree.py': 'needs two hosts that share no disk, see test_examples.py',
    'pytest': 'see tests/gateways/test_xdist.py',
    'systemctl': 'needs systemd',
    'across info unix:': 'needs systemd',
    'systemd-socket-activate': 'needs systemd',
}
RUN = [
    pytest.param(command, id=name)
    for name, command in COMMANDS
    if not command.line.startswith(tuple(NOT_RUN))
]

FILES = {
    'count_rabbits.py': 'import sys; print(len(sys.stdin.readlines()), sys.argv[2], "rabbits")',
    'names.txt': 'Snowdrop\nThistle\nSorrel\n',
    'report.py': 'import sys; assert sys.argv[1:] == ["--year", "2024"]',
    'script.py': '',
}


def test_what_is_not_run_is_still_there() -> None:
    lines = [command.line for _, command in COMMANDS]
    assert [word for word in NOT_RUN if not any(each.startswith(word) for each in lines)] == []


@pytest.fixture
def programs(stage: Stage) -> None:
    """What the commands start and read; `across` is the library that is tested."""
    for name, text in FILES.items():
        (stage.folder / name).write_text(text)
    for example in (ROOT / 'docs' / 'examples').glob('*.py'):
        shutil.copy(example, stage.folder)
    (stage.folder / 'bin').mkdir()
    for name, words in {'across': '-m across', 'python': ''}.items():
        program = stage.folder / 'bin' / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n')
        program.chmod(0o755)


def with_dots(shown: str) -> str:
    """What is shown, with dots for what differs from one machine, or moment, to the other."""
    shown = shown.replace('(3, 11)', str(sys.version_info[:2]))
    shown = re.sub(r':  +\S+$', ': ...', shown, flags=re.MULTILINE)  # a table of facts
    return re.sub(r'\d+\.\d+', '...', shown)


@pytest.mark.usefixtures('programs')
@pytest.mark.parametrize('command', RUN)
def test_command(stage: Stage, command: Command) -> None:
    line, shown = (stage.localized(text, 0) for text in command)
    run = subprocess.run(
        ['bash', '-ec', line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=stage.folder,
        env=stage.environment,
        timeout=15 * SECOND,
    )
    assert (run.stderr, run.returncode) == ('', 0)
    if shown:  # sorted where several hosts answer, as any may be the first
        order = sorted if '--on ' in line else list
        lines = (''.join(order(text.splitlines(True))) for text in (run.stdout, with_dots(shown)))
        check_output(*lines)
