"""Peers that break the rules or the limits: only they suffer, and are told why."""

from __future__ import annotations

import os
import pickle
import random
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import across
from across import Connection, DisconnectError, OperationError, Options, ProtocolError
from across._core import handlers, posts
from across._core.sender import Sender
from across._core.wire.frames import (
    CALL,
    FAILURE,
    GOODBYE,
    HEADER,
    IDLE,
    POST,
    RELEASE,
    RESULT,
    encode,
)
from support.ends import (
    bare_peer,
    finish,
    greeting,
    pair,
    plain_peer,
    raised_by,
    receive,
    receive_frame,
)
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 1 << 16
# Far more than anything here needs; far less than what is announced.
MEMORY = 64 << 20


@pytest.fixture
def bystander() -> Iterator[None]:
    """Another connection of this process, which must not notice anything."""
    with bare_peer(timeout=10 * SECOND) as conn:
        before = psutil.Process().memory_info().rss
        yield
        assert conn.call(abs, -1) == 1
        assert psutil.Process().memory_info().rss < before + MEMORY


def check_refused(conn: Connection, text: str) -> None:
    """The connection ended, and says why."""
    error = raised_by(conn.call, abs, -1)
    assert isinstance(error, DisconnectError)
    assert isinstance(error.__cause__, ProtocolError)
    assert text in str(error)
    assert isinstance(raised_by(conn.close), ProtocolError)


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (HEADER.pack(CALL, 0, 0, 1 << 60, 1, 0), f'announced a message of {1 << 60} bytes'),
        (HEADER.pack(RESULT, 0, 0, 1 << 60, 1, 0), f'announced a message of {1 << 60} bytes'),
        (HEADER.pack(CALL, 1 << 31, 0, 100, 1, 0), 'tables are longer than itself'),
        (HEADER.pack(CALL, 0, 1 << 31, 1 << 20, 1, 0), 'tables are longer than itself'),
        (
            HEADER.pack(CALL, 1, 0, 16, 1, 0) + (1 << 62).to_bytes(8, 'little') + bytes(8),
            'buffers are longer than itself',
        ),
        (
            HEADER.pack(CALL, 1, 0, 1 << 20, 1, 0) + (1 << 62).to_bytes(8, 'little'),
            'buffers are longer than itself',
        ),
        (encode(200), 'unknown kind 200'),
        (encode(0), 'unknown kind 0'),
        (b'GET / HTTP/1.1\r\nHost: wonderland\r\nAccept: */*\r\n\r\n', 'unknown kind 71'),
    ],
)
def test_frames_that_break_the_rules(bystander: None, data: bytes, text: str) -> None:
    with plain_peer() as (conn, sock):
        sock.sendall(data)
        check_refused(conn, text)


@pytest.mark.parametrize('seed', range(20))
def test_random_bytes(seed: int) -> None:
    """Whatever it is, it ends the connection or does nothing."""
    noise = random.Random(seed)
    with plain_peer(max_frame_size=LIMIT, timeout=10) as (conn, sock):
        kinds = [CALL, RESULT, IDLE, RELEASE, GOODBYE, noise.randrange(256)]
        try:
            for _ in range(30):
                payload = noise.randbytes(noise.randrange(60))
                sock.sendall(encode(noise.choice(kinds), noise.randrange(9), 0, payload))
            sock.sendall(noise.randbytes(1000))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused meanwhile
        wait_until(lambda: not conn.is_connected(), 'the end of the connection')
        assert isinstance(raised_by(conn.call, abs, -1), DisconnectError)


@pytest.mark.parametrize('size', [1, 35, 36, 100, 100_000])
def test_half_a_frame(bystander: None, size: int) -> None:
    frame = encode(CALL, 1, 0, bytes(200_000))
    with plain_peer() as (conn, sock):
        sock.sendall(frame[:size])
        sock.shutdown(socket.SHUT_WR)
        error = raised_by(conn.call, abs, -1)
        assert isinstance(error, DisconnectError)
        assert 'the peer closed the connection' in str(error)


def test_answers_to_calls_that_were_never_made(bystander: None) -> None:
    with plain_peer(timeout=10) as (conn, sock):
        for call_id in range(50):
            sock.sendall(encode(RESULT, 1000 + call_id, 0, b'N.'))
            sock.sendall(HEADER.pack(RESULT, 0, 1, 8, 2000 + call_id, 0) + bytes(8))
        sock.sendall(encode(RELEASE, 0, 0, (77).to_bytes(8, 'little') * 2))
        call = conn.submit(abs, -1)
        while (received := receive_frame(sock))[0] != CALL:
            pass
        sock.sendall(encode(RESULT, received[1], 0, b'I42\n.'))
        assert call.result(5 * SECOND) == 42


def test_a_payload_that_is_no_pickle() -> None:
    with plain_peer(timeout=10) as (conn, sock):
        sock.sendall(encode(CALL, 1, 0, b'no pickle'))
        receive(sock, b'OperationError')  # the answer
        assert conn.is_connected()


def test_nothing_is_unpickled_before_the_handshake(tmp_path: object) -> None:
    mark = f'{tmp_path}/mark'
    code = f"cos\nmkdir\n(S'{mark}'\ntR.".encode()
    with plain_peer(greet=False, timeout=500 * MS) as (conn, sock):
        sock.sendall(encode(CALL, 1, 0, code))
        check_refused(conn, 'does not speak the protocol of across')
    with plain_peer(greet=False, timeout=500 * MS) as (conn, sock):
        sock.sendall(b'ACROSS 1 peer ' + code + encode(CALL, 1, 0, code))
        assert isinstance(raised_by(conn.call, abs, -1), DisconnectError)
    assert not os.path.exists(mark)


def test_a_handshake_is_bounded_in_time_although_bytes_come_in() -> None:
    with plain_peer(greet=False, timeout=500 * MS) as (conn, sock):
        start = time.monotonic()
        stop = threading.Event()

        def dribble() -> None:
            for byte in greeting() * 9:
                if stop.wait(50 * MS):
                    return
                try:
                    sock.sendall(bytes([byte]))
                except OSError:
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        error = raised_by(conn.call, abs, -1)
        assert time.monotonic() - start < 3 * SECOND
        assert 'no handshake within' in str(error)
        stop.set()
        thread.join()


# ------------------------------------------------------------------------- the limits


ENTERED = threading.Semaphore(0)


def stay() -> str:
    ENTERED.release()
    while not across.current_call().cancelled:
        time.sleep(0.001)
    return 'done'


def test_a_flood_of_calls_is_refused_above_the_limit(bystander: None) -> None:
    with pair(there=Options(max_calls=5)) as (ours, _):
        running = [ours.submit(stay) for _ in range(5)]
        for _ in range(5):
            assert ENTERED.acquire(timeout=5 * SECOND)
        flood = [ours.submit(abs, -i) for i in range(500)]
        for call in flood:
            error = call.exception(5 * SECOND)
            assert type(error) is OperationError
            assert 'has 5 calls of this connection in flight already' in str(error)
            assert 'option max_calls' in str(error)
        assert not any(call.done() for call in running)
        for call in running:
            call.cancel()
        wait_until(lambda: not isinstance(raised_or_result(ours), OperationError), 'room')
        assert ours.call(abs, -1) == 1


SEEN = threading.Semaphore(0)


def see() -> None:
    SEEN.release()


def body_of(func: Callable[..., object], *args: object) -> bytes:
    return pickle.dumps((func, args, {}))


def send_calls(sock: socket.socket, count: int) -> None:
    """Make calls where one may run, and does; then wait until all have been read."""
    sock.sendall(encode(CALL, 1, 0, body_of(stay)))
    assert ENTERED.acquire(timeout=5 * SECOND)
    call = body_of(abs, -1)
    sock.sendall(b''.join(encode(CALL, 2 + i, 0, call) for i in range(count)))
    sock.sendall(encode(POST, 0, 0, body_of(see)))
    assert SEEN.acquire(timeout=10 * SECOND)


def test_refusals_that_nobody_reads(bystander: None) -> None:
    """They wait in one thread, whatever their number; whoever reads them at last gets them all."""
    with pair() as (ours, _), plain_peer(max_calls=1) as (conn, sock):
        assert ours.call(abs, -1) == 1
        before = threading.active_count()
        send_calls(sock, 6000)
        assert threading.active_count() < before + 10
        assert ours.call(abs, -1) == 1
        assert conn.is_connected()
        refused: set[int] = set()
        while len(refused) < 6000:
            kind, call_id, body = receive_frame(sock)
            if kind == FAILURE:
                assert b'has 1 calls of this connection in flight already' in body
                refused.add(call_id)
        assert refused == set(range(2, 6002))


def test_more_refusals_than_can_wait(bystander: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with plain_peer(max_calls=1) as (conn, sock):
        send_calls(sock, 6000)  # what the system and the outbox hold of their refusals is not much
        monkeypatch.setattr(handlers, 'MOST_REFUSALS', 10)
        sock.sendall(encode(CALL, 7000, 0, body_of(abs, -1)))
        wait_until(lambda: not conn.is_connected(), 'the end of the connection')
        error = raised_by(conn.call, abs, -1)
        assert isinstance(error, DisconnectError)
        assert 'makes calls beyond its limit, and does not read the answers' in str(error)


def test_refusal_behind_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that answers takes it, and ends, before the reader looks whether there is one."""
    second = threading.Event()

    class Queue(deque[Any]):
        appended = 0

        def append(self, item: object) -> None:
            super().append(item)
            self.appended += 1
            if self.appended == 2:
                second.set()
                wait_until(lambda: not self and not there.handlers._refusing.locked(), 'the end')

    reply = Sender.reply

    def wait_for_second(*args: Any, **kwargs: Any) -> None:
        if there.handlers._refused is not None:
            assert second.wait(5 * SECOND)
        reply(*args, **kwargs)

    monkeypatch.setattr(handlers, 'deque', Queue)
    monkeypatch.setattr(Sender, 'reply', wait_for_second)
    with pair(there=Options(max_calls=1)) as (ours, theirs):
        there = theirs._link
        running = ours.submit(stay)
        assert ENTERED.acquire(timeout=5 * SECOND)
        flood = [ours.submit(abs, -1), ours.submit(abs, -2)]
        assert [type(call.exception(5 * SECOND)) for call in flood] == [OperationError] * 2
        assert isinstance(raised_by(ours.submit(abs, -3).result, 5 * SECOND), OperationError)
        running.cancel()


GO_ON = threading.Event()


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Posts that begin to stall do so until the event, which comes in the end at the latest."""
    monkeypatch.setattr(posts, 'LEAST_LIMIT', LIMIT)
    GO_ON.clear()
    yield
    GO_ON.set()


def stall() -> None:
    GO_ON.wait()


def send_posts(sock: socket.socket, count: int) -> None:
    """Send posts of a quarter of the limit each, behind one that stalls."""
    sock.sendall(encode(POST, 0, 0, body_of(stall)))
    for _ in range(count):
        sock.sendall(encode(POST, 0, 0, body_of(len, bytes(LIMIT // 4))))


def test_posts_within_the_limit(bystander: None, stalled: None) -> None:
    """What was run counts no more."""
    with plain_peer(max_frame_size=LIMIT) as (conn, sock):
        for _ in range(5):
            GO_ON.clear()
            send_posts(sock, 3)
            sock.sendall(encode(POST, 0, 0, body_of(see)))
            GO_ON.set()
            assert SEEN.acquire(timeout=5 * SECOND)
        assert conn.is_connected()


def test_more_posts_than_can_wait(bystander: None, stalled: None) -> None:
    with plain_peer(max_frame_size=LIMIT) as (conn, sock):
        wait_until(conn.is_connected, 'the connection')
        send_posts(sock, 5)
        wait_until(lambda: not conn.is_connected(), 'the end of the connection')
        error = raised_by(conn.call, abs, -1)
        assert isinstance(error, DisconnectError)
        assert 'bytes of output or log records waiting to be taken in' in str(error)
        assert '(option max_frame_size)' in str(error)


@pytest.mark.parametrize('limit', [Options().max_frame_size, None])
def test_posts_without_a_small_limit(limit: int | None, stalled: None) -> None:
    with plain_peer(max_frame_size=limit) as (conn, sock):
        send_posts(sock, 40)
        sock.sendall(encode(POST, 0, 0, body_of(see)))
        GO_ON.set()
        assert SEEN.acquire(timeout=5 * SECOND)
        assert conn.is_connected()


def raised_or_result(conn: Connection) -> object:
    try:
        return conn.call(abs, -1)
    except OperationError as exc:
        return exc


def test_too_large_arguments_concern_one_call() -> None:
    with bare_peer(max_frame_size=LIMIT) as conn:  # a bare peer takes the limit over
        for use in (conn.call, conn.submit, conn.call_ref):
            error = raised_by(use, len, bytes(1 << 20))
            assert type(error) is OperationError
            assert 'the arguments take 10' in str(error)
            assert f'accepts messages of up to {LIMIT} bytes' in str(error)
            assert 'max_frame_size' in str(error)
        assert conn.call(len, bytes(LIMIT // 2)) == LIMIT // 2


def test_too_large_results_concern_one_call() -> None:
    with bare_peer(max_frame_size=LIMIT) as conn:
        for error in (
            conn.submit(bytes, 1 << 20).exception(5 * SECOND),
            raised_by(conn.call, bytes, 1 << 20),
        ):
            assert type(error) is OperationError
            assert 'max_frame_size' in str(error)
            assert str(LIMIT) in str(error)
        assert len(conn.call(bytes, LIMIT // 2)) == LIMIT // 2


def test_too_large_exceptions_concern_one_call() -> None:
    with bare_peer(max_frame_size=LIMIT) as conn:
        error = raised_by(conn.execute, 'raise ValueError("x" * (1 << 20))')
        assert type(error) is OperationError
        text = 'ValueError was raised over there, and cannot be sent: the exception takes 10'
        assert str(error).startswith(text)
        assert str(error).endswith(f'of up to {LIMIT} bytes (option max_frame_size over there)')
        assert conn.call(abs, -1) == 1


def test_large_output_passes_a_small_limit(capfd: pytest.CaptureFixture[str]) -> None:
    with bare_peer(max_frame_size=LIMIT, forward_stdio=True) as conn:
        conn.execute('print("x" * (1 << 20)); None')
        assert conn.call(abs, -1) == 1
    assert capfd.readouterr().out == 'x' * (1 << 20) + '\n'


def test_a_peer_that_ignores_the_limit_is_refused(bystander: None) -> None:
    with plain_peer(max_frame_size=LIMIT) as (conn, sock):
        sock.sendall(HEADER.pack(CALL, 0, 0, LIMIT + 1, 1, 0))
        check_refused(conn, f'announced a message of {LIMIT + 1} bytes, the limit is {LIMIT}')


def test_a_peer_that_never_reads_costs_its_own_connection_only(bystander: None) -> None:
    """Answers to it wait in its handlers, not in memory without end, and end with it."""
    with plain_peer(timeout=SECOND, max_calls=10) as (conn, sock):
        body = b'(cbuiltins\nbytes\n(I4000000\nt}t.'
        for call_id in range(1, 30):
            sock.sendall(encode(CALL, call_id, 0, body))
        wait_until(lambda: not conn.is_connected(), 'the end')
        assert 'silent' in str(raised_by(conn.call, abs, -1))
    finish(conn)
