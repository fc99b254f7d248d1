"""A real OpenSSH server on a loopback port, with keys and configuration of its own."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

__all__ = ['Sshd', 'lead_ssh', 'missing_part', 'running_sshd']

HOST = 'across-test-host'

SERVER_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
MaxSessions 100
{settings}
"""

CLIENT_CONFIG = """\
Host *
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    ControlPath none
    LogLevel ERROR
"""


class Sshd(NamedTuple):
    """A running server, and how to reach it."""

    host: str
    port: int
    user: str
    key: Path  # the private key that the server accepts
    config: Path  # for `ssh -F`
    log: Path

    @property
    def ssh_argv(self) -> list[str]:
        """The words that log in; what runs over there is appended as one word."""
        return ['ssh', '-F', str(self.config), self.host]

    def command(self, *remote_argv: str) -> list[str]:
        """Return the argv that runs `remote_argv` over there, each word quoted for the shell."""
        return [*self.ssh_argv, ' '.join(map(shlex.quote, remote_argv))]


def lead_ssh(config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the command `ssh` use a configuration, by a program that is made in the folder."""
    program = folder / 'bin' / 'ssh'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')
    return program


def _sshd_path() -> str | None:
    # Ordinary users do not have sbin on their path.
    return shutil.which('sshd') or shutil.which('sshd', path='/usr/sbin:/usr/local/sbin')


def missing_part() -> str | None:
    """Return why there can be no server here, or None."""
    if not _sshd_path():
        return 'no sshd found (Debian: apt-get install openssh-server)'
    for tool in ('ssh', 'ssh-keygen'):
        if not shutil.which(tool):
            return f'no {tool} found (Debian: apt-get install openssh-client)'
    return None


def _make_key(path: Path) -> str:
    subprocess.run(
        ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'across tests', '-f', str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path.with_suffix('.pub').read_text()


def _write_files(folder: Path, port: int, settings: str) -> None:
    if not (folder / 'host_key').exists():
        host_key = _make_key(folder / 'host_key')
        (folder / 'authorized_keys').write_text(_make_key(folder / 'user_key'))
    else:
        host_key = (folder / 'host_key.pub').read_text()
    (folder / 'known_hosts').write_text(f'[127.0.0.1]:{port} {host_key}')
    (folder / 'sshd_config').write_text(
        SERVER_CONFIG.format(folder=folder, port=port, settings=settings)
    )
    (folder / 'ssh_config').write_text(
        CLIENT_CONFIG.format(folder=folder, port=port, user=getpass.getuser())
    )


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return int(sock.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=5 * SECOND) as sock:
            return sock.recv(8).startswith(b'SSH-2.0')
    except OSError:
        return False


def _start(folder: Path, port: int) -> subprocess.Popen[bytes] | None:
    """Start the server and wait until it answers; None when the port was taken meanwhile."""
    sshd = _sshd_path()
    assert sshd
    # -D: stay a child of ours; -e: log to stderr. sshd starts itself anew for each client, for
    # which it needs its own absolute path.
    with open(folder / 'log', 'ab') as log:
        server = subprocess.Popen(
            [sshd, '-D', '-e', '-f', str(folder / 'sshd_config')],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    wait_until(lambda: _answers(port) or server.poll() is not None, 'sshd', 10 * SECOND)
    if server.poll() is None:
        return server
    return None


def _stop(server: subprocess.Popen[bytes]) -> None:
    family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass  # its session ended just now
    server.wait()
    psutil.wait_procs(family[:-1], timeout=10 * SECOND)


@contextmanager
def running_sshd(folder: Path, settings: str = '') -> Iterator[Sshd]:
    """Run a server that lets the current user in, and nobody else.

    Args:
        folder: An empty directory for its keys, configuration and log.
        settings: More lines of its configuration.

    Raises:
        RuntimeError: It did not start; the message holds its log.
    """
    if os.geteuid() == 0:
        # Where sshd locks itself up before a client has logged in. Its path is compiled in.
        os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
    server = None
    for _ in range(5):  # the port found free may be taken by somebody else in between
        port = _free_port()
        _write_files(folder, port, settings)
        server = _start(folder, port)
        if server:
            break
    if not server:
        raise RuntimeError(f'sshd did not start:\n{(folder / "log").read_text()}')
    try:
        yield Sshd(
            HOST,
            port,
            getpass.getuser(),
            folder / 'user_key',
            folder / 'ssh_config',
            folder / 'log',
        )
    finally:
        _stop(server)
