"""`Connection.from_ssh` over real logins: shells, options, jump hosts, shared logins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from across import Connection, DisconnectError
from support.ends import finish
from support.interpreters import find_interpreter
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sshd import Sshd

LIMIT = 10 * SECOND
SHELLS = ('sh', 'bash', 'dash', 'ksh', 'zsh', 'csh', 'tcsh', 'fish')


def connect(sshd: Sshd, *words: str, **arguments: Any) -> Connection:
    return Connection.from_ssh(sshd.host, ssh_options=['-F', str(sshd.config), *words], **arguments)


def session_of(conn: Connection) -> psutil.Process:
    """The ssh process that a connection has started."""
    (found,) = (child for child in psutil.Process().children() if '-E' in child.cmdline())
    return found


def test_main_job(sshd: Sshd) -> None:
    factor = 3
    options = ['-F', str(sshd.config)]
    with Connection.from_ssh(f'{sshd.user}@{sshd.host}', ssh_options=options) as conn:
        assert conn.call(lambda value: (os.getppid(), value * factor), 2)[1] == 6
        assert repr(conn) == f'<Connection to ssh://{sshd.user}@{sshd.host}, connected>'


def test_without_a_configuration(sshd: Sshd) -> None:
    """All that is needed can be said in Python."""
    with Connection.from_ssh(
        '127.0.0.1',
        user=sshd.user,
        port=sshd.port,
        key=sshd.key,
        compression=True,
        ssh_options={
            'UserKnownHostsFile': sshd.key.parent / 'known_hosts',
            'GlobalKnownHostsFile': ['/dev/null', '/dev/null'],
            'StrictHostKeyChecking': True,
        },
    ) as conn:
        assert repr(conn) == f'<Connection to ssh://{sshd.user}@127.0.0.1:{sshd.port}, connected>'
        words = session_of(conn).cmdline()
        assert '-C' in words
        assert 'IdentitiesOnly=yes' in words
        assert conn.execute('6 * 7') == 42


@pytest.mark.parametrize('shell', SHELLS)
def test_login_shell(sshd_with_any_shell: Sshd, shell: str, tmp_path: Path) -> None:
    """The script survives each, and so does a list of words that no shell likes."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f'no {shell} here')
    name = tmp_path / 'it\'s $HOME \\ `x` "py" *;& {a,b} ~ #'
    name.symlink_to(sys.executable)
    python = [str(name), '-I', '-S']
    with connect(sshd_with_any_shell, f'-oSetEnv=LOGIN_SHELL={path}', python=python) as conn:
        assert conn.execute('import sys; sys.executable') == str(name)


def test_login_shell_that_talks(
    sshd_with_any_shell: Sshd, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it says on standard error is shown, and disturbs nothing."""
    shell = tmp_path / 'shell'
    shell.write_text('#!/bin/sh\necho "Welcome to wonderland!" >&2\nexec sh "$@"\n')
    shell.chmod(0o755)
    with connect(sshd_with_any_shell, f'-oSetEnv=LOGIN_SHELL={shell}') as conn:
        assert conn.execute('6 * 7') == 42
        assert conn.call(len, bytes(1 << 20)) == 1 << 20
    assert capfd.readouterr().err == 'Welcome to wonderland!\n'


def test_python_is_a_command_line(sshd: Sshd) -> None:
    command = f'cd / && MARK="a  b" exec {sys.executable} -I -S'
    with connect(sshd, python=command) as conn:
        assert conn.execute('import os; os.environ["MARK"], os.getcwd()') == ('a  b', '/')


def test_standard_error_over_there_is_ours(sshd: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    with connect(sshd) as conn:
        conn.call(os.write, 2, b'over there\n')
    assert capfd.readouterr().err == 'over there\n'


def test_warnings_of_ssh_are_shown(
    sshd: Sshd, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = '-o', f'UserKnownHostsFile={tmp_path}/new', '-o', 'StrictHostKeyChecking=accept-new'
    with connect(sshd, *words, '-o', 'LogLevel=INFO'):
        pass
    assert capfd.readouterr().err.startswith('Warning: Permanently added ')


def test_own_log_of_the_user(sshd: Sshd, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with connect(sshd, '-E', str(log), '-v'):
        assert 'debug1: ' in log.read_text()


def test_no_folder_for_temporary_files(sshd: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    """What ssh says then goes to standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('tempfile.tempdir', '/dev/null/none')
        with connect(sshd) as conn:
            assert conn.call(abs, -1) == 1
        conn = connect(sshd, '-o', 'Port=1')
        with pytest.raises(DisconnectError, match='its standard error may say why'):
            conn.call(abs, -1)
        finish(conn)
    assert 'Connection refused' in capfd.readouterr().err


def test_jump_host(sshd: Sshd) -> None:
    """Both hosts are this machine."""
    with connect(sshd, '-J', 'bastion') as conn:
        words = [child.cmdline() for child in session_of(conn).children()]
        assert any('-W' in each and 'bastion' in each for each in words)
        assert conn.call(abs, -1) == 1


def test_hop_from_a_bare_peer(sshd: Sshd) -> None:
    """The second ssh is run by a process that has nothing but what the first one brought."""
    words = ['-F', str(sshd.config)]

    def hop(host: str, words: list[str]) -> tuple[int, int]:
        from across import Connection

        with Connection.from_ssh(host, ssh_options=words) as inner:
            return os.getpid(), inner.call(os.getpid)

    oldest = find_interpreter(8)
    python = sys.executable if oldest is None else oldest.path
    with connect(sshd, python=[python, '-I', '-S']) as conn:
        middle, inner = conn.call(hop, sshd.host, words)
        assert len({os.getpid(), middle, inner}) == 3


@pytest.fixture
def control_path(sshd: Sshd) -> Iterator[str]:
    """A path for the socket of a shared login; ends the process that holds it."""
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:  # the path of a socket has to be short
        path = Path(folder, 'control')
        yield str(path)
        subprocess.run(
            ['ssh', '-F', str(sshd.config), '-o', f'ControlPath={path}', '-O', 'exit', sshd.host],
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: not path.exists(), 'the end of the shared login')


def test_shared_login(sshd: Sshd, control_path: str) -> None:
    """ssh's own: the second connection logs in no more."""
    shared = f'-oControlPath={control_path}', '-oControlMaster=auto', '-oControlPersist=30'
    accepted = sshd.log.read_text().count('Accepted publickey')
    for _ in range(2):
        with connect(sshd, *shared) as conn:
            assert conn.call(abs, -1) == 1
    assert sshd.log.read_text().count('Accepted publickey') == accepted + 1


def test_dead_ssh(sshd: Sshd) -> None:
    conn = connect(sshd)
    try:
        conn.call(len, '')
        future = conn.submit(signal.pause)
        session_of(conn).kill()
        with pytest.raises(DisconnectError, match=r'ssh across-test-host\) was killed by SIGKILL'):
            future.result(SECOND)
    finally:
        finish(conn)


def test_dead_login(sshd: Sshd) -> None:
    """Its far end; ssh writes to standard error what it has seen of that."""
    conn = connect(sshd)
    try:
        login = psutil.Process(conn.call(os.getpid)).parents()
        next(each for each in login if 'sshd' in each.name()).kill()
        with pytest.raises(DisconnectError, match='ended with status 255'):
            conn.call(signal.pause)
    finally:
        finish(conn)


def test_cancel_while_it_connects(sshd: Sshd) -> None:
    conn = connect(sshd, python='read greeting; read nothing; python3')  # ends with its input
    wait_until(lambda: [c for c in psutil.Process().children() if '-E' in c.cmdline()], 'ssh')
    conn.cancel()
    with pytest.raises(DisconnectError, match='it was cancelled'):
        conn.close()
