"""Servers that end: calls in flight finish within a deadline, or are cut short."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, DisconnectError
from across.servers import (
    BIOSConnectionHandler,
    ConnectionHandler,
    LocalConnectionHandler,
    ProcessConnectionHandler,
    Server,
    run_tcp,
)
from servers.processes import running_client, running_server
from support.ends import stop_process
from support.interleaving import Background
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

HANDLERS = [LocalConnectionHandler, ProcessConnectionHandler, BIOSConnectionHandler]


class Work:
    """A call that runs at the server until a file is there; tells by another one that it began.

    It ends, too, when the folder is gone: pytest removes that of a test at once.
    """

    def __init__(self, folder: Path, conn: Connection, number: int = 0) -> None:
        self._begun = folder / f'begun{number}'
        self._let_go = folder / 'let go'
        self.future: Future[Any] = conn.submit(_work, str(self._begun), str(self._let_go))
        wait_until(self._begun.exists, 'the call to begin', 10 * SECOND)

    def let_go(self) -> None:
        self._let_go.touch()


def _work(begun: str, let_go: str) -> str:
    import os
    import time

    open(begun, 'x').close()
    while os.path.exists(begun) and not os.path.exists(let_go):
        time.sleep(0.001)
    return 'done'


_work.__module__ = '__main__'  # travels by value: children don't have this file


def refusal_of(conn: Connection) -> BaseException | None:
    """What a new call gets, once it gets no answer."""
    return conn.submit(os.getpid).exception(10 * SECOND)


@pytest.fixture(params=HANDLERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server.listen_tcp('127.0.0.1', 0, handler=request.param()) as server:
        yield server


def test_calls_finish_and_are_answered(server: Server, tmp_path: Path) -> None:
    with Connection.from_tcp(*server.address) as idle:
        idle.call(os.getpid)
        with Connection.from_tcp(*server.address) as conn:
            work = Work(tmp_path, conn)
            closing = Background(lambda: server.close(drain=10 * SECOND))
            idle.wait()  # it is told at once
            refusal = wait_until(lambda: refusal_of(conn), 'new calls to be refused')
            assert str(refusal).endswith('is closing, and takes no new calls')
            work.let_go()
            assert work.future.result(10 * SECOND) == 'done'
            conn.wait()
            closing.join()
    assert server.connection_count == 0


def test_the_rest_is_cut_short_at_the_deadline(server: Server, tmp_path: Path) -> None:
    with Connection.from_tcp(*server.address) as conn:
        work = Work(tmp_path, conn)
        try:
            server.close(drain=0.1 * SECOND)
            assert isinstance(work.future.exception(10 * SECOND), DisconnectError)
        finally:
            work.let_go()
    assert server.connection_count == 0


def test_cancel_cuts_draining_short(server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        conn = Connection.from_tcp(*server.address)
        work = Work(tmp_path, conn)
        stack.callback(work.let_go)
        closing = Background(lambda: server.close(drain=None))
        wait_until(lambda: refusal_of(conn))
        server.cancel()
        closing.join()
        assert isinstance(work.future.exception(10 * SECOND), DisconnectError)
        with pytest.raises(DisconnectError):
            conn.close()


def test_many_connections_are_told_at_once() -> None:
    """Also those that say nothing, without a thread for each."""
    with Server.listen_tcp('127.0.0.1', 0) as server, ExitStack() as stack:
        connections = [stack.enter_context(Connection.from_tcp(*server.address)) for _ in range(50)]
        before = threading.active_count()
        server.close(drain=10 * SECOND)
        assert threading.active_count() < before + len(connections)
        for conn in connections:
            conn.wait()


def test_stopped_client_does_not_keep_others_from_being_told() -> None:
    with (
        Server.listen_tcp('127.0.0.1', 0) as server,
        running_client(server.address) as stopped,
        running_client(server.address) as client,
    ):
        for each in (stopped, client):
            each.read_line()
        stop_process(stopped.pid)
        closing = Background(lambda: server.close(drain=0.2 * SECOND))
        wait_until(lambda: server.connection_count == 1, 'the other client to be told')
        server.cancel()
        closing.join()


def test_handler_that_cannot_drain_is_closed() -> None:
    class Plain(ConnectionHandler):
        closed = False

        def handle_socket(self, sock: socket.socket) -> None:
            sock.close()

        def cancel(self) -> None: ...

        def close(self) -> None:
            self.closed = True

    handler = Plain()
    Server.listen_tcp('127.0.0.1', 0, handler=handler).close(drain=10)
    assert handler.closed


@pytest.mark.parametrize(
    ('drain', 'error', 'message'),
    [
        (-1, ValueError, 'drain must be 0 seconds or more, or None for no limit, not -1'),
        (float('nan'), ValueError, 'drain must be 0 seconds or more, or None for no limit, not n'),
        ('1', TypeError, 'drain must be a number of seconds, or None for no limit, not str'),
    ],
)
def test_senseless_time(drain: Any, error: type[Exception], message: str) -> None:
    with Server.listen_tcp('127.0.0.1', 0) as server:
        with pytest.raises(error, match=message):
            server.close(drain)
        with Connection.from_tcp(*server.address) as conn:  # it still serves
            assert conn.call(pow, 2, 3) == 8
    with pytest.raises(error, match=message):
        run_tcp('127.0.0.1', 0, drain=drain)


@pytest.mark.parametrize('handler', HANDLERS)
def test_sigterm_drains(tmp_path: Path, handler: type) -> None:
    path = tmp_path / 'socket'
    with running_server(path, handler.__name__, drain=10 * SECOND) as process:
        with Connection.from_unix(str(path)) as conn:
            work = Work(tmp_path, conn)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: refusal_of(conn))
            work.let_go()
            assert work.future.result(10 * SECOND) == 'done'
            conn.wait()
        assert process.finish() == ('returned', '', 0)


@pytest.mark.parametrize('handler', HANDLERS)
def test_second_sigterm_ends_it_at_once(tmp_path: Path, handler: type) -> None:
    path = tmp_path / 'socket'
    with running_server(path, handler.__name__, drain=60 * SECOND) as process, ExitStack() as stack:
        conn = Connection.from_unix(str(path))
        work = Work(tmp_path, conn)
        stack.callback(work.let_go)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: refusal_of(conn))
        before = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.finish() == ('returned', '', 0)
        assert time.monotonic() - before < 10 * SECOND
        assert isinstance(work.future.exception(10 * SECOND), DisconnectError)
        with pytest.raises(DisconnectError):
            conn.close()
