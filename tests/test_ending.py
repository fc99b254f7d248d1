"""What is done when a connection ends, and ending one without waiting for it."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import across
from across import Connection, DisconnectError, OperationError
from across._core.wire.frames import GOODBYE
from support.ends import AT_ONCE, finish, plain_peer, raised_by, receive_frame, together
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.peers import Pair


class Gate:
    """Calls that run until they are let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = 0

    def wait(self) -> str:
        self.inside += 1
        assert self.open.wait(10 * SECOND)
        return 'let go'


gate = Gate()


def pass_gate() -> str:
    return gate.wait()


@pytest.fixture(autouse=True)
def closed_gate() -> Iterator[None]:
    global gate
    gate = Gate()
    yield
    gate.open.set()


# ------------------------------------------------------------------------------- the callback


def test_callback_is_called_once_with_the_connection(pair: Pair) -> None:
    seen: list[tuple[Connection, str]] = []
    for conn in pair:
        conn.add_end_callback(lambda conn: seen.append((conn, threading.current_thread().name)))
    pair.near.close()
    wait_until(lambda: len(seen) == 2)
    assert {conn for conn, _ in seen} == set(pair)
    assert {name for _, name in seen} == {'across-service'}


def test_callback_of_one_that_has_ended_is_called_soon(pair: Pair) -> None:
    pair.near.close()
    called = threading.Event()
    pair.near.add_end_callback(lambda _: called.set())
    assert called.wait(5 * SECOND)


def test_callback_may_close_the_connection(pair: Pair) -> None:
    closed = threading.Event()

    def close(conn: Connection) -> None:
        conn.close()
        closed.set()

    pair.far.add_end_callback(close)
    pair.near.close()
    assert closed.wait(5 * SECOND)


def test_all_callbacks_are_called_though_one_raises(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, 'excepthook', reported.append)
    called: list[int] = []

    def fail(_: Connection) -> None:
        raise ValueError('of the callback')

    for callback in (lambda _: called.append(1), fail, lambda _: called.append(2)):
        pair.near.add_end_callback(callback)
    pair.near.close()
    wait_until(lambda: len(called) == 2 and reported)
    assert str(reported[0].exc_value) == 'of the callback'


def test_callback_added_while_the_connection_ends(pair: Pair) -> None:
    called: list[int] = []

    def add() -> None:
        for _ in range(200):
            pair.near.add_end_callback(lambda _: called.append(1))

    together(add, pair.far.close, add)
    wait_until(lambda: len(called) == 400)


def test_what_cannot_be_called_back_is_refused(pair: Pair) -> None:
    with pytest.raises(TypeError, match='callback must be a function, not int'):
        pair.near.add_end_callback(5)  # type: ignore[arg-type]


# -------------------------------------------------------------------------- finishing, draining


def test_finish_returns_at_once_and_lets_calls_finish(pair: Pair) -> None:
    future = pair.near.submit(pass_gate)
    wait_until(lambda: gate.inside)
    pair.far.finish()
    assert pair.near.is_connected()
    gate.open.set()
    assert future.result(10 * SECOND) == 'let go'
    pair.near.wait()  # it said goodbye
    pair.far.wait()


def test_new_calls_are_refused_while_draining(pair: Pair) -> None:
    future = pair.near.submit(pass_gate)
    wait_until(lambda: gate.inside)
    pair.far.finish()
    with pytest.raises(OperationError, match=r'is closing, and takes no new calls$'):
        pair.near.call(os.getpid)
    gate.open.set()
    assert future.result(10 * SECOND) == 'let go'


def test_nested_calls_are_taken_while_draining(pair: Pair) -> None:
    def there() -> int:
        pass_gate()
        return int(across.get_connection().call(back))

    def back() -> int:
        return int(across.get_connection().call(os.getpid))

    future = pair.near.submit(there)
    wait_until(lambda: gate.inside)
    pair.far.finish()
    gate.open.set()
    assert future.result(10 * SECOND) == os.getpid()
    pair.near.wait()


def test_finish_with_nothing_to_drain_ends_at_once(pair: Pair) -> None:
    before = time.monotonic()
    pair.near.finish()
    pair.near.finish()  # again: no harm
    pair.far.wait()
    pair.near.wait()
    assert time.monotonic() - before < AT_ONCE


def test_finish_without_draining_ends_calls(pair: Pair) -> None:
    future = pair.near.submit(pass_gate)
    wait_until(lambda: gate.inside)
    pair.far.finish(drain=False)
    assert isinstance(future.exception(10 * SECOND), DisconnectError)


def test_finish_from_within_a_call(pair: Pair) -> None:
    def leave() -> str:
        across.get_connection().finish()
        return 'the answer still comes'

    assert pair.near.call(leave) == 'the answer still comes'
    pair.near.wait()


def test_close_waits_for_what_finish_began(pair: Pair) -> None:
    future = pair.near.submit(pass_gate)
    wait_until(lambda: gate.inside)
    pair.far.finish()
    together(pair.far.close)
    assert isinstance(future.exception(10 * SECOND), DisconnectError)


def test_answers_are_out_before_the_goodbye(pair: Pair) -> None:
    """Whatever moment the last answer is in."""
    conn = pair.near
    for _ in range(20):
        futures = [conn.submit(pow, 2, i) for i in range(20)]
        pair.far.finish()
        results = [future.exception(10 * SECOND) or future.result() for future in futures]
        for i, result in enumerate(results):
            refused = isinstance(result, OperationError)
            assert result == 2**i or refused
        break
    pair.near.wait()


def test_goodbye_is_the_last_thing_said() -> None:
    with plain_peer(timeout=0.3 * SECOND) as (conn, theirs):
        wait_until(conn.is_connected)
        conn.finish()
        kinds = [receive_frame(theirs)[0]]
        while kinds[-1] != GOODBYE:
            kinds.append(receive_frame(theirs)[0])
        conn.wait()  # until we, who don't answer, are taken for dead
        conn.close()
        assert theirs.recv(100) == b''  # no heartbeat meanwhile


def test_peer_that_never_agrees_can_be_cancelled() -> None:
    with plain_peer() as (conn, _):
        wait_until(conn.is_connected)
        ended = threading.Event()
        conn.add_end_callback(lambda _: ended.set())
        conn.finish()
        conn.cancel()
        assert ended.wait(5 * SECOND)
        finish(conn)


def test_finish_amid_the_handshake() -> None:
    with plain_peer(greet=False) as (conn, _):
        conn.finish()
        assert 'it was closed' in str(raised_by(conn.wait))
