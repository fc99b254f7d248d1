"""What ssh failures become: the cause has a fitting type, the message says what to do."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from across import (
    AcrossError,
    AuthenticationError,
    Connection,
    DisconnectError,
    InterpreterError,
    Options,
    ProtocolError,
)
from across._core.transports.sshfailures import failure_of
from support.ends import raised_by
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sshd import Sshd


class Failure:
    """What the users of a connection that never came about are told; closes it."""

    def __init__(self, conn: Connection) -> None:
        error = raised_by(conn.call, abs, -1)
        assert isinstance(error, DisconnectError), repr(error)
        self.text = str(error)
        self.cause = error.__cause__
        ending = raised_by(conn.close)
        assert isinstance(ending, AcrossError)
        # What `with` raises, too: errors of ours come as themselves.
        assert type(ending) is type(self.cause) or not isinstance(self.cause, AcrossError)
        assert self.text.startswith('no connection to ssh://')
        # What the other side sent is shown as it is.
        assert not self.text.endswith('.') or type(self.cause) is ProtocolError
        assert len(self.text) < 600


def failure(sshd: Sshd, *words: str, host: str = '', **arguments: Any) -> Failure:
    words = (*words, '-F', str(sshd.config))
    return Failure(Connection.from_ssh(host or sshd.host, ssh_options=words, **arguments))


# ------------------------------------------------------------------------------ on the way


def test_unknown_host(sshd: Sshd) -> None:
    found = failure(sshd, '-oHostName=no-such-host.invalid', host='wonderland')
    assert isinstance(found.cause, socket.gaierror)
    assert 'ssh cannot find the address of no-such-host.invalid' in found.text
    assert 'check the spelling, or give it a Host entry in ~/.ssh/config' in found.text


def test_refused_port(sshd: Sshd) -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    found = failure(sshd, port=port)
    assert isinstance(found.cause, ConnectionRefusedError)
    assert f'ssh cannot connect to 127.0.0.1, port {port}: Connection refused' in found.text
    assert 'is sshd running there, and on that port?' in found.text


def test_no_way_there(sshd: Sshd) -> None:
    """A broadcast: nothing routes a stream there."""
    found = failure(sshd, '-oHostName=255.255.255.255')
    assert isinstance(found.cause, OSError)
    assert found.cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES)
    assert 'ssh cannot connect to 255.255.255.255, port ' in found.text


def test_host_that_does_not_answer(sshd: Sshd) -> None:
    """It accepts connections, and says nothing."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        found = failure(sshd, '-oConnectTimeout=1', port=port)
    assert isinstance(found.cause, TimeoutError)
    assert f'{sshd.host} did not answer ssh in time' in found.text


def test_timeout_of_the_options(sshd: Sshd) -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        found = failure(sshd, port=port, options=Options(timeout=0.3 * SECOND))
    assert isinstance(found.cause, TimeoutError)
    assert 'no handshake within 0.' in found.text


@pytest.mark.parametrize('data', [b'', b'HTTP/1.1 400 Bad Request\r\n\r\n'])
def test_no_ssh_server(sshd: Sshd, data: bytes) -> None:
    def answer() -> None:
        with server.accept()[0] as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass

    with socket.create_server(('127.0.0.1', 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        found = failure(sshd, port=server.getsockname()[1])
        thread.join()
    assert isinstance(found.cause, ConnectionError)
    assert f'{sshd.host} hung up on ssh before the login' in found.text
    assert 'it is no ssh server, or takes no more connections now' in found.text


def test_jump_host_that_fails(sshd: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    """The ssh that goes there is a child of the one whose log we have."""
    found = failure(sshd, '-J', '127.0.0.1:1', '-oLogLevel=INFO')
    assert isinstance(found.cause, ConnectionError)
    assert 'the jump host or proxy command on the way' in found.text
    assert 'port 1: Connection refused' in capfd.readouterr().err


@pytest.mark.parametrize(
    'said',
    [
        'Connection closed by UNKNOWN port 65535',
        # It ended before ssh had written its first line to it.
        'kex_exchange_identification: write: Broken pipe\r\n'
        'banner exchange: Connection to UNKNOWN port -1: Broken pipe',
    ],
)
def test_words_about_a_jump_host(said: str) -> None:
    text = str(failure_of(said, 'rose'))
    assert text.startswith('the jump host or proxy command on the way to rose failed')


def test_no_ssh_here(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    found = failure(sshd)
    assert isinstance(found.cause, FileNotFoundError)
    assert "there is no command 'ssh' on this machine" in found.text


def test_option_unknown_to_ssh(sshd: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    found = failure(sshd, '-oWonderland=yes')
    assert isinstance(found.cause, ConnectionError)
    assert 'its standard error may say why' in found.text
    assert 'Bad configuration option: wonderland' in capfd.readouterr().err


def test_command_in_the_configuration(sshd: Sshd) -> None:
    found = failure(sshd, '-oRemoteCommand=true')
    assert isinstance(found.cause, ConnectionError)
    assert "pass ssh_options={'RemoteCommand': 'none'}" in found.text


def test_nothing_in_common(sshd: Sshd) -> None:
    found = failure(sshd, '-oCiphers=aes128-cbc', '-oLogLevel=INFO')
    assert isinstance(found.cause, ConnectionError)
    assert 'no matching cipher found' in found.text


# ------------------------------------------------------------------------------- who is who


@pytest.mark.parametrize('strict', ['yes', 'ask'])
def test_unknown_host_key(sshd: Sshd, tmp_path: Path, strict: str) -> None:
    known = f'-oUserKnownHostsFile={tmp_path}/none'
    found = failure(sshd, known, f'-oStrictHostKeyChecking={strict}')
    assert isinstance(found.cause, AuthenticationError)
    assert f'the host key of {sshd.host} is not known here' in found.text
    assert "ssh_options={'StrictHostKeyChecking': 'accept-new'}" in found.text


def test_changed_host_key(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / 'known_hosts'
    known.write_text(f'[127.0.0.1]:{sshd.port} {sshd.key.with_suffix(".pub").read_text()}')
    found = failure(sshd, f'-oUserKnownHostsFile={known}')
    assert isinstance(found.cause, AuthenticationError)
    assert f'another one than the known one ({known}:1)' in found.text
    assert 'somebody stands in between' in found.text
    assert found.text.endswith(
        f'remove the old key with ssh-keygen -f "{known}" -R "[127.0.0.1]:{sshd.port}"'
    )


def make_key(path: Path, passphrase: str = '') -> Path:
    words = ['ssh-keygen', '-q', '-t', 'ed25519', '-N', passphrase, '-f', str(path)]
    subprocess.run(words, check=True)
    return path


@pytest.fixture
def own_key_only(sshd: Sshd, tmp_path: Path) -> tuple[str, ...]:
    """Options for a login with no key but the one that the test names."""
    config = tmp_path / 'config'
    lines = sshd.config.read_text().splitlines()
    config.write_text('\n'.join(line for line in lines if 'IdentityFile' not in line))
    return '-F', str(config), '-oIdentityAgent=none'


@pytest.mark.parametrize('passphrase', ['', 'secret'])
def test_wrong_key(
    sshd: Sshd, tmp_path: Path, own_key_only: tuple[str, ...], passphrase: str
) -> None:
    key = make_key(tmp_path / 'key', passphrase)
    found = Failure(Connection.from_ssh(sshd.host, key=key, ssh_options=own_key_only))
    assert isinstance(found.cause, AuthenticationError)
    assert 'refuses the login (Permission denied); it accepts: publickey.' in found.text
    assert 'a key with a passphrase has to be in ssh-agent' in found.text


def test_wrong_user(sshd: Sshd) -> None:
    found = failure(sshd, host=f'no-such-user@{sshd.host}')
    assert isinstance(found.cause, AuthenticationError)
    assert 'no-such-user@127.0.0.1 refuses the login (Permission denied)' in found.text


def test_key_file_that_others_may_read(
    sshd: Sshd, tmp_path: Path, own_key_only: tuple[str, ...]
) -> None:
    key = Path(shutil.copy(sshd.key, tmp_path))
    key.chmod(0o644)
    found = Failure(Connection.from_ssh(sshd.host, key=key, ssh_options=own_key_only))
    assert isinstance(found.cause, PermissionError)
    assert f'type chmod 600 {key}' in found.text


def test_key_file_that_is_none(sshd: Sshd, tmp_path: Path, own_key_only: tuple[str, ...]) -> None:
    key = tmp_path / 'key'
    key.write_text('no key\n')
    key.chmod(0o600)
    found = Failure(Connection.from_ssh(sshd.host, key=key, ssh_options=own_key_only))
    assert isinstance(found.cause, AuthenticationError)
    assert f'ssh cannot use the key file {key}' in found.text


@pytest.mark.parametrize('key', ['none', '~/none', '/none'])
def test_missing_key_file(sshd: Sshd, key: str) -> None:
    found = failure(sshd, key=key)
    assert isinstance(found.cause, FileNotFoundError)
    assert f'there is no key file {os.path.expanduser(key)}' in found.text
    assert (f' or {Path.home()}/.ssh/none' in found.text) == (key == 'none')


# ---------------------------------------------------------------------------- what is there


@pytest.mark.parametrize('shell', ['bash', 'tcsh', 'fish'])
def test_no_such_interpreter(
    sshd_with_any_shell: Sshd, shell: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f'no {shell} here')
    login = f'-oSetEnv=LOGIN_SHELL={path}'
    found = failure(sshd_with_any_shell, login, python='python9.9 -I')
    assert isinstance(found.cause, InterpreterError)
    assert f"{sshd_with_any_shell.host} has no command 'python9.9 -I'" in found.text
    assert 'say which Python to use there with python=…' in found.text
    # What sh says about it begins with its first argument.
    said = capfd.readouterr().err
    assert 'python9.9' in said
    assert len(said) < 100


def test_interpreter_that_cannot_be_executed(sshd: Sshd) -> None:
    found = failure(sshd, python='/etc/passwd')
    assert isinstance(found.cause, InterpreterError)
    assert "'/etc/passwd' cannot be executed" in found.text


@pytest.mark.parametrize('version', ['2.7', '3.7'])
def test_interpreter_too_old(sshd: Sshd, version: str) -> None:
    python = sorted(Path.home().glob(f'.pyenv/versions/{version}.*/bin/python'))
    if not python:
        pytest.skip(f'no Python {version} in ~/.pyenv/versions')
    found = failure(sshd, python=[str(python[0])])
    assert isinstance(found.cause, InterpreterError)
    assert f'needs Python 3.8 or newer on the other side, there it is {version}' in found.text


def test_interpreter_that_fails(sshd: Sshd) -> None:
    found = failure(sshd, python='python3 --no-such-option')
    assert isinstance(found.cause, ConnectionError)
    assert "'python3 --no-such-option'" in found.text
    assert 'ended with status 2 before the handshake' in found.text


def test_start_up_file_that_prints(sshd_with_any_shell: Sshd, tmp_path: Path) -> None:
    shell = tmp_path / 'shell'
    shell.write_text('#!/bin/sh\necho "Welcome to wonderland!"\nexec sh "$@"\n')
    shell.chmod(0o755)
    found = failure(sshd_with_any_shell, f'-oSetEnv=LOGIN_SHELL={shell}')
    assert isinstance(found.cause, ProtocolError)
    assert 'the start-up files of the login shell' in found.text
    assert found.text.endswith('They print: Welcome to wonderland!')


def test_account_without_a_shell(sshd_with_any_shell: Sshd) -> None:
    nologin = shutil.which('nologin', path='/usr/sbin:/sbin')
    if nologin is None:
        pytest.skip('no nologin here')
    found = failure(sshd_with_any_shell, f'-oSetEnv=LOGIN_SHELL={nologin}')
    assert isinstance(found.cause, ProtocolError)
    assert 'something else than Python answers' in found.text
    assert 'This account is currently not available.' in found.text


def test_shell_that_does_nothing(sshd_with_any_shell: Sshd) -> None:
    found = failure(sshd_with_any_shell, '-oSetEnv=LOGIN_SHELL=/bin/false')
    assert isinstance(found.cause, ConnectionError)
    assert 'ended with status 1 before the handshake' in found.text


@pytest.fixture
def sftp_only(tmp_path: Path) -> Iterator[Sshd]:
    from support.sshd import missing_part, running_sshd

    missing = missing_part()
    if missing:
        pytest.skip(missing)
    with running_sshd(tmp_path, 'ForceCommand internal-sftp') as server:
        yield server


def test_forced_command(sftp_only: Sshd) -> None:
    found = failure(sftp_only)
    assert isinstance(found.cause, ProtocolError)
    assert 'a forced command?); it sent: This service allows sftp connections only' in found.text


# ------------------------------------------------------------------------- senseless values


@pytest.mark.parametrize(
    ('arguments', 'error', 'text'),
    [
        ({'host': 1865}, TypeError, 'host must be a str'),
        ({'host': ''}, ValueError, "'' is not the name or address of a host"),
        ({'host': '-oProxyCommand=reboot'}, ValueError, 'is not the name or address of a host'),
        ({'host': 'alice@-oProxyCommand=reboot'}, ValueError, 'not the name or address of a host'),
        ({'host': 'x; reboot'}, ValueError, 'is not the name or address of a host'),
        ({'host': 'ssh://x'}, ValueError, 'is not the name or address of a host'),
        ({'host': '@x'}, ValueError, "'' is not the name of a user"),
        ({'user': '-l'}, ValueError, "'-l' is not the name of a user"),
        ({'user': 1}, TypeError, 'user must be a str'),
        ({'host': 'bob@x', 'user': 'alice'}, ValueError, 'the user is given twice'),
        ({'port': '22'}, TypeError, 'port must be an integer'),
        ({'port': 0}, ValueError, 'port must be between 1 and 65535'),
        ({'key': ''}, TypeError, 'key must be the path of a private key'),
        ({'python': ''}, ValueError, 'python must be a command line'),
        ({'python': []}, ValueError, 'python must be a command line'),
        ({'python': 3}, TypeError, 'python must be a command line, or a list of words'),
        ({'python': 'a\nb'}, ValueError, 'python must be a command line'),
        ({'ssh_options': '-J x'}, TypeError, 'ssh_options must be a dict'),
        ({'compression': 'no'}, TypeError, "compression must be True or False, not 'no'"),
        ({'ssh_options': ['x', '-J', 'y']}, ValueError, 'ssh_options must begin with an option'),
        ({'ssh_options': ['-v', '--', 'y']}, ValueError, 'so no --'),
        ({'ssh_options': ['-p', 22]}, TypeError, 'the words of ssh_options must be str, not int'),
        ({'ssh_options': {'-J': 'x'}}, ValueError, "'-J', which is not the name of an ssh option"),
        ({'options': {}}, TypeError, 'options must be an instance of across.Options'),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else '',
)
def test_senseless_arguments(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        Connection.from_ssh(**{'host': 'x', **arguments})
    assert text in str(caught.value)


@pytest.mark.parametrize('name', ['from_command', 'from_shell', 'from_ssh', 'from_process'])
def test_misspelt_argument_names_the_method(name: str) -> None:
    with pytest.raises(TypeError, match=rf'^Connection\.{name}\(\) got an unexpected'):
        getattr(Connection, name)('x', optionz=None)
