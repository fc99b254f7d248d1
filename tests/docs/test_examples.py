"""Each script that the documentation shows runs and prints what the documentation says."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import across
from support.examples import PAGES, ROOT, check_output
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = ROOT / 'docs' / 'examples'
OVER_SSH = EXAMPLES / 'over_ssh.py'
OUTPUTS = sorted(set(EXAMPLES.rglob('*.out')) - {OVER_SSH.with_suffix('.out')})


def run_python(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-W', 'error', *map(str, arguments)],
        capture_output=True,
        text=True,
        # The library that is tested, also where it is not installed.
        env={**os.environ, 'PYTHONPATH': str(Path(across.__file__).parents[1])},
        timeout=15 * SECOND,
    )


def output_of(*arguments: object) -> str:
    run = run_python(*arguments)
    assert run.stderr == ''
    assert run.returncode == 0
    return run.stdout


@pytest.mark.parametrize(
    'output', OUTPUTS, ids=[str(path.relative_to(EXAMPLES).with_suffix('')) for path in OUTPUTS]
)
def test_example(output: Path) -> None:
    check_output(output_of(output.with_suffix('.py')), output.read_text())


@pytest.mark.usefixtures('led_ssh')
def test_example_over_ssh() -> None:
    expected = OVER_SSH.with_suffix('.out').read_text()
    check_output(output_of(OVER_SSH, 'wonderland'), expected)


def test_every_script_says_what_it_prints() -> None:
    scripts = {path for path in EXAMPLES.rglob('*.py') if '__main__' in path.read_text()}
    without = {script for script in scripts if not script.with_suffix('.out').exists()}
    assert without == {EXAMPLES / 'demo.py'}


@pytest.mark.usefixtures('led_ssh')
def test_demo_on_this_machine_and_over_ssh() -> None:
    shown = output_of(EXAMPLES / 'demo.py', 'wonderland')
    for expected in (
        'connected in',
        "measuring 'brie' in process",
        "{'brie': 4, 'gouda': 5}",
        "cheeses[1] == 'gouda'",
        'demo: logged by process',
        'ZeroDivisionError: division by zero',
        'return sum(values) / len(values)',
    ):
        assert shown.count(expected) == 2, shown


def test_demo_names_a_host_that_fails() -> None:
    run = run_python(EXAMPLES / 'demo.py', '-oBatchMode=yes')
    assert run.returncode == 1
    assert 'Error: ' in run.stdout
    assert 'Traceback' not in run.stderr


@pytest.mark.parametrize('page', PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_names_on_the_page_exist(page: Path) -> None:
    """Sphinx itself lets a wrong reference pass."""
    text = page.read_text()
    for name in re.findall(r'(?<!`)`~?(across(?:\.\w+)+)`', text):
        pkgutil.resolve_name(name)


def described(page: Path) -> Iterator[str]:
    """The full names that a page of the reference describes."""
    module = ''
    for kind, name in re.findall(r'^\.\. (\w+):: ([\w.]+)$', page.read_text(), re.MULTILINE):
        if kind.endswith('module'):
            module = f'{name}.'
        elif kind in ('autoclass', 'autofunction', 'autoexception', 'data'):
            yield name if name.startswith('across.') else module + name


@pytest.mark.parametrize('module', ['across', 'across.servers', 'across.gateways'])
def test_reference_describes_every_public_name(module: str) -> None:
    pages = (ROOT / 'docs' / 'reference').glob('*.rst')
    names = [name for page in pages for name in described(page)]
    public = {f'{module}.{name}' for name in import_module(module).__all__}
    found = [name for name in names if name.rpartition('.')[0] == module]
    assert sorted(found) == sorted(public - {'across.__version__'})
