"""The commands that README.rst gives for a clone, up to where they would change something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest

from support.examples import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = re.findall(
    r'^    (make .*?) *(?:#.*)?$', (ROOT / 'README.rst').read_text(), re.MULTILINE
)


def shell(command: str, **more: str) -> list[str]:
    """Run a command in the clone, as if no other `make` ran the tests; the lines it prints."""
    environment = {name: value for name, value in os.environ.items() if 'MAKE' not in name}
    run = subprocess.run(
        command, shell=True, cwd=ROOT, env={**environment, **more}, capture_output=True, text=True
    )
    assert (run.stderr, run.returncode) == ('', 0)
    return run.stdout.splitlines()


@pytest.mark.skipif(not shutil.which('make'), reason='no make on the PATH')
def test_what_make_would_run() -> None:
    demo, demo_elsewhere, test = (shell(f'{command} --dry-run') for command in COMMANDS)
    assert demo_elsewhere[-1] == f'{demo[-1].strip()} user@a b'
    words = ' '.join([demo[-1], *test[test.index('.ci/prepare .venv/bin/python') :]]).split()
    programs = {word for word in words if word.startswith('.venv/bin/')}
    # What runs this test has been installed in the same way.
    installed = {file.name for each in distributions() for file in each.files or ()} | {'python'}
    assert {program.rpartition('/')[2] for program in programs} - installed == set()
    files = {word for word in words if '/' in word} - programs - {'docs/_build/html'}
    assert files == {'docs/examples/demo.py', '.ci/prepare'}
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_same_is_run_before_a_change_lands(tmp_path: Path) -> None:
    make = tmp_path / 'make'
    make.write_text('#!/bin/sh\necho make "$@"\n')
    make.chmod(0o755)
    assert shell('.ci/run', PATH=f'{tmp_path}:{os.environ["PATH"]}') == [COMMANDS[-1]]
