"""Fixtures for tests of gateways: real interpreters behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from across.gateways import Gateway, Group

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def group() -> Iterator[Group]:
    """A group whose gateways end with the test."""
    with Group() as made:
        yield made


@pytest.fixture
def gateway(group: Group) -> Gateway:
    """A gateway to a child process."""
    return group.makegateway()
