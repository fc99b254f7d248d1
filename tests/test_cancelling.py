"""Cancelling: from any thread and signal handler, whatever the others wait for."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, DisconnectError, Options
from across._core.states import CLOSING
from support.ends import WORK, at_once, finish, pair, plain_peer, raised_by, run_work, stay
from support.interpreters import bare_command
from support.waiting import SECOND, wait_until
from transports.sleeping import signal_during, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = Options(timeout=60)


def black_hole() -> socket.socket:
    """A listener whose queue is full: who connects to it waits."""
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen(0)
    return server


class Blocked:
    """An operation that blocks on a connection."""

    def __init__(self, name: str) -> None:
        self.resources: list[Any] = []
        self.conn = getattr(self, '_' + name.partition(' ')[0])()
        self.run = getattr(self, '_run_' + name.partition(' ')[2])

    def _connecting(self) -> Connection:
        server = black_hole()
        self.resources.append(server)
        for _ in range(4):
            fill = socket.socket()
            fill.setblocking(False)
            fill.connect_ex(server.getsockname())
            self.resources.append(fill)
        return Connection.from_tcp(*server.getsockname(), options=LONG)

    def _handshake(self) -> Connection:
        ours, theirs = socket.socketpair()
        self.resources.append(theirs)
        return Connection.from_socket(ours, options=LONG)

    def _connected(self) -> Connection:
        context = plain_peer(timeout=60)
        conn, _ = context.__enter__()
        self._context = context  # keeps it open
        return conn

    def _run_call(self) -> None:
        self.conn.call(abs, 1)

    def _run_send(self) -> None:
        self.conn.call(len, bytes(16 << 20))

    def _run_enter(self) -> None:
        self.conn.__enter__()

    def _run_wait(self) -> None:
        self.conn.wait()

    def _run_close(self) -> None:
        self.conn.close()

    def _run_submit(self) -> None:
        self.conn.submit(abs, 1).result()

    def _run_execute(self) -> None:
        self.conn.execute('1')

    def close(self) -> None:
        self.conn.cancel()
        finish(self.conn)
        for resource in self.resources:
            resource.close()
        if hasattr(self, '_context'):
            self._context.__exit__(None, None, None)


@pytest.fixture
def blocked(request: pytest.FixtureRequest) -> Iterator[Blocked]:
    operation = Blocked(request.param)
    yield operation
    operation.close()


OPERATIONS = pytest.mark.parametrize(
    'blocked',
    [
        f'{phase} {operation}'
        for phase in ('connecting', 'handshake', 'connected')
        for operation in ('call', 'send', 'enter', 'wait', 'submit', 'execute', 'close')
        if phase != 'connected' or operation not in ('enter', 'close')
    ],
    indirect=True,
)


def check_cancelled(error: Any) -> None:
    assert isinstance(error, DisconnectError)
    assert str(error).startswith('no connection to ')
    assert str(error).endswith('it was cancelled')


@OPERATIONS
def test_cancel_from_another_thread_ends(blocked: Blocked) -> None:
    errors: list[BaseException] = []
    thread = threading.Thread(target=lambda: errors.append(raised_by(blocked.run)))
    thread.start()
    wait_until_asleep(thread)
    with at_once():
        blocked.conn.cancel()
        thread.join()
    check_cancelled(*errors)


@OPERATIONS
def test_cancel_in_a_signal_handler_ends(blocked: Blocked) -> None:
    outer = signal.signal(signal.SIGUSR1, lambda number, frame: blocked.conn.cancel())
    try:
        with at_once(), signal_during(signal.SIGUSR1):
            check_cancelled(raised_by(blocked.run))
    finally:
        signal.signal(signal.SIGUSR1, outer)


def test_cancel_ends_a_close_that_waits_for_a_goodbye() -> None:
    with plain_peer(timeout=60) as (conn, _):
        thread = threading.Thread(target=conn.close)
        thread.start()
        wait_until(lambda: conn._link.state == CLOSING)
        wait_until_asleep(thread)
        assert thread.is_alive()
        with at_once():
            conn.cancel()
            thread.join()


def test_cancel_in_a_signal_handler_ends_a_close_that_waits_for_a_child() -> None:
    conn = Connection.from_command(bare_command(), options=LONG)
    conn.execute('import threading, time; threading.Thread(target=time.sleep, args=[60]).start()')
    outer = signal.signal(signal.SIGUSR1, lambda number, frame: conn.cancel())
    try:
        with at_once(), signal_during(signal.SIGUSR1):
            conn.close()
    finally:
        signal.signal(signal.SIGUSR1, outer)


def test_cancel_before_anything() -> None:
    conn = Connection.from_command(['sleep', '60'], options=LONG)
    with at_once():
        conn.cancel()
        check_cancelled(raised_by(conn.call, abs, 1))
        check_cancelled(raised_by(conn.submit, abs, 1))
        check_cancelled(raised_by(conn.wait))
        check_cancelled(raised_by(conn.close))
        conn.close()


def test_cancel_kills_a_child_that_ignores_the_end_of_its_input() -> None:
    script = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'
    conn = Connection.from_command([sys.executable, '-c', script], options=LONG)
    with at_once():
        conn.cancel()
        check_cancelled(raised_by(conn.close))


def test_cancel_tells_running_calls_of_the_peer() -> None:
    entered = threading.Semaphore(0)
    left = threading.Semaphore(0)

    def work() -> None:
        stay(entered)
        left.release()

    WORK.append(work)
    with pair(LONG) as (ours, theirs):
        call = ours.submit(run_work)
        assert entered.acquire(timeout=5 * SECOND)
        theirs.cancel()
        assert left.acquire(timeout=5 * SECOND)
        assert not call.done()  # the peer is told by close() only
        finish(theirs)
        assert isinstance(call.exception(5 * SECOND), DisconnectError)
