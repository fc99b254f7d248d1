"""Runs of pytest in a process of their own, with pytest-xdist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree

from support.peers import environment
from support.waiting import SECOND

__all__ = [
    'LIMIT',
    'PLUGIN',
    'Outcome',
    'command',
    'counts',
    'outcomes',
    'run',
    'surroundings',
    'write',
]

LIMIT = 120 * SECOND
#: What has pytest-xdist use the library.
PLUGIN = ('-p', 'across.gateways.xdist')

#: The class or file of a test, its name, and what became of it.
Outcome = tuple[str, str, str]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(dedent(text))


def command(*arguments: str) -> list[str]:
    return [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', *arguments]


def surroundings() -> dict[str, str]:
    """No other plugins than are named: they take long to load, in each worker."""
    inherited = environment()
    for name in [name for name in inherited if name.startswith(('PYTEST_', 'COV_'))]:
        del inherited[name]
    return {**inherited, 'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1'}


def run(
    folder: Path, scratch: Path, *arguments: str, plugin: tuple[str, ...] = PLUGIN
) -> tuple[int, str]:
    """Run pytest in a folder; its exit status and what it shows."""
    done = subprocess.run(
        command(*plugin, '-p', 'xdist', f'--basetemp={scratch / "base"}', *arguments),
        cwd=folder,
        env={**surroundings(), 'PYTHONPATH': f'{environment()["PYTHONPATH"]}:{folder / "src"}'},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout + done.stderr


def counts(shown: str) -> dict[str, int]:
    """The figures of the last line."""
    (line,) = [line for line in shown.splitlines() if re.search(r' in [\d.]+s', line)]
    kinds = 'passed|failed|skipped|xfailed|errors?|warnings?'
    return {kind: int(count) for count, kind in re.findall(rf'(\d+) ({kinds})', line)}


def outcomes(
    folder: Path, scratch: Path, *arguments: str, plugin: tuple[str, ...] = PLUGIN
) -> tuple[int, list[Outcome]]:
    """Run pytest in a folder; its exit status, and what became of each test."""
    report = scratch / f'report-{len(plugin)}.xml'
    status, shown = run(folder, scratch, f'--junitxml={report}', *arguments, plugin=plugin)
    assert report.exists(), shown
    return status, sorted(
        (each.get('classname', ''), each.get('name', ''), ' '.join(child.tag for child in each))
        for each in ElementTree.parse(report).iter('testcase')
    )
