"""bios/socket.py: a server that runs without the library."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from across import Connection, DisconnectError
from support.interpreters import Interpreter, find_interpreters
from support.waiting import wait_until

SCRIPT = Path(__file__).parents[2] / 'bios' / 'socket.py'
Start = Callable[..., 'tuple[subprocess.Popen[str], str]']


@pytest.fixture(params=[find_interpreters()[0], find_interpreters()[-1]], ids=lambda i: i.name)
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    interpreter: Interpreter = request.param
    started = []

    def start(*address: str) -> tuple[subprocess.Popen[str], str]:
        command = [interpreter.path, str(SCRIPT), *address]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stdout is not None
        return server, server.stdout.readline().strip()

    yield start
    for server in started:
        server.kill()
        server.communicate()


def test_a_process_for_each_client(start: Start) -> None:
    server, line = start('0')
    host, _, port = line.partition('tcp://')[2].partition(':')
    assert host == '127.0.0.1'
    first = Connection.from_tcp(host, int(port))
    second = Connection.from_tcp(host, int(port))
    with first, second:
        pids = {first.call(os.getpid), second.call(os.getpid)}
        assert pids == {child.pid for child in psutil.Process(server.pid).children()}
        # The module of the standard library, not the file that the server is.
        assert first.execute('import socket; socket.AF_INET') == socket.AF_INET
    psutil.wait_procs(psutil.Process(server.pid).children(), timeout=10)
    assert psutil.Process(server.pid).children() == []  # none is left as a zombie


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ends_with_its_children(start: Start, number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / 'socket'
    server, line = start(f'unix:{path}')
    assert line == f'listening on unix://{path}'
    assert path.stat().st_mode & 0o777 == 0o600
    conn = Connection.from_unix(str(path))
    pid = conn.call(os.getpid)
    server.send_signal(number)
    assert server.wait(10) == 0
    assert not psutil.pid_exists(pid)
    assert not path.exists()
    wait_until(lambda: not conn.is_connected())
    with pytest.raises(DisconnectError):
        conn.close()


def test_stale_socket_is_replaced_and_a_live_one_is_not(start: Start, tmp_path: Path) -> None:
    path = tmp_path / 'socket'
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server, line = start(f'unix:{path}')
    assert line
    other, line = start(f'unix:{path}')
    assert not line
    assert other.wait(10) == 1
    assert path.exists()
    server.terminate()
    server.wait(10)


def test_help_and_wrong_usage(start: Start) -> None:
    server, line = start('--help')
    assert server.wait(10) == 0
    assert line.startswith('usage:')
    for address in (['x'], ['1', '2', '3'], ['99999'], ['unix']):
        assert start(*address)[0].wait(10) == 2
