"""Where the examples run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.sshd import missing_part
from support.stage import Stage, running_wonderland

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.sshd import Sshd


@pytest.fixture(scope='session')
def wonderland(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd | None]:
    """The host that the examples go to by ssh, and from there to every other; None without sshd."""
    if missing_part():
        yield None
        return
    with running_wonderland(tmp_path_factory.mktemp('wonderland')) as sshd:
        yield sshd


@pytest.fixture
def stage(tmp_path: Path, wonderland: Sshd | None) -> Stage:
    return Stage(tmp_path, wonderland)
