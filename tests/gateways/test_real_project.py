"""A real client with a real suite: pytest-xdist runs it over gateways, and over execnet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateways.runs import outcomes
from support.project import fetch_project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

# That leaves ten files, with 1,850 tests. These three have 26,000, most of which differ in their
# arguments only, and take minutes.
LEFT_OUT = [f'--ignore=tests/test_{name}.py' for name in ('version', 'requirements', 'markers')]


@pytest.fixture(scope='module')
def project() -> Path:
    try:
        return fetch_project()
    except ConnectionError as exc:
        pytest.skip(str(exc))


@pytest.mark.parametrize('dist', ['load', 'loadfile'])
def test_each_test_ends_as_over_execnet(project: Path, tmp_path: Path, dist: str) -> None:
    # It takes warnings for errors, and is older than some that pytest has.
    common = ['-q', '-n', '4', f'--dist={dist}', '-o', 'filterwarnings=default', *LEFT_OUT]
    ours = outcomes(project, tmp_path, *common)
    theirs = outcomes(project, tmp_path, *common, plugin=())
    assert ours == theirs
    assert ours[0] == 0
    assert len(ours[1]) > 1800
