"""Handlers, with real clients: well-behaved ones, and those that are silent, broken or gone."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

import across
from across import Connection, DisconnectError, OperationError, Options
from across.servers import (
    BIOSConnectionHandler,
    ConnectionHandler,
    LocalConnectionHandler,
    ProcessConnectionHandler,
    Server,
)
from servers.processes import has_ended, running_client
from support.ends import stop_process
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from across.servers.sessions import Session

    Serve = Callable[..., Server]

HANDLERS = [LocalConnectionHandler, ProcessConnectionHandler, BIOSConnectionHandler]
WITH_CHILDREN = HANDLERS[1:]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server on a loopback port, with a handler of the given kind and options."""
    with ExitStack() as stack:

        def start(kind: Callable[..., ConnectionHandler], **options: object) -> Server:
            handler = kind(options=Options(**options) if options else None)
            return stack.enter_context(Server.listen_tcp('127.0.0.1', 0, handler=handler))

        yield start


def connect(server: Server) -> Connection:
    return Connection.from_tcp(*server.address)


@contextmanager
def disconnected(server: Server) -> Iterator[Connection]:
    """A connection that the server's side breaks off while the block runs."""
    conn = connect(server)
    try:
        yield conn
        with pytest.raises(DisconnectError):
            conn.wait()
    finally:
        with suppress(DisconnectError):
            conn.close()


def timeout_for(kind: type[LocalConnectionHandler]) -> float:
    """Short, but enough for a child to start in."""
    return (0.3 if kind is LocalConnectionHandler else 1) * SECOND


def wait_until_empty(server: Server) -> None:
    wait_until(lambda: server.connection_count == 0, 'the connections to go', 10 * SECOND)


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side closes the connection, soon; what it has sent before is skipped."""
    sock.settimeout(10 * SECOND)
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


# ---------------------------------------------------------------------- what any handler does


@pytest.mark.parametrize('kind', HANDLERS)
def test_clients_are_served_until_they_leave(
    serve: Serve, kind: type[LocalConnectionHandler]
) -> None:
    server = serve(kind)
    with connect(server) as first, connect(server) as second:
        pids = {first.call(os.getpid), second.call(os.getpid)}
        assert server.connection_count == 2
    assert pids == {os.getpid()} if kind is LocalConnectionHandler else len(pids) == 2
    wait_until_empty(server)


@pytest.mark.parametrize('kind', HANDLERS)
def test_close_tells_the_clients(serve: Serve, kind: type[LocalConnectionHandler]) -> None:
    server = serve(kind)
    with connect(server) as conn:
        conn.call(os.getpid)
        server.close()
        conn.wait()  # raises if nobody said goodbye
    assert server.connection_count == 0
    server.close()


@pytest.mark.parametrize('kind', HANDLERS)
def test_cancel_ends_calls_at_once(serve: Serve, kind: type[LocalConnectionHandler]) -> None:
    def work() -> None:
        while not across.current_call().cancelled:
            time.sleep(0.001)

    server = serve(kind)
    with disconnected(server) as conn:
        future = conn.submit(work)
        conn.call(os.getpid)
        before = time.monotonic()
        server.cancel()
        with pytest.raises(DisconnectError):
            future.result(10 * SECOND)
        server.close()
        assert time.monotonic() - before < 4 * SECOND
    assert server.connection_count == 0


def test_a_connection_that_comes_with_the_cancel() -> None:
    """It is released like any other: a warning would tell that it was dropped."""

    class Handler(LocalConnectionHandler):
        def _begin(self, sock: socket.socket) -> Session:
            session = super()._begin(sock)
            self.cancel()
            return session

    mine, its = socket.socketpair()
    with mine:
        with pytest.raises(RuntimeError, match='is closed'):
            Handler().handle_socket(its)
        gc.collect()
        while mine.recv(1000):
            pass  # its greeting, if it came so far


@pytest.mark.parametrize('kind', HANDLERS)
@pytest.mark.parametrize('end', ['close', 'cancel'])
def test_ended_handler_leaves_the_socket_to_the_caller(
    kind: type[LocalConnectionHandler], end: str
) -> None:
    near, far = socket.socketpair()
    with near, far, kind() as handler:
        getattr(handler, end)()
        with pytest.raises(RuntimeError, match=f'this {kind.__name__} is closed'):
            handler.handle_socket(near)
        near.sendall(b'still open')
        assert far.recv(100) == b'still open'


def test_own_loop_around_a_handler() -> None:
    with LocalConnectionHandler() as handler, socket.create_server(('localhost', 0)) as sock:
        conn = Connection.from_tcp(*sock.getsockname()[:2])
        handler.handle_socket(sock.accept()[0])
        with conn:
            assert conn.call(os.getpid) == os.getpid()


def test_handlers_need_not_count() -> None:
    class Refusing(ConnectionHandler):
        def handle_socket(self, sock: socket.socket) -> None:
            sock.close()

        def cancel(self) -> None: ...

        def close(self) -> None: ...

    with Server.listen_tcp('localhost', 0, handler=Refusing()) as server:
        with socket.create_connection(server.address) as sock:
            assert is_closed(sock)
        with pytest.raises(NotImplementedError, match='Refusing does not count'):
            server.connection_count


@pytest.mark.parametrize('kind', HANDLERS)
def test_options_of_another_type_are_refused(kind: type[LocalConnectionHandler]) -> None:
    with pytest.raises(TypeError, match=r'options must be across\.Options, not dict'):
        kind(options={'timeout': 1})  # type: ignore[arg-type]


@pytest.mark.parametrize('kind', HANDLERS)
def test_what_is_no_connected_socket_is_refused(kind: type[LocalConnectionHandler]) -> None:
    with kind() as handler, socket.create_server(('localhost', 0)) as listening:
        with pytest.raises(TypeError, match=r'connected stream socket \(socket\.socket\), not int'):
            handler.handle_socket(5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match='pass what its accept'):
            handler.handle_socket(listening)
        assert handler.connection_count == 0


def test_many_clients_at_once(serve: Serve) -> None:
    server = serve(LocalConnectionHandler)
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(100)]
        futures = [each.submit(pow, 2, i) for i, each in enumerate(connections)]
        assert [each.result(10 * SECOND) for each in futures] == [2**i for i in range(100)]
        assert server.connection_count == 100
        server.close()
        for each in connections:
            each.wait()


# ------------------------------------------------------------------- clients that do no good


@pytest.mark.parametrize('kind', HANDLERS)
def test_silent_client_holds_up_nobody_and_is_dropped(
    serve: Serve, kind: type[LocalConnectionHandler]
) -> None:
    server = serve(kind, timeout=timeout_for(kind))
    with socket.create_connection(server.address) as silent:
        with connect(server) as conn:
            assert conn.call(pow, 2, 3) == 8
        assert is_closed(silent)
    wait_until_empty(server)


@pytest.mark.parametrize('kind', HANDLERS)
@pytest.mark.parametrize('garbage', [b'GET / HTTP/1.0\r\n\r\n', bytes(range(256)) * 40])
def test_garbage_ends_that_connection_only(
    serve: Serve, kind: type[LocalConnectionHandler], garbage: bytes
) -> None:
    server = serve(kind, timeout=timeout_for(kind))
    with connect(server) as conn, socket.create_connection(server.address) as stranger:
        stranger.sendall(garbage)
        assert is_closed(stranger)
        assert conn.call(pow, 2, 3) == 8
    wait_until_empty(server)


@pytest.mark.parametrize('kind', HANDLERS)
def test_client_that_closes_one_direction(serve: Serve, kind: type[LocalConnectionHandler]) -> None:
    server = serve(kind)
    with socket.create_connection(server.address) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert is_closed(sock)
    wait_until_empty(server)


@pytest.mark.parametrize('kind', HANDLERS)
def test_client_that_resets_before_the_handshake(
    serve: Serve, kind: type[LocalConnectionHandler]
) -> None:
    server = serve(kind)
    for _ in range(3):
        with socket.create_connection(server.address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    with connect(server) as conn:
        assert conn.call(pow, 2, 3) == 8
    wait_until_empty(server)


@pytest.mark.parametrize('kind', HANDLERS)
def test_killed_client_is_noticed(serve: Serve, kind: type[LocalConnectionHandler]) -> None:
    server = serve(kind)
    with running_client(server.address) as client:
        pid = int(client.read_line())
        client.kill()
        wait_until_empty(server)
    assert kind is LocalConnectionHandler or has_ended(pid)


@pytest.mark.parametrize('kind', [LocalConnectionHandler, ProcessConnectionHandler])
def test_stopped_client_is_dropped_after_the_timeout(
    serve: Serve, kind: type[LocalConnectionHandler]
) -> None:
    server = serve(kind, timeout=timeout_for(kind))
    with running_client(server.address) as client, connect(server) as conn:
        client.read_line()
        stop_process(client.pid)
        wait_until(lambda: server.connection_count == 1, 'the stopped one to go')
        assert conn.call(pow, 2, 3) == 8


@pytest.mark.parametrize('kind', HANDLERS)
def test_stopped_client_delays_closing_by_the_timeout_at_most(
    serve: Serve, kind: type[LocalConnectionHandler]
) -> None:
    server = serve(kind, timeout=0.5 * SECOND)
    with running_client(server.address) as client, connect(server) as conn:
        client.read_line()
        stop_process(client.pid)
        before = time.monotonic()
        server.close()
        assert time.monotonic() - before < 3 * SECOND
        conn.wait()  # this one was told


# ------------------------------------------------------------------------ in this process


def test_shared_process_accepts_no_exported_modules() -> None:
    with pytest.raises(ValueError) as caught:
        LocalConnectionHandler(options=Options(accept_exported_modules=True))
    assert str(caught.value) == (
        'a process that serves many connections cannot accept exported modules, as those of one '
        'client would be imported by all (option accept_exported_modules); use a '
        'ProcessConnectionHandler, which has a process for each client'
    )


def test_close_from_within_a_call(serve: Serve) -> None:
    server = serve(LocalConnectionHandler)
    closed = threading.Event()

    def close() -> None:
        server.close()
        closed.set()

    _callbacks.append(close)
    try:
        with connect(server) as conn, pytest.raises(DisconnectError):
            conn.execute(f'import sys; sys.modules[{__name__!r}]._callbacks.pop()()')
    finally:
        _callbacks.clear()
    assert closed.wait(5 * SECOND)


_callbacks: list[Callable[[], None]] = []


# -------------------------------------------------------------------- in a child for each


def test_child_has_our_search_path_and_options(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'only_found_here.py').write_text('VALUE = 42')
    monkeypatch.syspath_prepend(tmp_path)
    server = serve(ProcessConnectionHandler, accept_exported_modules=True)
    with connect(server) as conn:
        assert conn.execute('import only_found_here; only_found_here.VALUE') == 42
        conn.export('only_found_here')
    refused = pytest.raises(OperationError, match='does not accept exported modules')
    with connect(serve(ProcessConnectionHandler)) as conn, refused:
        conn.export('only_found_here')


def test_bare_child_has_its_standard_library_only(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'shipped.py').write_text('VALUE = 42')
    monkeypatch.syspath_prepend(tmp_path)
    with connect(serve(BIOSConnectionHandler)) as conn:
        conn.export('shipped')
        assert conn.execute('import shipped; shipped.VALUE') == 42
        assert conn.execute('import sys; sys.flags.isolated, sys.flags.no_site') == (1, 1)


def test_child_of_a_program_with_a_time_limit_for_sockets(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for its options all the same."""
    start = subprocess.Popen

    def start_slowly(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        process = start(*args, **kwargs)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5 * SECOND)  # a child that does not wait ends now
        return process

    server = serve(ProcessConnectionHandler)
    monkeypatch.setattr(subprocess, 'Popen', start_slowly)
    socket.setdefaulttimeout(20 * SECOND)
    try:
        with connect(server) as conn:
            assert conn.call(abs, -1) == 1
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.parametrize('kind', WITH_CHILDREN)
def test_main_module_of_a_child_is_left_to_its_user(
    serve: Serve, kind: type[ProcessConnectionHandler]
) -> None:
    with connect(serve(kind)) as conn:
        names = conn.execute('import __main__; sorted(vars(__main__))')
    assert not {'hold', 'main', 'signal', 'threading'} & set(names)


@pytest.mark.parametrize('kind', WITH_CHILDREN)
def test_nothing_is_told_on_the_command_line(
    serve: Serve, kind: type[ProcessConnectionHandler]
) -> None:
    with connect(serve(kind)) as conn:
        assert conn.execute('import sys; sys.argv') == ['-c']


@pytest.mark.parametrize('kind', WITH_CHILDREN)
def test_killed_child_is_reaped(serve: Serve, kind: type[ProcessConnectionHandler]) -> None:
    server = serve(kind)
    with disconnected(server) as conn:
        os.kill(conn.call(os.getpid), signal.SIGKILL)
    wait_until_empty(server)


@pytest.mark.parametrize('kind', WITH_CHILDREN)
def test_stopped_child_is_killed_after_the_timeout(
    serve: Serve, kind: type[ProcessConnectionHandler]
) -> None:
    server = serve(kind, timeout=0.5 * SECOND)
    with disconnected(server) as conn:
        pid = conn.call(os.getpid)
        stop_process(pid)
        server.close()
        assert has_ended(pid)


def test_interrupt_while_a_session_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an accept loop of one's own: the session is made all the same, and ends."""
    watch = Connection.add_end_callback

    def interrupted(conn: Connection, callback: Callable[[Connection], object]) -> None:
        signal.raise_signal(signal.SIGINT)
        watch(conn, callback)

    monkeypatch.setattr(Connection, 'add_end_callback', interrupted)
    here, there = socket.socketpair()
    with LocalConnectionHandler(options=Options(timeout=SECOND)) as handler:
        with pytest.raises(KeyboardInterrupt):
            handler.handle_socket(there)
        with Connection.from_socket(here) as conn:
            assert conn.call(abs, -1) == 1
        wait_until(lambda: handler.connection_count == 0, 'its end')


@pytest.mark.parametrize('kind', WITH_CHILDREN)
def test_interrupts_of_the_terminal_do_not_reach_a_child(
    serve: Serve, kind: type[ProcessConnectionHandler]
) -> None:
    with connect(serve(kind)) as conn:
        os.kill(conn.call(os.getpid), signal.SIGINT)
        assert conn.call(pow, 2, 3) == 8
        # What a child starts can be interrupted all the same.
        ignored = 'import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)'
        run = 'import subprocess, sys; subprocess.check_output([sys.executable, "-c", code])'
        assert conn.execute(run, code=ignored) == b'False\n'


@pytest.mark.parametrize('kind', WITH_CHILDREN)
def test_terminated_child_tells_its_client(
    serve: Serve, kind: type[ProcessConnectionHandler]
) -> None:
    server = serve(kind)
    with connect(server) as conn:
        os.kill(conn.call(os.getpid), signal.SIGTERM)
        conn.wait()
    wait_until_empty(server)


def test_thread_left_in_a_child_does_not_keep_it(serve: Serve) -> None:
    server = serve(ProcessConnectionHandler, timeout=0.5 * SECOND)
    with connect(server) as conn:
        start = 'threading.Thread(target=time.sleep, args=[99]).start()'
        conn.execute(f'import threading, time; {start}')
        before = time.monotonic()
        server.close()
        assert time.monotonic() - before < 3 * SECOND
