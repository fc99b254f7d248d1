"""Who lives and who is dead: heartbeats, silence, the interpreter lock, sudden ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from across import Connection, DisconnectError, Options
from across._core.pulse import LONGEST_REST
from across._core.wire.frames import CALL, IDLE, RESULT, encode
from support.ends import (
    bare_peer,
    finish,
    greeting,
    is_running,
    pair,
    plain_peer,
    raised_by,
    receive,
    receive_frame,
    stop_process,
)
from support.interpreters import bare_command
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sshd import Sshd

TIMEOUT = 400 * MS
# The same where an interpreter has to start within it, on a machine that does something else, too.
CHILD_TIMEOUT = SECOND
# Far from any timeout in use, but kind to a machine that does something else for a moment.
AT_ONCE = SECOND

# A wait in C code that no other thread of the interpreter gets a turn in.
HOLD_LOCK = """
import collections, itertools, time
collections.deque(
    itertools.takewhile((time.monotonic() + seconds).__gt__, iter(time.monotonic, None)), 0
)
None
"""


def hold_lock(seconds: float) -> None:
    exec(HOLD_LOCK, {'seconds': seconds})


# -------------------------------------------------------------------------------- heartbeats


def test_heartbeats_run_while_handlers_run() -> None:
    with bare_peer(timeout=CHILD_TIMEOUT) as conn, ThreadPoolExecutor(4) as pool:
        for call in [pool.submit(conn.call, time.sleep, 1.5 * CHILD_TIMEOUT) for _ in range(4)]:
            call.result()
        assert conn.is_connected()


def test_heartbeats_run_while_this_side_runs_handlers() -> None:
    def call_back(func: Any, seconds: float) -> None:
        import across

        across.get_connection().call(func, seconds)

    with bare_peer(timeout=CHILD_TIMEOUT) as conn:
        conn.call(call_back, time.sleep, 1.5 * CHILD_TIMEOUT)
        assert conn.is_connected()


def test_heartbeats_run_while_nothing_happens() -> None:
    with bare_peer(timeout=CHILD_TIMEOUT) as conn:
        assert not threading.Event().wait(1.5 * CHILD_TIMEOUT)
        assert conn.is_connected()
        assert conn.call(abs, -1) == 1


def test_heartbeats_suit_the_more_impatient_side() -> None:
    with pair(Options(timeout=60), Options(timeout=TIMEOUT)) as (patient, impatient):
        patient.call(time.sleep, 2 * TIMEOUT)
        impatient.call(time.sleep, 2 * TIMEOUT)


def test_heartbeats_begin_in_time() -> None:
    """Although the watchdog leaves a new connection alone for longer than that."""
    assert LONGEST_REST > 4
    with plain_peer(timeout=10) as (_, sock):  # so one is due each second
        sock.settimeout(4)
        assert receive_frame(sock) == (IDLE, 0, b'')


def test_heartbeats_are_frames_of_their_own_kind() -> None:
    with plain_peer(timeout=TIMEOUT) as (_, sock):
        sock.settimeout(TIMEOUT)
        assert [receive_frame(sock)[0] for _ in range(3)] == [IDLE] * 3


# ------------------------------------------------------------------------- silence and the dead


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    stop_process(pid)
    try:
        yield
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # it was killed


def check_silence(error: BaseException, elapsed: float) -> None:
    assert isinstance(error, DisconnectError)
    assert f'silent for {CHILD_TIMEOUT:g} s' in str(error)
    assert 0.5 * CHILD_TIMEOUT < elapsed < CHILD_TIMEOUT + AT_ONCE


def test_a_stopped_peer_is_noticed_within_the_timeout() -> None:
    with bare_peer(timeout=CHILD_TIMEOUT) as conn, stopped(conn.call(os.getpid)):
        start = time.monotonic()
        check_silence(raised_by(conn.call, abs, -1), time.monotonic() - start)
        assert 'silent' in str(raised_by(conn.call, abs, -1))
        assert not conn.is_connected()
        assert isinstance(raised_by(conn.wait), DisconnectError)
        finish(conn)  # and does not wait for a child that can't end by itself


def test_a_stopped_peer_is_noticed_by_a_caller_that_sends() -> None:
    with bare_peer(timeout=CHILD_TIMEOUT) as conn, stopped(conn.call(os.getpid)):
        start = time.monotonic()
        error = raised_by(conn.call, len, bytes(64 << 20))
        check_silence(error, time.monotonic() - start)
        finish(conn)


def test_a_peer_that_stops_for_less_than_the_timeout_lives() -> None:
    with bare_peer(timeout=2 * SECOND) as conn:
        pid = conn.call(os.getpid)
        timer = threading.Timer(SECOND, os.kill, [pid, signal.SIGCONT])
        stop_process(pid)
        timer.start()
        assert conn.call(abs, -1) == 1
        timer.join()


def test_the_interpreter_lock_held_over_there() -> None:
    with bare_peer(timeout=SECOND) as conn:
        for _ in range(2):
            conn.execute(HOLD_LOCK, seconds=0.7 * SECOND)
        assert conn.is_connected()


def test_the_interpreter_lock_held_here() -> None:
    with bare_peer(timeout=SECOND) as conn:
        call = conn.submit(time.sleep, SECOND)
        for _ in range(2):
            hold_lock(0.7 * SECOND)
            assert conn.call(abs, -1) == 1
        call.result()


def test_a_process_that_was_blind_itself_does_not_blame_its_peer() -> None:
    with plain_peer(timeout=TIMEOUT) as (conn, sock):
        call = conn.submit(abs, -1)
        while (received := receive_frame(sock))[0] != CALL:
            pass
        hold_lock(3 * TIMEOUT)  # no heartbeat was sent, but nobody would have seen one
        sock.sendall(encode(RESULT, received[1]))
        assert call.result(AT_ONCE) is None


# Runs until nobody waits for it.
STAY = """
import across, time
while not across.current_call().cancelled:
    time.sleep(0.01)
"""


@contextmanager
def waiting_calls(conn: Connection) -> Iterator[list[Any]]:
    """Calls of four threads, and a submitted one, that run at the peer; their errors in the end."""
    errors: list[Any] = []
    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(raised_by, conn.execute, STAY) for _ in range(4)]
        submitted = conn.submit(exec, STAY)
        wait_until(lambda: len(conn._link.calls.pending) == 5, 'the calls to be sent')
        conn.call(int)  # and so they have arrived
        yield errors
        start = time.monotonic()
        errors += [future.result(10 * SECOND) for future in futures]
        errors.append(submitted.exception(10 * SECOND))
        assert time.monotonic() - start < AT_ONCE


def test_a_killed_peer_fails_all_calls_at_once() -> None:
    with bare_peer() as conn:
        with waiting_calls(conn) as errors:
            os.kill(conn.call(os.getpid), signal.SIGKILL)
        for error in [*errors, raised_by(conn.call, abs, 1), raised_by(conn.wait)]:
            assert isinstance(error, DisconnectError)
            assert 'was killed by SIGKILL' in str(error)


def test_a_peer_that_exits_fails_all_calls_at_once() -> None:
    with bare_peer() as conn:
        with waiting_calls(conn) as errors, pytest.raises(DisconnectError):
            conn.call(os._exit, 7)
        for error in [*errors, raised_by(conn.call, abs, 1)]:
            assert isinstance(error, DisconnectError)
            assert 'ended with status 7' in str(error)


def test_a_command_behind_a_command_that_dies() -> None:
    bare = bare_command()
    conn = Connection.from_command(['sh', '-c', '"$@"; exit 9', 'sh', *bare])
    with waiting_calls(conn) as errors:
        os.kill(conn.call(os.getpid), signal.SIGKILL)
    assert all('ended with status 9' in str(error) for error in errors)
    finish(conn)


def test_a_dead_ssh(sshd: Sshd) -> None:
    conn = Connection.from_command(sshd.command(*bare_command()))
    peer = conn.call(os.getpid)
    running = [child for child in psutil.Process().children() if child.status() != 'zombie']
    (client,) = (child for child in running if child.name() == 'ssh')
    with waiting_calls(conn) as errors:
        client.kill()
    assert all('was killed by SIGKILL' in str(error) for error in errors)
    wait_until(lambda: not is_running(peer), 'the peer over there to end')
    finish(conn)


@pytest.mark.parametrize('reset', [False, True], ids=['closed', 'reset'])
def test_a_closed_socket_fails_all_calls_at_once(reset: bool) -> None:
    server = socket.create_server(('127.0.0.1', 0))
    host, port = server.getsockname()
    conn = Connection.from_tcp(host, port)
    accepted = Connection.from_socket(sock := server.accept()[0])
    server.close()
    with waiting_calls(conn) as errors:
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        accepted.cancel()
        finish(accepted)
    for error in errors:
        assert isinstance(error, DisconnectError)
        assert f'{host}:{port}' in str(error)
        assert 'the peer closed the connection' in str(error)
    finish(conn)


def test_the_cause_of_a_reset_is_kept() -> None:
    server = socket.create_server(('127.0.0.1', 0))
    conn = Connection.from_tcp(*server.getsockname())
    sock = server.accept()[0]
    server.close()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.sendall(greeting())
    receive(sock, b'\n')
    call = conn.submit(abs, 1)
    sock.close()
    error = call.exception(AT_ONCE)
    assert isinstance(error, DisconnectError)
    assert isinstance(error.__cause__, ConnectionResetError)
    finish(conn)


# ------------------------------------------------------------------------ long transfers


class Throttle:
    """Carries bytes between two sockets, a few at a time.

    Args:
        pause: Seconds between two portions of 64 KiB.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self.ends, self._inner = zip(socket.socketpair(), socket.socketpair(), strict=True)
        self._threads = [
            threading.Thread(target=self._carry, args=direction)
            for direction in (self._inner, self._inner[::-1])
        ]
        for thread in self._threads:
            thread.start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
                time.sleep(self._pause)  # the slowness of the line is what this is about
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        for sock in self._inner:
            sock.close()


def test_a_slow_transfer_is_no_silence() -> None:
    throttle = Throttle(40 * MS)
    ours, theirs = (
        Connection.from_socket(end, options=Options(timeout=TIMEOUT)) for end in throttle.ends
    )
    data = bytes(1 << 20)  # takes longer than the timeout
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(conn.call, len, data) for conn in (ours, theirs)]
        assert [call.result() for call in calls] == [len(data)] * 2
        assert len(ours.call(bytes, len(data))) == len(data)
    ours.close()
    theirs.close()
    throttle.join()


def test_a_result_that_comes_in_drops_is_no_silence() -> None:
    with plain_peer(timeout=TIMEOUT) as (conn, sock):
        call = conn.submit(bytes, 1)
        while (received := receive_frame(sock))[0] != CALL:
            pass
        answer = encode(RESULT, received[1], 0, b'\x80\x05K\x01.')
        for i in range(len(answer)):
            assert not call.done()
            time.sleep(2 * TIMEOUT / len(answer))
            sock.sendall(answer[i : i + 1])
        assert call.result(AT_ONCE) == 1
