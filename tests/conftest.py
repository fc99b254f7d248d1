"""Fixtures for all tests: real interpreters, a real sshd, a check for leftovers."""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING

import hypothesis
import pytest

from across import Connection
from support.certificates import Certificates, missing_program
from support.interpreters import (
    MINORS,
    Interpreter,
    bare_command,
    find_interpreter,
    find_interpreters,
)
from support.leaks import Resources, find_leaks
from support.peers import Pair, connected_pair
from support.sshd import Sshd, lead_ssh, missing_part, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# What a shell starts in the background ignores it, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example takes as long as a loaded machine needs for it; pytest-timeout ends what hangs.
hypothesis.settings.register_profile('untimed', deadline=None)
hypothesis.settings.load_profile('untimed')


@pytest.fixture(scope='session', autouse=True)
def private_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this process and its children a folder for temporary files that nobody else uses.

    Leftovers can then be told from the files of other processes.
    """
    folder = tmp_path_factory.mktemp('tmp')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TMPDIR', str(folder))
        patch.setattr(tempfile, 'tempdir', str(folder))
        yield


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves threads, children, descriptors or temporary files behind."""
    before = Resources.now()
    yield
    leaks = find_leaks(before)
    if leaks:
        pytest.fail('left behind:\n  ' + '\n  '.join(leaks), pytrace=False)


@pytest.fixture(scope='session')
def interpreters() -> list[Interpreter]:
    """Every supported CPython of this machine, one for each minor version."""
    return find_interpreters()


@pytest.fixture(scope='session', params=MINORS, ids=[f'3.{minor}' for minor in MINORS])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Each supported CPython in turn; skips the versions that this machine does not have."""
    found = find_interpreter(request.param)
    if found is None:
        pytest.skip(f'no CPython 3.{request.param} on the PATH or in ~/.pyenv/versions')
    return found


@pytest.fixture(scope='session')
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A running OpenSSH server that lets the current user in."""
    missing = missing_part()
    if missing:
        pytest.skip(missing)
    with running_sshd(tmp_path_factory.mktemp('sshd')) as server:
        yield server


@pytest.fixture
def led_ssh(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command `ssh`, which takes the tests' sshd for every host there is, as a program."""
    return lead_ssh(sshd.config, tmp_path, monkeypatch)


@pytest.fixture(scope='session')
def certificates_if_any(tmp_path_factory: pytest.TempPathFactory) -> Certificates | None:
    """Certificates for TLS; None without the program that makes them."""
    return None if missing_program() else Certificates(tmp_path_factory.mktemp('certificates'))


@pytest.fixture
def certificates(certificates_if_any: Certificates | None) -> Certificates:
    """Certificates for TLS."""
    if certificates_if_any is None:
        pytest.skip(missing_program())
    return certificates_if_any


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of one connection, both in this process."""
    with connected_pair() as both:
        yield both


@pytest.fixture
def peer() -> Iterator[Connection]:
    """A connection to a bare interpreter of our own version, in a process of its own."""
    with Connection.from_command(bare_command()) as conn:
        yield conn
