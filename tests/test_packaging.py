"""What is built for users holds what they need, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import across

tomllib = pytest.importorskip('tomllib', reason='comes with Python 3.11')

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / 'pyproject.toml').exists(), reason='not in a source checkout'
)


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip('hatchling')
    folder = tmp_path_factory.mktemp('dist')
    command = [sys.executable, '-m', 'hatchling', 'build', '-d', str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / 'pyproject.toml').read_text()))


def sources() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / 'across').rglob('*.py')}


def test_wheel_holds_the_package_alone(built: Path) -> None:
    (wheel,) = built.glob('*.whl')
    assert wheel.name == f'across-{across.__version__}-py3-none-any.whl'
    names = set(zipfile.ZipFile(wheel).namelist())
    assert sources() | {'across/py.typed'} == {name for name in names if name.startswith('across/')}
    assert {name.split('/')[0] for name in names} == {
        'across',
        f'across-{across.__version__}.dist-info',
    }


def test_wheel_names_the_command(built: Path) -> None:
    (wheel,) = built.glob('*.whl')
    info = f'across-{across.__version__}.dist-info'
    entry_points = zipfile.ZipFile(wheel).read(f'{info}/entry_points.txt').decode()
    assert 'across = across.cli:main' in entry_points


def test_source_distribution_holds_the_project(built: Path) -> None:
    (archive,) = built.glob('*.tar.gz')
    with tarfile.open(archive) as tar:
        names = {name.split('/', 1)[1] for name in tar.getnames()}
    assert sources() <= names
    for part in ('bios', 'docs', 'tests'):
        here = {str(p.relative_to(ROOT)) for p in (ROOT / part).rglob('*.py')}
        assert {each for each in here if '_build' not in each} <= names
        assert here
    assert {'README.rst', 'LICENSE', 'Makefile', 'pyproject.toml'} <= names


def test_groups_and_extras_are_the_same() -> None:
    settings = project()
    extras = settings['project']['optional-dependencies']
    for name in ('test', 'docs'):
        assert settings['dependency-groups'][name] == extras[name]
    assert set(extras['cli']) <= set(extras['test'])
