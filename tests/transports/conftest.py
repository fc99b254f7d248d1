"""Fixtures for the transports: a link of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.waiting import SECOND
from transports.links import KINDS, Link

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.certificates import Certificates


@pytest.fixture(params=KINDS)
def unconnected(
    request: pytest.FixtureRequest, tmp_path: Path, certificates_if_any: Certificates | None
) -> Iterator[Link]:
    """A link of each kind whose transport has yet to connect."""
    link = Link(tmp_path, certificates_if_any)
    with link.resources:
        KINDS[request.param](link)
        yield link
        link.transport.kill()
        link.transport.close(5 * SECOND)


@pytest.fixture
def link(unconnected: Link) -> Link:
    """A connected link of each kind."""
    unconnected.connect()
    return unconnected
