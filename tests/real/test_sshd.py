"""The main job over a real ssh login."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import psutil
import pytest

from across import Connection, DisconnectError, Options, get_bios, ref
from support.interpreters import Interpreter, bare_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from support.sshd import Sshd

LIMIT = 10 * SECOND


@pytest.fixture
def host(sshd: Sshd) -> list[str]:
    """The command of a bare interpreter over there, as the README has it."""
    return [*sshd.ssh_argv, 'python3 -c ' + shlex.quote(get_bios())]


def test_main_job(host: list[str]) -> None:
    """A local function runs over there; its exception comes back with file and line."""
    factor = 3

    def job(value: int) -> tuple[int, int]:
        import os

        return os.getpid(), 60 // value * factor  # a line over there

    with Connection.from_command(host) as conn:
        pid, result = conn.call(job, 2)
        assert (pid != os.getpid(), result) == (True, 90)
        with pytest.raises(ZeroDivisionError) as caught:
            conn.call(job, 0)
        shown = ''.join(traceback.format_exception(caught.value))
        assert '60 // value * factor  # a line over there' in shown
        assert __file__ in shown


def test_command_as_typed_in_a_shell(sshd: Sshd) -> None:
    """``ssh host python3 -c "$(across bios)"``"""
    words = ' '.join(map(shlex.quote, sshd.ssh_argv))
    across = f'{shlex.quote(sys.executable)} -m across'
    with Connection.from_shell(f'{words} python3 -c "$({across} bios)"') as conn:
        assert conn.execute('6 * 7') == 42


def test_prints_appear(host: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with Connection.from_command(host, options=Options(forward_stdio=True)) as conn:
        conn.execute('import os, sys; print("out"); print("err", file=sys.stderr)')
        conn.execute('import os; os.system("echo child")')
    assert capsys.readouterr() == ('out\nchild\n', 'err\n')


def test_prints_go_to_the_standard_error_of_ssh(host: list[str]) -> None:
    process = subprocess.Popen(
        host, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr:
        with Connection.from_process(process) as conn:
            conn.call(print, 'over there')
        assert process.stderr.read() == b'over there\n'


def test_proxies_and_callbacks(host: list[str]) -> None:
    with Connection.from_command(host) as conn:
        lines: list[str] = []
        conn.call(lambda tell: tell('hello'), ref(lines.append))
        items = conn.call_ref(list, 'abc')
        assert (lines, list(items)) == (['hello'], ['a', 'b', 'c'])


def test_bulk(host: list[str]) -> None:
    data = os.urandom(1 << 20) * 16
    with Connection.from_command(host) as conn:
        assert conn.call(lambda data: data, data) == data
        futures = [conn.submit(bytes, data[: 1 << 20]) for _ in range(10)]
        assert all(future.result(LIMIT) == data[: 1 << 20] for future in futures)


def test_every_interpreter(sshd: Sshd, interpreter: Interpreter) -> None:
    with Connection.from_command(sshd.command(*bare_command(interpreter))) as conn:
        assert tuple(conn.call(lambda: sys.version_info[:2])) == interpreter.version
        assert conn.submit(lambda n: n * n, 5).result(LIMIT) == 25


def test_dead_ssh_is_noticed_at_once(host: list[str]) -> None:
    conn = Connection.from_command(host)
    try:
        conn.call(len, '')
        future = conn.submit(signal.pause)
        (ssh,) = (
            child
            for child in psutil.Process().children()
            if child.name() == 'ssh' and '-c' in ' '.join(child.cmdline())
        )
        ssh.kill()
        with pytest.raises(DisconnectError, match=r'SIGKILL|signal 9|status -9'):
            future.result(SECOND)
        with pytest.raises(DisconnectError):
            conn.call(len, '')
    finally:
        with pytest.raises(DisconnectError):
            conn.close()


def test_process_over_there_ends_with_the_login(host: list[str]) -> None:
    """The "remote" process runs on this very machine: it can be looked at."""
    conn = Connection.from_command(host)
    process = psutil.Process(conn.call(os.getpid))
    conn.submit(signal.pause)
    conn.cancel()
    with pytest.raises(DisconnectError, match='cancelled'):
        conn.close()
    wait_until(lambda: not process.is_running(), 'the end of the process over there')


def test_login_that_fails(sshd: Sshd, tmp_path: Path) -> None:
    """What ssh says is on standard error; the error names the status."""
    command = [sshd.ssh_argv[0], '-o', f'IdentityFile={tmp_path}/none', *sshd.ssh_argv[1:]]
    command[command.index('-F') + 1] = '/dev/null'
    command[-1:] = ['-p', str(sshd.port), '-o', 'BatchMode=yes', '127.0.0.1', 'true']
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    conn = Connection.from_process(process)
    with pytest.raises(DisconnectError, match='status 255'):
        conn.call(len, '')
    with pytest.raises(DisconnectError):
        conn.close()


def test_no_python_over_there(sshd: Sshd) -> None:
    process = subprocess.Popen(
        sshd.command('python9.9', '-c', get_bios()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with process.stderr:
        conn = Connection.from_process(process)
        with pytest.raises(DisconnectError, match='status 127'):
            conn.call(len, '')
        with pytest.raises(DisconnectError):
            conn.close()
