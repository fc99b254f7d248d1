"""Servers in the background, and functions that serve until they are interrupted."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import stat
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, DisconnectError, OperationError, Options
from across.servers import LocalConnectionHandler, Server, binding, run_tcp, run_unix
from across.servers.binding import _only_one
from across.servers.listeners import _turn_away
from servers.processes import has_ended, running, running_client, running_server
from support.ends import finish, raised_by, stop_process
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.certificates import Certificates

HANDLERS = ['LocalConnectionHandler', 'ProcessConnectionHandler', 'BIOSConnectionHandler']
WITH_CHILDREN = HANDLERS[1:]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'socket'


def check_serving(path: object) -> None:
    with Connection.from_unix(str(path)) as conn:
        assert conn.call(pow, 2, 3) == 8


# -------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize('host', ['localhost', '127.0.0.1', '::1'])
def test_tcp_server_tells_where_it_is(host: str) -> None:
    try:
        server = Server.listen_tcp(host, 0)
    except OSError as exc:
        if host == '::1' and exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            pytest.skip('this machine has no IPv6')
        raise
    with server:
        assert {port for _, port in server.addresses} == {server.address[1]}
        for address in server.addresses:
            with Connection.from_tcp(*address) as conn:
                assert conn.call(os.getpid) == os.getpid()


@pytest.mark.parametrize('host', ['0.0.0.0', ''])
def test_address_that_others_may_reach_gives_a_warning(host: str) -> None:
    with pytest.warns(UserWarning, match='without authentication') as caught:
        server = Server.listen_tcp(host, 0)
    with server:
        (warning,) = caught
        address = server.address[0]
        assert str(warning.message) == (
            f'serving {address} without authentication: whoever can reach that address from '
            "another machine can run anything here, with this user's rights; give the handler "
            'Options(authkey=…), or an ssl_context that requires certificates, or serve a '
            'loopback address'
        )
        assert warning.filename == __file__
        with Connection.from_tcp('127.0.0.1', server.address[1]) as conn:
            assert conn.call(pow, 2, 3) == 8


def test_warning_made_an_error_leaves_nothing_behind() -> None:
    with pytest.raises(UserWarning, match=r'serving 0\.0\.0\.0'):
        run_tcp('0.0.0.0', 0)


def test_port_in_use() -> None:
    with Server.listen_tcp('127.0.0.1', 0) as server:
        port = server.address[1]
        with pytest.raises(OSError, match=f'cannot listen on 127.0.0.1, port {port}: ') as caught:
            Server.listen_tcp('127.0.0.1', port)
        assert caught.value.errno == errno.EADDRINUSE
    with Server.listen_tcp('127.0.0.1', port):
        pass  # it is free again at once


def test_unknown_host() -> None:
    with pytest.raises(OSError, match='cannot find the address of no-such-host'):
        run_tcp('no-such-host.invalid', 0)


@pytest.mark.parametrize(
    ('host', 'port', 'message'),
    [
        (None, 1, 'host must be a string, not NoneType'),
        ('localhost', '1', 'port must be an integer, not str'),
        ('localhost', 65536, 'port must be between 0 and 65535, not 65536'),
    ],
)
def test_senseless_address(host: str, port: int, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        run_tcp(host, port)
    assert str(caught.value) == message


def test_senseless_sockets() -> None:
    with pytest.raises(TypeError, match=r'on instances of socket\.socket, not 5'):
        Server([5])  # type: ignore[list-item]
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(ValueError, match=r'on stream sockets, not .*SOCK_DGRAM'),
    ):
        Server([sock])


def test_given_sockets_that_others_can_reach_are_warned_of() -> None:
    with (
        socket.create_server(('', 0)) as sock,
        pytest.warns(UserWarning, match=r'serving 0\.0\.0\.0 without authentication') as caught,
    ):
        Server([sock]).close()
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'handler': LocalConnectionHandler}, 'handler must be a ConnectionHandler, not ABCMeta'),
        ({'max_connections': 0}, 'max_connections must be 1 or more, or None, not 0'),
        ({'max_connections': 'x'}, "max_connections must be 1 or more, or None, not 'x'"),
    ],
)
def test_senseless_argument(path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Server.listen_unix(path, **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message
    with pytest.raises((TypeError, ValueError)) as caught:
        Server.listen_tcp('localhost', 0, **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message
    assert not path.exists()


def test_sockets_that_somebody_else_has_bound() -> None:
    first, second = socket.create_server(('127.0.0.1', 0)), socket.create_server(('127.0.0.1', 0))
    with Server([first, second]) as server:
        for address in server.addresses:
            with Connection.from_tcp(*address) as conn:
                assert conn.call(pow, 2, 3) == 8
    assert first.fileno() == second.fileno() == -1
    with pytest.raises(ValueError, match='needs a socket'):
        Server([])


# ----------------------------------------------------------------------------- Unix sockets


def test_socket_is_for_its_owner_and_goes_with_the_server(path: Path) -> None:
    mask = os.umask(0)
    try:
        server = Server.listen_unix(path)
    finally:
        os.umask(mask)
    with server:
        assert stat.filemode(path.stat().st_mode) == 'srw-------'
        assert server.address == str(path)
        check_serving(path)
    assert not path.exists()


def test_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(str(path))
        earlier.listen()
    with Server.listen_unix(path):
        check_serving(path)


def test_live_socket_is_left_alone(path: Path) -> None:
    with Server.listen_unix(path):
        with pytest.raises(OSError, match=f'{path}: another server does') as caught:
            Server.listen_unix(path)
        assert caught.value.errno == errno.EADDRINUSE
        check_serving(path)


def test_live_socket_with_a_full_backlog_is_left_alone(path: Path) -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            if waiting.connect_ex(str(path)):
                break
        with pytest.raises(OSError, match='another server does'):
            run_unix(str(path))


def test_file_is_not_replaced(path: Path) -> None:
    path.write_text('precious')
    with pytest.raises(FileExistsError, match=f'{path}: it exists and is no socket'):
        run_unix(path)
    assert path.read_text() == 'precious'


def test_of_servers_that_start_at_once_one_wins(path: Path) -> None:
    """None takes the socket of another, which is bound but does not listen yet, for a stale one."""
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as earlier:
            earlier.bind(str(path))
        barrier = threading.Barrier(4)
        started: list[Server | BaseException] = []

        def start(barrier: threading.Barrier = barrier, started: list[Any] = started) -> None:
            barrier.wait()
            try:
                started.append(Server.listen_unix(path))
            except OSError as exc:
                started.append(exc)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        servers = [each for each in started if isinstance(each, Server)]
        with ExitStack() as stack:
            for server in servers:
                stack.enter_context(server)
            assert len(servers) == 1, started
            check_serving(path)
        others = [each.strerror for each in started if isinstance(each, OSError)]
        assert others == [f'cannot listen on {path}: another server does'] * 3
        assert not os.listdir(path.parent)


def test_servers_that_start_take_turns(path: Path) -> None:
    inside: list[int] = []
    seen = []

    def enter() -> None:
        for _ in range(100):
            with _only_one(str(path)):
                inside.append(0)
                time.sleep(0.0001)  # others would come now
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 400
    assert not os.listdir(path.parent)


def test_server_that_is_stuck_while_it_starts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, 'LONGEST_START', 0.1)
    with _only_one(str(path)):
        with pytest.raises(
            OSError, match='another server has been starting there for long'
        ) as caught:
            Server.listen_unix(path)
        assert f'cannot listen on {path}: ' in str(caught.value)
        assert f'holds {path}.across-lock' in str(caught.value)
    with Server.listen_unix(path):
        check_serving(path)
    assert not os.listdir(path.parent)


def test_lock_that_cannot_be_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays, and is nobody's."""

    def unlink(name: str) -> None:
        raise PermissionError(errno.EPERM, 'not yours', name)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'unlink', unlink)
        server = Server.listen_unix(path)
    with server:
        check_serving(path)
    with Server.listen_unix(path):
        check_serving(path)
    assert not os.listdir(path.parent)


def test_socket_of_a_successor_is_left_alone(path: Path) -> None:
    with Server.listen_unix(path) as first:
        path.unlink()
        with Server.listen_unix(path):
            first.close()
            check_serving(path)


def test_socket_is_removed_from_where_it_was_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with Server.listen_unix(path.name) as server:
        assert server.address == str(path)
        monkeypatch.chdir('/')
    assert not path.exists()


@pytest.mark.parametrize(
    ('path', 'error', 'message'),
    [
        ('\0abstract', ValueError, 'may connect to an abstract socket'),
        ('', ValueError, 'path must name a file'),
        (b'bytes', TypeError, 'path must be a string or a path, not bytes'),
        ('/no/such/folder/socket', FileNotFoundError, '/no/such/folder/socket: No such file'),
        ('/tmp/' + 'x' * 200, OSError, 'xxx: AF_UNIX path too long'),
    ],
)
def test_impossible_path(path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run_unix(path)


def test_system_without_threads_leaves_no_half_made_server(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, 'start', start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Server.listen_unix(path)
    assert not path.exists()


# ------------------------------------------------------------------------------ its clients


def test_clients_beyond_the_limit_are_turned_away() -> None:
    with Server.listen_tcp('127.0.0.1', 0, max_connections=1) as server:
        with Connection.from_tcp(*server.address) as conn:
            with socket.create_connection(server.address) as other:
                said = b'ACROSS 1 refused this server has its 1 connections already\n'
                assert other.recv(100) == said
                assert other.recv(100) == b''
            assert conn.call(pow, 2, 3) == 8
        wait_until(lambda: server.connection_count == 0)
        with Connection.from_tcp(*server.address) as conn:
            assert conn.call(pow, 2, 3) == 8


@pytest.mark.parametrize('kind', ['plain', 'with a key', 'with TLS'])
def test_clients_that_are_turned_away_are_told_why(kind: str, certificates: Certificates) -> None:
    ours, theirs = {
        'plain': (Options(), Options()),
        'with a key': (Options(authkey='key'), Options(authkey='key')),
        'with TLS': (
            Options(ssl_context=certificates.server_context()),
            Options(ssl_context=certificates.client_context()),
        ),
    }[kind]
    handler = LocalConnectionHandler(options=ours)
    with (
        Server.listen_tcp('localhost', 0, handler=handler, max_connections=1) as server,
        Connection.from_tcp('localhost', server.address[1], options=theirs),
    ):
        other = Connection.from_tcp('localhost', server.address[1], options=theirs)
        error = raised_by(other.call, pow, 2, 3)
        finish(other)
    reason = 'the peer refused the connection: this server has its 1 connections already'
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert str(error) == f'no connection to localhost:{server.address[1]}: {reason}'


def test_client_that_is_turned_away_and_sends_on_holds_up_nobody() -> None:
    ours, theirs = socket.socketpair()
    with Counting(fileno=ours.detach()) as sock, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 19)
        theirs.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while True:  # as far ahead of us as it can get
                sent += theirs.send(bytes(1 << 12))
        _turn_away(sock, 'it is full')
        assert sock.fileno() == -1
        assert 0 < sock.count <= 1 << 16 < sent
        assert theirs.recv(100) == b'ACROSS 1 refused it is full\n'


class Counting(socket.socket):
    """Counts the bytes that are received."""

    count = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        self.count += len(data)
        return data


class Failing(LocalConnectionHandler):
    """Fails for the first connections in one way after the other."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)

    def handle_socket(self, sock: socket.socket) -> None:
        if self.failures:
            raise self.failures.pop(0)
        super().handle_socket(sock)


def test_handler_that_fails_costs_one_connection(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Server.listen_unix(path, handler=Failing(ZeroDivisionError('oops'))):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            assert sock.recv(1) == b''
        check_serving(path)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ('across.servers', logging.ERROR)
    assert 'oops' in caplog.text


def test_handler_without_resources_is_asked_again(path: Path) -> None:
    exhausted = [OSError(errno.EMFILE, 'Too many open files')] * 3
    with Server.listen_unix(path, handler=Failing(*exhausted)):
        check_serving(path)


def test_closing_while_the_handler_lacks_resources(path: Path) -> None:
    handler = Failing(*[OSError(errno.EMFILE, 'Too many open files')] * 1000)
    with Server.listen_unix(path, handler=handler), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        wait_until(lambda: len(handler.failures) < 1000)


COMPLAINT = 'cannot take a connection, will try again and again: [Errno 24] Too many open files'


@pytest.mark.parametrize('handler', WITH_CHILDREN)
def test_server_out_of_descriptors_waits_and_goes_on(path: Path, handler: str) -> None:
    # It has seven for itself, and needs about six to start a child.
    with running_server(path, handler, descriptors=14) as process:
        with connected_sockets(path, 6):
            complaint = process.read_error()
        check_serving(path)
        process.send_signal(signal.SIGTERM)
        assert process.finish() == ('returned', '', 0)
    assert complaint == COMPLAINT


def test_shared_process_out_of_descriptors_waits_and_goes_on(path: Path) -> None:
    with running_server(path, descriptors=40) as process:
        with connected_sockets(path, 60):
            complaint = process.read_error()
        check_serving(path)
        process.send_signal(signal.SIGTERM)
        assert process.finish() == ('returned', '', 0)
    assert complaint == COMPLAINT


@contextmanager
def connected_sockets(path: Path, count: int) -> Iterator[None]:
    """Clients that say nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(path))
        yield


# ------------------------------------------------------------------------------- its end


def test_wait_ends_when_another_thread_closes_the_server(path: Path) -> None:
    with Server.listen_unix(path) as server:
        closer = threading.Thread(target=server.close)
        closer.start()
        server.wait()
        closer.join()


def test_cancelled_server_says_no_goodbye(path: Path) -> None:
    with Server.listen_unix(path) as server:
        conn = Connection.from_unix(str(path))
        conn.call(os.getpid)
        server.cancel()
        with pytest.raises(DisconnectError):
            conn.wait()
        with pytest.raises(DisconnectError):
            conn.close()


def test_close_from_two_threads_returns_when_all_is_closed(path: Path) -> None:
    server = Server.listen_unix(path)
    counts = []

    def close() -> None:
        server.close()
        counts.append(server.connection_count)

    with Connection.from_unix(str(path)):
        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [0] * 4


@pytest.mark.parametrize('handler', HANDLERS)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_cleanly(path: Path, handler: str, number: signal.Signals) -> None:
    with running_server(path, handler) as server, Connection.from_unix(str(path)) as conn:
        pid = conn.call(os.getpid)
        server.send_signal(number)
        conn.wait()  # raises if nobody said goodbye
        assert server.finish() == ('returned', '', 0)
    assert has_ended(pid)
    assert not path.exists()


@pytest.mark.parametrize('handler', HANDLERS)
def test_second_signal_cuts_it_short(path: Path, handler: str) -> None:
    with running_server(path, handler) as server, running_client(str(path)) as client:
        pid = int(client.read_line())
        stop_process(client.pid)
        server.send_signal(signal.SIGINT)
        # By then it listens no more, and waits for its client's goodbye.
        wait_until(lambda: not path.exists(), 'the server to begin closing')
        server.send_signal(signal.SIGINT)
        assert server.finish() == ('returned', '', 0)
    assert has_ended(pid)


@pytest.mark.parametrize('handler', WITH_CHILDREN)
def test_children_of_a_killed_server_end(path: Path, handler: str) -> None:
    with running_server(path, handler) as server, Connection.from_unix(str(path)) as conn:
        pid = conn.call(os.getpid)
        server.kill()
        conn.wait()  # it even says goodbye
        wait_until(lambda: has_ended(pid), 'the child to end')


@pytest.mark.parametrize('handler', WITH_CHILDREN)
def test_children_of_a_killed_server_end_with_a_stopped_client(path: Path, handler: str) -> None:
    options = 'Options(timeout=2)'
    with running_server(path, handler, options) as server, running_client(str(path)) as client:
        pid = int(client.read_line())
        stop_process(client.pid)
        server.kill()
        wait_until(lambda: has_ended(pid), 'the child to end')


LEAVING = """
import os, sys
from across import Connection
from across.servers import *
path, handler = sys.argv[1:]
server = Server.listen_unix(path, handler=globals()[handler]())
conn = Connection.from_unix(path)
print(conn.call(os.getpid))
"""


@pytest.mark.parametrize('handler', HANDLERS)
def test_server_ends_with_its_interpreter(path: Path, handler: str) -> None:
    with running(LEAVING, path, handler) as process:
        out, err, status = process.finish()
    assert (err, status) == ('', 0)
    assert has_ended(int(out))
    assert not path.exists()


FORKING = """
import os, sys, time, warnings
from across import Connection
from across.servers import *
warnings.simplefilter('ignore')
path, handler = sys.argv[1:]
server = Server.listen_unix(path, handler=globals()[handler]())
with Connection.from_unix(path) as conn:
    conn.call(os.getpid)
    end, other_end = os.pipe()
    pid = os.fork()
    if not pid:
        server.close()
        os.close(other_end)
        os.read(end, 1)
        os._exit(0)
    assert conn.call(pow, 2, 3) == 8
    before = time.monotonic()
    server.close()
    assert time.monotonic() - before < 5, 'the copies in the fork keep something'
    conn.wait()
assert not os.path.exists(path)
os.close(other_end)
os.waitpid(pid, 0)
"""


@pytest.mark.parametrize('handler', HANDLERS)
def test_fork_has_no_part_in_the_server(path: Path, handler: str) -> None:
    with running(FORKING, path, handler) as process:
        assert process.finish() == ('', '', 0)


def test_run_tcp_serves_until_interrupted() -> None:
    with closing(socket.create_server(('127.0.0.1', 0))) as sock:
        port = sock.getsockname()[1]
    script = f'from across.servers import run_tcp; run_tcp("localhost", {port}); print("returned")'
    with running(script) as process:

        def call() -> object:
            try:
                with Connection.from_tcp('localhost', port) as conn:
                    return conn.call(os.getpid)
            except OperationError:
                return None

        assert wait_until(call, 'the server', 10 * SECOND) == process.pid
        process.send_signal(signal.SIGINT)
        assert process.finish() == ('returned', '', 0)


@pytest.mark.parametrize('kind', ['tcp', 'unix'])
def test_functions_that_serve_know_the_limit(kind: str, path: Path) -> None:
    with closing(socket.create_server(('127.0.0.1', 0))) as sock:
        host, port = sock.getsockname()
    where = repr((host, port) if kind == 'tcp' else (str(path),))
    connect = partial(Connection.from_tcp, host, port)
    if kind == 'unix':
        connect = partial(Connection.from_unix, str(path))

    def enter() -> Connection | None:
        try:
            return connect().__enter__()
        except DisconnectError:
            return None

    script = f'from across.servers import run_{kind} as run; run(*{where}, max_connections=1)'
    with running(script):
        first = wait_until(enter, 'the server', 10 * SECOND)
        assert first is not None
        with first:
            error = raised_by(connect().__enter__)
    assert str(error).endswith('this server has its 1 connections already')


def test_handler_of_sigterm_is_left_as_it_was(path: Path) -> None:
    seen = []
    earlier = signal.signal(signal.SIGTERM, lambda *args: seen.append(args))
    try:
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            wait_until(lambda: 'across-listener' in [each.name for each in threading.enumerate()])
            check_serving(path)
            signal.pthread_kill(main, signal.SIGTERM)
            wait_until(lambda: seen)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        run_unix(path)
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert seen
