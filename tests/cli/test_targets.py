"""What is written for TARGET: every form against a real peer, every mistake with its sentence."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from across import Connection, get_bios
from cli.program import run_program, serving, terminal
from support.sshd import lead_ssh
from support.waiting import SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from support.sshd import Sshd

PID = 'import os; os.getpid()'


@pytest.fixture
def ssh(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The tests' sshd; `ssh` uses their configuration, and is not told host and port by it."""
    config = tmp_path / 'config'
    own = ('HostName', 'Port', 'User')
    lines = sshd.config.read_text().splitlines(True)
    config.write_text(''.join(line for line in lines if line.split()[0] not in own))
    lead_ssh(config, tmp_path, monkeypatch)
    return sshd


def bare_words() -> list[str]:
    return [sys.executable, '-I', '-S', '-c', get_bios()]


def test_local_is_a_bare_interpreter() -> None:
    code = 'import sys; (sys.flags.isolated, sys.flags.no_site, sys.executable)'
    assert run_program('exec', 'local:', code) == (0, f'{(1, 1, sys.executable)}\n', '')


def test_tcp() -> None:
    with serving('tcp://127.0.0.1:0') as target:
        assert run_program('exec', target, '6 * 7') == (0, '42\n', '')


def test_unix(tmp_path: Path) -> None:
    with serving(f'unix://{tmp_path}/a b') as target:
        assert target == f'unix://{tmp_path}/a b'
        assert run_program('exec', target, '6 * 7') == (0, '42\n', '')


def test_ssh(ssh: Sshd) -> None:
    target = f'ssh://{ssh.user}@127.0.0.1:{ssh.port}'
    assert run_program('exec', target, 'print(1); 6 * 7') == (0, '1\n42\n', '')


def test_ssh_that_refuses(ssh: Sshd) -> None:
    result = run_program('exec', f'ssh://nobody-of-ours@127.0.0.1:{ssh.port}', '1')
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line.startswith('across: no connection to ssh://nobody-of-ours@127.0.0.1:')
    assert 'refuses the login (Permission denied)' in line


def test_ssh_may_ask_at_a_terminal(ssh: Sshd, tmp_path: Path) -> None:
    config = tmp_path / 'config'
    lines = [line for line in config.read_text().splitlines() if 'StrictHost' not in line]
    known = f'UserKnownHostsFile {tmp_path}/known'
    config.write_text('\n'.join(known if 'UserKnown' in line else line for line in lines))
    with terminal('exec', f'ssh://{ssh.user}@127.0.0.1:{ssh.port}', '6 * 7') as term:
        term.read_until('Are you sure you want to continue connecting')
        term.type('yes\n')
        term.read_until('\n42\n')
        assert term.finish() == 0


def test_bios_as_the_user_types_it(sshd: Sshd) -> None:
    """``ssh host python3 -c "$(across bios)"``, word for word, in a shell of ours."""
    across = shlex.join([sys.executable, '-m', 'across'])
    ssh = shlex.join(sshd.ssh_argv)
    with Connection.from_shell(f'{ssh} python3 -c "$({across} bios)"') as conn:
        assert conn.call(os.getppid) != os.getpid()


@pytest.mark.parametrize('shell', ['sh', 'dash', 'bash', 'ksh', 'zsh', 'fish', 'tcsh', 'busybox'])
def test_bios_passes_a_shell_over_there(shell: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f'no {shell} on this machine')
    words = [path, 'sh'] if shell == 'busybox' else [path]
    quoted = run_program('bios')
    assert quoted.status == 0
    # As sshd does: the words that ssh was given, joined by spaces, are one argument of the shell.
    command = [*words, '-c', f'{sys.executable} -c ' + quoted.out.rstrip('\n')]
    with Connection.from_command(command) as conn:
        assert conn.call(int) == 0


def test_raw_bios_is_the_script_itself() -> None:
    assert run_program('bios', '--raw') == (0, get_bios() + '\n', '')


@pytest.mark.parametrize(
    'words',
    [
        ['exec', '40 + 2', '--', *bare_words()],
        ['exec', '--timeout', '30', '40 + 2', '--', *bare_words()],
        ['--debug', 'exec', '40 + 2', '--', *bare_words()],
    ],
)
def test_command(words: list[str]) -> None:
    assert run_program(*words) == (0, '42\n', '')


def test_command_with_a_double_dash_of_its_own() -> None:
    command = ['/bin/sh', '-c', 'shift; exec "$@"', 'sh', '--', *bare_words()]
    assert run_program('exec', '40 + 2', '--', *command) == (0, '42\n', '')


def test_double_dash_behind_a_target_ends_the_options() -> None:
    assert run_program('exec', 'local:', '--', '-2') == (0, '-2\n', '')


@pytest.mark.parametrize(
    ('target', 'sentence'),
    [
        ('wonderland', "'wonderland' is no target; those are local:, tcp://host:port"),
        ('local:x', "nothing can follow 'local:', found 'x'"),
        ('command:', 'there is no command after --'),
        ('tcp://wonderland', 'is not of the form tcp://host:port'),
        ('tcp://me@wonderland:1', 'is not of the form tcp://host:port'),
        ('tcp://:1865', 'names no host'),
        ('tcp://a:0', 'nobody can listen on port 0'),
        ('tcp://a:65536', 'ports go up to 65535'),
        ('tcp://a:b', 'is not of the form tcp://host:port'),
        ('unix://socket', 'write unix:///path'),
        ('unix:///', 'write unix:///path'),
        ('ssh://', 'names no host'),
        ('ssh://@a', 'is not of the form ssh://user@host:port'),
        ('ssh://-oProxyCommand=x', 'is not of the form ssh://user@host:port'),
        ('ssh://-l@a', 'is not of the form ssh://user@host:port'),
        ('ssh://me:secret@a', 'a password has no place in a target'),
        ('ssh://a/path', 'is not of the form ssh://user@host:port'),
    ],
)
def test_mistake_in_a_target(target: str, sentence: str) -> None:
    result = run_program('ping', target)
    assert (result.status, result.out) == (2, '')
    assert sentence in result.err


def test_no_command_after_the_dashes() -> None:
    result = run_program('ping', '--')
    assert result.status == 2
    assert result.err.endswith('error: there is no command after --\n')


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['tcp://127.0.0.1:1'], 'Connection refused'),
        (['tcp://no-such-host.invalid:1'], 'no-such-host.invalid'),
        (['unix:///nonexistent/socket'], 'No such file or directory'),
        (['--', '/nonexistent/program'], '/nonexistent/program'),
        (['--', '/bin/false'], 'ended with status 1'),
        (['--', '/bin/echo', 'Welcome!'], 'it sent: Welcome!'),
        (['--timeout', str(0.3 * SECOND), '--', '/bin/sleep', '100'], 'no handshake within'),
    ],
)
def test_peer_that_cannot_be_reached(words: list[str], sentence: str) -> None:
    result = run_program('ping', *words)
    assert (result.status, result.out) == (1, '')
    assert result.err.startswith('across: ')
    assert result.err.count('\n') == 1
    assert sentence in result.err


def test_debug_shows_the_traceback() -> None:
    for words in (['--debug', 'ping', 'unix:///no'], ['ping', 'unix:///no', '--debug']):
        result = run_program(*words)
        assert result.status == 1
        assert result.err.startswith('Traceback (most recent call last):\n')
        assert result.err.splitlines()[-1].startswith('across: no connection to ')


@pytest.mark.parametrize('seconds', ['0', '-1', 'soon', 'nan', 'inf'])
def test_senseless_timeout(seconds: str) -> None:
    result = run_program('ping', f'--timeout={seconds}', 'local:')
    assert result.status == 2
    assert f"'{seconds}' is not a number of seconds above 0" in result.err
