"""Sockets passed the way systemd does, to real processes; what they tell it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import across
from across import Connection, DisconnectError
from across.servers import inherited_sockets, notify
from servers.processes import Process, running, running_server
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# What systemd does between fork and exec. Gets the descriptors, the process that they are meant
# for, and what Python shall run.
LAUNCHER = """
import os, sys
fds = [int(word) for word in sys.argv[1].split(',') if word]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(fds), 100)
os.environ.update(LISTEN_PID=sys.argv[2] or str(os.getpid()), LISTEN_FDS=str(len(fds)))
if sys.argv[3]:
    os.environ['LISTEN_FDNAMES'] = sys.argv[3]
os.execv(sys.executable, [sys.executable, *sys.argv[4:]])
"""
COMMAND = ('-m', 'across', 'serve')
RUN = """
import sys
from across.servers import *
run_systemd(*sys.argv[1:])
print('returned')
"""


@contextmanager
def activated(
    sockets: list[socket.socket], *python: str, names: str = '', pid: str = ''
) -> Iterator[Process]:
    """A Python process that gets these sockets."""
    with ExitStack() as stack:
        fds = []
        for sock in sockets:  # beyond the numbers that the launcher fills
            fds.append(fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 20))
            stack.callback(os.close, fds[-1])
        words = ','.join(map(str, fds)), pid, names
        yield stack.enter_context(running(LAUNCHER, *words, *python, pass_fds=fds))


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as sock:
        yield sock


@contextmanager
def listening(path: Path, mode: int = 0o600) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen()
        yield sock


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[socket.socket]:
    with listening(tmp_path / 'socket') as sock:
        yield sock


def test_command_line(tcp: socket.socket, unix: socket.socket) -> None:
    with activated([tcp, unix], *COMMAND, 'systemd:') as server:
        host, port = tcp.getsockname()
        assert server.read_line() == f'listening on tcp://{host}:{port}'
        assert server.stdout is not None  # has both lines at once
        assert server.stdout.readline() == f'listening on unix://{unix.getsockname()}\n'
        with Connection.from_tcp(host, port) as first:
            with Connection.from_unix(unix.getsockname()) as second:
                assert first.call(os.getppid) == second.call(os.getppid) == server.pid
            # No process below shall take the sockets for its own.
            names = first.execute('import os; list(os.environ)')
            assert not [name for name in names if name.startswith('LISTEN_')]
        server.send_signal(signal.SIGTERM)
        assert server.finish() == ('', '', 0)


def test_clients_wait_while_the_service_restarts(unix: socket.socket) -> None:
    for _ in range(2):
        # Nobody accepts it yet; it waits in the backlog of the socket.
        conn = Connection.from_unix(unix.getsockname())
        with activated([unix], '-c', RUN) as server:
            assert conn.call(os.getpid) == server.pid
            conn.close()
            server.send_signal(signal.SIGTERM)
            assert server.finish() == ('returned', '', 0)


def test_service_knows_the_limit(unix: socket.socket) -> None:
    path = unix.getsockname()
    script = 'from across.servers import run_systemd; run_systemd(max_connections=1)'
    with activated([unix], '-c', script), Connection.from_unix(path):
        conn = Connection.from_unix(path)
        with pytest.raises(DisconnectError, match='this server has its 1 connections'), conn:
            pass


def test_sockets_by_name(tcp: socket.socket, unix: socket.socket) -> None:
    sockets = [tcp, unix]
    with activated(sockets, *COMMAND, 'systemd:private', names='public:private') as server:
        assert server.read_line() == f'listening on unix://{unix.getsockname()}'
        server.send_signal(signal.SIGTERM)
        assert server.finish() == ('', '', 0)


def test_each_socket_is_taken_once(tcp: socket.socket, unix: socket.socket) -> None:
    script = """
from across.servers import inherited_sockets
for name in ['b', None, None]:
    print(*(sock.fileno() for sock in inherited_sockets(name)), flush=True)
"""
    with activated([tcp, unix, tcp], '-c', script, names='a:b:') as server:
        out, err, _ = server.finish()
        assert out.splitlines() == ['4', '3 5']
        assert 'systemd passed no socket to this process' in err


@pytest.mark.parametrize(
    ('endpoint', 'names', 'pid', 'text'),
    [
        ('systemd:c', 'a:b', '', "systemd passed no socket named 'c', only a, b"),
        ('systemd:', '', '1', 'systemd passed no socket to this process; it has to be started by'),
    ],
)
def test_no_such_socket(tcp: socket.socket, endpoint: str, names: str, pid: str, text: str) -> None:
    with activated([tcp, tcp], *COMMAND, endpoint, names=names, pid=pid) as server:
        out, err, status = server.finish()
        assert (out, status) == ('', 1)
        assert err.startswith(f'across: {text}')
        assert err.count('\n') == 0


def test_no_systemd_at_all() -> None:
    with pytest.raises(OSError, match='systemd passed no socket to this process'):
        inherited_sockets()


def test_socket_that_does_not_listen() -> None:
    """As with Accept=yes: that would be a client."""
    ours, theirs = socket.socketpair()
    with ours, theirs, activated([theirs], *COMMAND, 'systemd:') as server:
        out, err, status = server.finish()
        assert (out, status) == ('', 1)
        assert err.startswith('across: descriptor 3, passed by systemd, is no stream socket')
        assert err.endswith('the socket unit needs ListenStream=, and Accept=no')


def test_socket_that_all_may_connect_to(tmp_path: Path) -> None:
    """systemd's default mode is 0666."""
    with (
        listening(tmp_path / 'socket', 0o666) as sock,
        activated([sock], *COMMAND, 'systemd:') as server,
    ):
        assert server.read_error() == (
            f'across: warning: serving {tmp_path}/socket without authentication: every user of '
            "this machine can run anything here, with this user's rights; let the socket unit set "
            'SocketMode=0600'
        )
        server.send_signal(signal.SIGTERM)
        assert server.finish()[2] == 0


def test_the_program_that_systemd_has_for_trying_it(tmp_path: Path) -> None:
    """It waits for a client, and starts the service only then."""
    program = shutil.which('systemd-socket-activate')
    if program is None:
        pytest.skip('no systemd-socket-activate here')
    path = tmp_path / 'socket'
    source = f'PYTHONPATH={Path(across.__file__).parents[1]}'
    process = subprocess.Popen(
        [program, '-l', str(path), '-E', source, '--fdname=x', sys.executable]
        + [*COMMAND, 'systemd:x', '--handler', 'local'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stderr is not None
        try:
            wait_until(path.exists, 'the socket')
            wait_until(lambda: connects(path), 'a listener')
            with Connection.from_unix(str(path)) as conn:
                assert conn.call(os.getpid) == process.pid
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


@pytest.fixture(params=['path', 'abstract'])
def told(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The socket on which systemd is told."""
    path = str(tmp_path / 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10 * SECOND)
        sock.bind(path if request.param == 'path' else '\0' + path)
        monkeypatch.setenv('NOTIFY_SOCKET', path if request.param == 'path' else '@' + path)
        yield sock


def test_states_are_told(told: socket.socket) -> None:
    assert notify('STATUS=well\nREADY=1')
    assert told.recv(100) == b'STATUS=well\nREADY=1'


def test_a_service_tells_when_it_is_ready(told: socket.socket, tcp: socket.socket) -> None:
    with activated([tcp], *COMMAND, 'systemd:') as server:
        assert told.recv(100) == b'READY=1'
        server.send_signal(signal.SIGTERM)
        assert told.recv(100) == b'STOPPING=1'
        assert server.finish()[2] == 0


def test_the_program_of_the_documentation(told: socket.socket, unix: socket.socket) -> None:
    script = Path(__file__).parents[2] / 'docs' / 'examples' / 'sigterm_systemd.py'
    with activated([unix], str(script)) as server:
        assert told.recv(100) == b'READY=1'
        with Connection.from_unix(unix.getsockname()) as conn:
            assert conn.call(os.getpid) == server.pid
            server.send_signal(signal.SIGTERM)
            conn.wait()  # raises if nobody said goodbye
        assert told.recv(100) == b'STOPPING=1'
        assert server.finish() == ('', '', 0)


def test_so_do_the_functions(told: socket.socket, tmp_path: Path) -> None:
    with running_server(tmp_path / 'socket') as server:
        assert told.recv(100) == b'READY=1'
        server.send_signal(signal.SIGTERM)
        assert told.recv(100) == b'STOPPING=1'
        assert server.finish() == ('returned', '', 0)


def test_nobody_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NOTIFY_SOCKET', raising=False)
    assert not notify('READY=1')
    monkeypatch.setenv('NOTIFY_SOCKET', str(tmp_path / 'gone'))
    assert not notify('READY=1')
