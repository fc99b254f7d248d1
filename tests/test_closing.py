"""Ending connections: close, wait and the `with` statement, at the worst moments."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import across
from across import Connection, DisconnectError, Options, ProtocolError
from support.ends import (
    AT_ONCE,
    WORK,
    at_once,
    bare_peer,
    pair,
    plain_peer,
    raised_by,
    run_script,
    run_work,
    stay,
    together,
)
from support.interleaving import Background
from support.interpreters import bare_command
from support.waiting import MS, SECOND, wait_until
from transports.sleeping import wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = Options(timeout=60)


# ------------------------------------------------------------------------ calls in flight


@pytest.mark.parametrize('closer', [0, 1])
def test_close_with_calls_in_flight_in_both_directions(closer: int) -> None:
    entered = threading.Semaphore(0)

    def work() -> None:
        entered.release()
        stay()

    def run(conn: Connection) -> BaseException:
        return raised_by(conn.call, run_work)

    WORK.append(work)
    with pair(LONG) as conns, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(run, conn) for conn in conns for _ in range(4)]
        submitted = [conn.submit(run_work) for conn in conns]
        for _ in range(10):
            assert entered.acquire(timeout=5 * SECOND)
        with at_once():
            conns[closer].close()
            errors = [call.result() for call in calls]
            errors += [future.exception() for future in submitted]  # type: ignore[misc]
            conns[1 - closer].close()
    assert [type(error) for error in errors] == [DisconnectError] * 10
    texts = {str(error).rpartition(': ')[2] for error in errors}
    assert texts == {'it was closed', 'the peer closed the connection'}


def test_close_while_a_big_argument_is_being_sent() -> None:
    with plain_peer(timeout=60) as (conn, _):
        call: list[BaseException] = []
        thread = threading.Thread(
            target=lambda: call.append(raised_by(conn.call, len, bytes(16 << 20)))
        )
        thread.start()
        wait_until(lambda: conn._link.calls.pending)
        wait_until_asleep(thread)
        with at_once():
            conn.cancel()  # a peer that reads nothing can't be told, so close() would wait
            thread.join()
        assert isinstance(call[0], DisconnectError)
        assert str(call[0]).endswith('it was cancelled')


def test_close_while_the_peer_sends_a_big_result() -> None:
    with bare_peer(timeout=60) as conn, ThreadPoolExecutor(1) as pool:
        before = psutil.Process().memory_info().rss
        call = pool.submit(raised_by, conn.call, bytes, 256 << 20)
        wait_until(lambda: psutil.Process().memory_info().rss > before + (4 << 20), 'the result')
        with at_once():
            conn.close()
        assert isinstance(call.result(), DisconnectError)


# -------------------------------------------------------------- close inside of a call


def close_current(conn: Any = None) -> str:
    across.get_connection().close()
    return 'closed'


def test_close_inside_a_call_that_runs_over_that_connection() -> None:
    with pair(LONG) as (ours, theirs), at_once():
        error = raised_by(ours.call, close_current)
        assert isinstance(error, DisconnectError)
        assert str(error).endswith('the peer closed the connection')
        ours.close()
        wait_until(lambda: not theirs.is_connected())


def test_close_inside_a_nested_call() -> None:
    def call_back(func: Any) -> Any:
        return across.get_connection().call(func)

    with pair(LONG) as (ours, _), at_once():
        error = raised_by(ours.call, call_back, close_current)
        assert isinstance(error, DisconnectError)
        assert str(error).endswith('it was closed')


def test_close_inside_a_call_of_a_bare_peer() -> None:
    def close_there() -> None:
        import across

        across.get_connection().close()

    conn = Connection.from_command(bare_command(), options=LONG)
    with at_once():
        error = raised_by(conn.call, close_there)
    assert isinstance(error, DisconnectError)
    assert 'the peer closed the connection' in str(error)
    with at_once():
        conn.close()


def test_a_call_that_closes_a_connection_may_go_on() -> None:
    results: list[str] = []

    def work() -> None:
        results.append(close_current())
        assert across.current_call().cancelled
        results.append('went on')

    WORK.append(work)
    with pair(LONG) as (ours, _):
        assert isinstance(raised_by(ours.call, run_work), DisconnectError)
        wait_until(lambda: results == ['closed', 'went on'])


# -------------------------------------------------------------------- closing twice, together


def test_close_is_idempotent_and_silent() -> None:
    with bare_peer() as conn:
        conn.close()
        with at_once():
            conn.close()
            conn.cancel()
            conn.close()
        assert 'closed' in repr(conn)


@pytest.mark.parametrize('both', [False, True], ids=['one side', 'both sides'])
def test_close_from_several_threads_at_once(both: bool) -> None:
    for _ in range(20):
        with pair(LONG) as conns, at_once():
            calls = [conn.submit(stay) for conn in conns]
            closers = [conns[both and i % 2].close for i in range(8)]
            assert together(*closers) == [None] * 8
            assert all(isinstance(call.exception(), DisconnectError) for call in calls)


# --------------------------------------------------------------------- wait and with


def test_wait_returns_when_the_peer_closes() -> None:
    with pair(LONG) as (ours, theirs), ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(ours.wait) for _ in range(2)]
        assert ours.call(abs, -1) == 1
        assert not any(wait.done() for wait in waits)
        theirs.close()
        assert [wait.result(AT_ONCE) for wait in waits] == [None, None]
        ours.wait()  # and at once from then on


def test_wait_returns_when_this_side_closes() -> None:
    with pair(LONG) as (ours, _), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ours.wait)
        ours.close()
        assert waiting.result(AT_ONCE) is None


def test_wait_raises_when_something_broke() -> None:
    with bare_peer() as conn, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(raised_by, conn.wait)
        os.kill(conn.call(os.getpid), signal.SIGKILL)
        assert 'was killed by SIGKILL' in str(waiting.result(AT_ONCE))


def test_with_closes_also_after_an_exception() -> None:
    with pytest.raises(KeyError), Connection.from_command(bare_command()) as conn:
        raise KeyError
    assert not conn.is_connected()
    assert 'it was closed' in str(raised_by(conn.call, abs, 1))


def test_with_raises_what_kept_it_from_connecting() -> None:
    with (
        pytest.raises(DisconnectError, match='no-such-command'),
        Connection.from_command(['no-such-command']),
    ):
        pytest.fail('the block ran')


def test_with_raises_at_its_end_what_broke_the_connection() -> None:
    with pytest.raises(DisconnectError, match='ended with status 7'):  # noqa: SIM117
        with Connection.from_command(bare_command()) as conn:
            raised_by(conn.call, os._exit, 7)


def test_with_does_not_hide_the_exception_of_its_block() -> None:
    with pytest.raises(KeyError), Connection.from_command(bare_command()) as conn:  # noqa: PT012
        raised_by(conn.call, os._exit, 7)
        raise KeyError


def test_with_a_connection_that_was_closed_inside() -> None:
    with Connection.from_command(bare_command()) as conn:
        conn.close()


def test_with_a_closed_connection_says_so() -> None:
    conn = Connection.from_command(bare_command())
    conn.close()
    with pytest.raises(DisconnectError, match='it was closed'), conn:
        pytest.fail('the block ran')


def test_close_raises_what_the_peer_said_instead() -> None:
    conn = Connection.from_shell('echo Welcome to wonderland; cat >/dev/null')
    error = raised_by(conn.call, abs, 1)
    assert isinstance(error, (DisconnectError, ProtocolError))
    with pytest.raises(ProtocolError, match='Welcome to wonderland'):
        conn.close()


def test_close_of_a_connection_that_never_came_about_is_quick() -> None:
    conn = Connection.from_command(['sleep', '60'], options=Options(timeout=500 * MS))
    with at_once(), pytest.raises(DisconnectError, match='no handshake within'):
        conn.close()


USES: dict[str, Callable[[Connection], Any]] = {
    'call': lambda conn: conn.call(abs, 1),
    'call_ref': lambda conn: conn.call_ref(list),
    'replicate': lambda conn: conn.replicate([]),
    'execute': lambda conn: conn.execute('1'),
    'submit': lambda conn: conn.submit(abs, 1),
    'export': lambda conn: conn.export('json'),
    'enter': lambda conn: conn.__enter__(),
}


@pytest.mark.parametrize('use', USES)
def test_every_use_of_a_closed_connection_says_so(use: str) -> None:
    with pair() as (ours, _):
        ours.close()
        error = raised_by(USES[use], ours)
        assert isinstance(error, DisconnectError)
        assert str(error).endswith('it was closed')


# ------------------------------------------------------------------------ two at a time


def test_second_close_waits_for_the_first() -> None:
    """Whoever returns from close() finds everything freed."""
    with pair(LONG) as conns:
        conn = conns[0]
        conn.call(int)
        release = threading.Event()
        close_transport = conn._link.transport.close

        def close_late(timeout: float | None) -> None:
            release.wait(10 * SECOND)
            close_transport(timeout)

        conn._link.transport.close = close_late  # type: ignore[method-assign]
        first, second = Background(conn.close), Background(conn.close)
        wait_until(lambda: not conn.is_connected())
        third = Background(conn.close)
        assert all(each.running for each in (first, second, third))
        release.set()
        for each in first, second, third:
            each.join()


def test_second_close_in_a_call_over_the_connection_returns() -> None:
    """The first waits for no call, but whoever made the call may wait for it."""
    with pair(LONG) as conns:
        closing, closed = threading.Event(), threading.Event()

        def work() -> None:
            stay()  # until the first close has begun
            with at_once():
                across.get_connection().close()
            closed.set()

        WORK.append(work)
        conns[1].submit(run_work)
        close = conns[0]._link.transport.close

        def close_late(timeout: float | None) -> None:
            closing.set()
            assert closed.wait(10 * SECOND)
            close(timeout)

        conns[0]._link.transport.close = close_late  # type: ignore[method-assign]
        conns[0].call(int)
        with at_once():
            conns[0].close()
        assert closing.is_set()


def test_close_in_a_signal_handler_that_interrupts_a_close() -> None:
    output = run_script("""
        import os, signal, socket
        from across import Connection

        conn, far = map(Connection.from_socket, socket.socketpair())
        conn.call(int)
        close = conn._link.transport.close

        def close_amid_a_signal(timeout):
            os.kill(os.getpid(), signal.SIGUSR1)
            close(timeout)

        def handle(*args):
            conn.close()
            print('handled')

        conn._link.transport.close = close_amid_a_signal
        signal.signal(signal.SIGUSR1, handle)
        conn.close()
        far.close()
        print('closed')
        """)
    assert output.split() == ['handled', 'closed']


def test_an_interrupted_close_is_finished_by_somebody_else() -> None:
    conn = Connection.from_command(bare_command())
    child = conn.call(os.getpid)
    transport = conn._link.transport
    close = transport.close

    def interrupted(timeout: float | None) -> None:
        transport.close = close  # type: ignore[method-assign]
        raise KeyboardInterrupt

    transport.close = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        conn.close()
    wait_until(lambda: not psutil.pid_exists(child), 'the child to be gone')
    conn.close()
