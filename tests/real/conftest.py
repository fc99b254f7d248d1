"""Fixtures for tests against real peers: every interpreter of the machine, and a real sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from across import Connection, get_bios
from support.interpreters import Interpreter, bare_command
from support.sshd import missing_part, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.sshd import Sshd


@pytest.fixture
def bare(
    interpreter: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """A connection to each interpreter in turn: nothing installed, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    with Connection.from_command(bare_command(interpreter)) as conn:
        yield conn


@pytest.fixture
def bare_over_ssh(sshd: Sshd, interpreter: Interpreter) -> Iterator[Connection]:
    """The same over a real ssh login."""
    with Connection.from_command(sshd.command(*bare_command(interpreter))) as conn:
        yield conn


@pytest.fixture
def python3_over_ssh(sshd: Sshd) -> Iterator[Connection]:
    """Whatever the login shell finds as python3."""
    with Connection.from_command(sshd.command('python3', '-c', get_bios())) as conn:
        yield conn


@pytest.fixture(scope='session')
def sshd_with_any_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that starts what ``LOGIN_SHELL`` names, the way it starts a login shell."""
    missing = missing_part()
    if missing:
        pytest.skip(missing)
    settings = """\
AcceptEnv LOGIN_SHELL
ForceCommand exec "$LOGIN_SHELL" -c "$SSH_ORIGINAL_COMMAND"
"""
    with running_sshd(tmp_path_factory.mktemp('sshd'), settings) as server:
        yield server
