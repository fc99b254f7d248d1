"""Connections for tests of the public interface: two ends in one process, and real children."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import across
from across import AcrossError, Connection, Options

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['Pair', 'connected_pair', 'environment', 'serving_command']


class Pair(NamedTuple):
    """Both ends of a connection, in this process: what runs "over there" can be looked at here."""

    near: Connection
    far: Connection


@contextmanager
def connected_pair(near: Options | None = None, far: Options | None = None) -> Iterator[Pair]:
    """Connect this process to itself, over a socket."""
    ends = socket.socketpair()
    both = Pair(
        Connection.from_socket(ends[0], options=near), Connection.from_socket(ends[1], options=far)
    )
    try:
        with both.near, both.far:
            yield both
    finally:
        with suppress(AcrossError):
            both.far.close()  # where the near end failed at once, it was not entered


def _library_folder() -> str:
    return str(Path(across.__file__).parent.parent)


def environment() -> dict[str, str]:
    """The environment of a child process that can import the library that is tested."""
    return {**os.environ, 'PYTHONPATH': _library_folder()}


def serving_command(arguments: str = '', before: str = '') -> list[str]:
    """The command of a peer that has the library installed, and serves its standard streams.

    Args:
        arguments: Of its `Options`, as source.
        before: Source that runs before the connection is made.
    """
    code = (
        f'import sys; sys.path.insert(0, {_library_folder()!r})\n'
        'from across import Connection, Options\n'
        f'{before}\n'
        f'with Connection.from_stdio(options=Options({arguments})) as conn:\n'
        '    conn.wait()'
    )
    return [sys.executable, '-c', code]
