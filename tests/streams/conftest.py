"""Peers that can import what the tests have them yield."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from across import Connection
from support.interpreters import bare_command, find_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def peer() -> Iterator[Connection]:
    """A connection to a bare interpreter of our own version."""
    with Connection.from_command(bare_command()) as conn:
        conn.export('support')
        yield conn


@pytest.fixture(params=[8, 13], ids=['3.8', '3.13'])
def other_peer(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to a bare interpreter of another version."""
    python = find_interpreter(request.param)
    if python is None:
        pytest.skip(f'no CPython 3.{request.param}')
    with Connection.from_command(bare_command(python)) as conn:
        conn.export('support')
        yield conn
