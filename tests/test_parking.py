"""Idle connections have no thread, and come back to life as if they had one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import traceback
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import across
from across import Connection, DisconnectError, OperationError, Options
from across._core.threads.cache import service_threads
from across._core.wire.frames import IDLE, encode
from across.servers import Server
from support.ends import (
    AT_ONCE,
    bare_peer,
    finish,
    greeting,
    plain_peer,
    raised_by,
    receive,
    run_script,
    together,
)
from support.interpreters import bare_command
from support.peers import Pair, connected_pair
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 400 * MS


def is_parked(conn: Connection) -> bool:
    idle = conn._link.reader.idle
    return idle is not None and idle.parked


def wait_until_parked(*connections: Connection) -> None:
    for conn in connections:
        wait_until(lambda: is_parked(conn), f'{conn} to park')  # noqa: B023


@pytest.fixture
def parked(pair: Pair) -> Pair:
    """A connection that is parked at both ends."""
    wait_until_parked(*pair)
    return pair


def thread_names() -> list[str]:
    service_threads.dismiss()  # those that wait for jobs
    return sorted(thread.name for thread in threading.enumerate() if 'across' in thread.name)


# ----------------------------------------------------------------------------- coming and going


def test_idle_connections_have_no_threads() -> None:
    with ExitStack() as stack:
        pairs = [stack.enter_context(connected_pair()) for _ in range(20)]
        for pair in pairs:
            assert pair.near.call(pow, 2, 3) == 8
        wait_until_parked(*(conn for pair in pairs for conn in pair))
        wait_until(lambda: thread_names() == ['across-parking', 'across-watchdog'])
        for pair in pairs:
            assert pair.far.call(pow, 2, 3) == 8


def test_connection_parks_again_after_each_use(parked: Pair) -> None:
    for i in range(10):
        conn = parked[i % 2]
        assert conn.call(pow, 2, i) == 2**i
        wait_until_parked(*parked)


def test_connection_in_use_stays_awake_for_a_while(parked: Pair) -> None:
    """What is said to one that talks is not told by way of the parking thread each time."""
    for _ in range(3):
        parked.near.call(os.getpid)
    assert not is_parked(parked.far)
    wait_until_parked(*parked)


def test_both_directions_wake_at_once(parked: Pair) -> None:
    for _ in range(20):
        results = together(
            lambda: parked.near.call(pow, 2, 3),
            lambda: parked.far.call(pow, 2, 4),
            lambda: parked.near.call(pow, 2, 5),
        )
        assert results == [8, 16, 32]
        wait_until_parked(*parked)


def test_nested_calls_wake_it(parked: Pair) -> None:
    def there(depth: int) -> int:
        conn = across.get_connection()
        return depth if depth == 5 else conn.call(there, depth + 1)

    assert parked.near.call(there, 0) == 5


def test_result_for_a_future_comes_while_parked(parked: Pair) -> None:
    """The call runs for longer than the connection stays awake."""
    future = parked.near.submit(_wait)
    wait_until_parked(*parked)
    _released.set()
    assert future.result(10 * SECOND)
    _released.clear()


_released = threading.Event()


def _wait() -> bool:
    return _released.wait(10 * SECOND)


def test_call_waits_for_long_over_a_connection_that_was_parked(parked: Pair) -> None:
    (result,) = together(lambda: parked.near.call(time.sleep, 100 * MS))
    assert result is None
    assert parked.far.call(pow, 2, 3) == 8


def test_large_messages_wake_it(parked: Pair) -> None:
    data = os.urandom(3 << 20)
    for conn in parked:
        assert conn.call(bytes, data) == data
        wait_until_parked(*parked)


def test_many_calls_of_a_parked_connection_overlap(parked: Pair) -> None:
    barrier_holder.append(threading.Barrier(8))
    try:
        futures = [parked.near.submit(_meet) for _ in range(8)]
        assert sorted(future.result(10 * SECOND) for future in futures) == list(range(8))
    finally:
        barrier_holder.clear()


barrier_holder: list[threading.Barrier] = []


def _meet() -> int:
    return barrier_holder[0].wait(10 * SECOND)


def test_traffic_of_all_kinds_on_the_edge_of_parking(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parks between nearly any two messages: whatever comes just then must not get lost."""
    monkeypatch.setattr('across._core.reader.PARK_EARLY', 0.0)
    monkeypatch.setattr('across._core.reader.PARK_AFTER', 0.0)

    def call(conn: Connection) -> Callable[[], int]:
        return lambda: sum(conn.call(abs, -1) for _ in range(150))

    def submit(conn: Connection) -> Callable[[], int]:
        return lambda: sum(conn.submit(abs, -1).result(10 * SECOND) for _ in range(150))

    work = [make(conn) for make in (call, submit) for conn in pair for _ in range(2)]
    assert together(*work, timeout=60 * SECOND) == [150] * len(work)
    wait_until_parked(*pair)


def test_dropped_proxies_are_reported_while_parked(parked: Pair) -> None:
    proxy = parked.near.call_ref(threading.Event)
    assert len(parked.far._link.exports) == 1
    wait_until_parked(*parked)
    del proxy
    wait_until(lambda: not len(parked.far._link.exports), 'the release')


def test_child_over_pipes_parks(peer: Connection) -> None:
    for i in range(3):
        wait_until_parked(peer)
        assert peer.call(pow, 2, i) == 2**i


def test_read_buffers_are_given_back(parked: Pair) -> None:
    parked.near.call(len, bytes(30_000))
    decoder = parked.far._link.reader.decoder
    wait_until_parked(*parked)
    assert len(decoder.buffer) < 1024


# --------------------------------------------------------------------------------- heartbeats


def test_heartbeats_keep_it_alive_and_wake_no_thread() -> None:
    options = Options(timeout=TIMEOUT)
    with connected_pair(options, options) as pair:
        wait_until_parked(*pair)
        before = pair.near._link.reader.reads
        wait_until(lambda: pair.near._link.reader.reads > before + 20, 'heartbeats')
        wait_until(lambda: thread_names() == ['across-parking', 'across-watchdog'])
        assert pair.near.call(pow, 2, 3) == 8


def test_silent_peer_is_noticed_while_parked() -> None:
    with plain_peer(timeout=TIMEOUT) as (conn, _):
        wait_until(conn.is_connected)
        wait_until_parked(conn)
        error = raised_by(conn.wait)
        assert isinstance(error, DisconnectError)
        assert 'the peer was silent for 0.4 s' in str(error)


def test_heartbeat_in_pieces() -> None:
    with plain_peer() as (conn, theirs):
        wait_until(conn.is_connected)
        for byte in encode(IDLE) * 3:
            wait_until(lambda: is_parked(conn) or not conn._link.reader.decoder.is_between_frames)
            theirs.sendall(bytes([byte]))
        wait_until_parked(conn)
        assert conn.is_connected()


def test_flood_of_heartbeats_holds_up_nobody(pair: Pair) -> None:
    """The parking thread is there for all: one who never pauses gets a thread of its own."""
    stop = threading.Event()

    with plain_peer() as (conn, theirs):
        wait_until(conn.is_connected)

        def flood() -> None:
            while not stop.is_set():
                theirs.sendall(encode(IDLE) * 1000)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for i in range(5):
                wait_until_parked(pair.far)
                assert pair.near.call(pow, 2, i) == 2**i
        finally:
            stop.set()
            thread.join()
        assert conn.is_connected()


# ----------------------------------------------------------------------------------- the end


def test_garbage_while_parked() -> None:
    with plain_peer() as (conn, theirs):
        wait_until(conn.is_connected)
        wait_until_parked(conn)
        theirs.sendall(b'\xff' * 100)
        assert 'unknown kind 255' in str(raised_by(conn.wait))


def test_killed_peer_is_noticed_while_parked() -> None:
    with bare_peer() as conn:
        pid = conn.call(os.getpid)
        wait_until_parked(conn)
        os.kill(pid, signal.SIGKILL)
        before = time.monotonic()
        error = raised_by(conn.wait)
        assert time.monotonic() - before < AT_ONCE
        assert 'was killed by SIGKILL' in str(error)


def test_half_closing_peer_is_noticed_while_parked() -> None:
    with plain_peer() as (conn, theirs):
        wait_until(conn.is_connected)
        wait_until_parked(conn)
        theirs.shutdown(socket.SHUT_WR)
        assert 'the peer closed the connection' in str(raised_by(conn.wait))


def test_goodbye_while_parked(parked: Pair) -> None:
    parked.near.close()
    parked.far.wait()
    assert isinstance(raised_by(parked.far.call, os.getpid), DisconnectError)


def test_both_sides_say_goodbye_at_once() -> None:
    for _ in range(20):
        with connected_pair() as pair:
            wait_until_parked(*pair)
            together(pair.near.close, pair.far.close)


@pytest.mark.parametrize('connect', [bare_peer, plain_peer])
def test_cancel_while_parked(connect: Callable[[], Any]) -> None:
    with connect() as peer:
        conn = peer if connect is bare_peer else peer[0]
        wait_until(conn.is_connected)
        wait_until_parked(conn)
        conn.cancel()
        before = time.monotonic()
        assert 'it was cancelled' in str(raised_by(conn.wait))
        assert time.monotonic() - before < AT_ONCE


def test_future_fails_when_cancelled_while_parked(parked: Pair) -> None:
    future = parked.near.submit(_wait)
    try:
        wait_until_parked(*parked)
        parked.near.cancel()
        assert isinstance(future.exception(10 * SECOND), DisconnectError)
    finally:
        _released.set()
        finish(parked.near)
        finish(parked.far)
        _released.clear()


def test_closed_without_the_far_side_ever_having_spoken(parked: Pair) -> None:
    with pytest.raises(OperationError):
        parked.near.call(_leave)
    assert not parked.near.is_connected()


def _leave() -> None:
    across.get_connection().close()


def test_fork_while_parked(parked: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # from 3.12 on: there are threads
        pid = os.fork()
    if not pid:
        try:
            assert 'was forked' in str(raised_by(parked.near.call, os.getpid))
            with connected_pair() as pair:  # with a parking thread of its own
                wait_until_parked(*pair)
                assert pair.near.call(pow, 2, 3) == 8
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert parked.near.call(pow, 2, 3) == 8
    wait_until_parked(*parked)
    assert parked.far.call(pow, 2, 3) == 8


def test_interpreter_exits_with_parked_connections() -> None:
    script = """
        import sys, time
        from across import Connection
        conn = Connection.from_command(eval(sys.argv[1]))
        print(conn.call(__import__('os').getpid))
        while not conn._link.reader.idle.parked:
            time.sleep(0.001)
    """
    pid = int(run_script(script, repr(bare_command())))
    wait_until(lambda: not psutil.pid_exists(pid), 'the child to end')


# ---------------------------------------------------------------------------------- servers


def connect_raw(address: object) -> socket.socket:
    """A client that shakes hands, and then says nothing."""
    sock = socket.create_connection(address)  # type: ignore[arg-type]
    sock.sendall(greeting())
    receive(sock, b'\n')
    return sock


def test_thousand_idle_clients_have_no_threads() -> None:
    with Server.listen_tcp('127.0.0.1', 0) as server, ExitStack() as stack:
        clients = [stack.enter_context(connect_raw(server.address)) for _ in range(1000)]
        wait_until(lambda: server.connection_count == 1000)
        expected = ['across-listener', 'across-parking', 'across-watchdog']
        wait_until(lambda: thread_names() == expected, 'the threads to go', 20 * SECOND)
        with Connection.from_tcp(*server.address) as conn:
            assert conn.call(pow, 2, 3) == 8
            assert len(clients) == 1000
