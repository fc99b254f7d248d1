"""Connections that nobody has closed and nobody refers to any more."""

from __future__ import annotations

import gc
import os
import socket
import threading
import warnings
import weakref
from typing import Any

import pytest

import across
from across import Connection, DisconnectError, get_proxy_connection, ref
from support.ends import WORK, Script, finish, is_running, raised_by, run_work, stay
from support.interpreters import bare_command
from support.waiting import SECOND, wait_until

DROPPED = pytest.warns(ResourceWarning, match=r'the connection to .* was dropped without close\(\)')


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not is_running(pid), 'the child to end')


def test_dropped_connection_ends_its_child() -> None:
    conn = Connection.from_command(bare_command())
    pid = conn.call(os.getpid)
    with DROPPED:
        del conn
    wait_until_gone(pid)


def test_dropped_before_it_is_made() -> None:
    with DROPPED:
        Connection.from_command(bare_command())
    # The fixture that looks for leaks sees that the child goes.


def test_cancelled_or_broken_and_dropped() -> None:
    for end in (lambda conn: conn.cancel(), lambda conn: raised_by(conn.call, os._exit, 3)):
        conn = Connection.from_command(bare_command())
        conn.call(int)
        end(conn)
        with DROPPED:
            del conn


def test_closed_connection_is_freed_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with Connection.from_command(bare_command()) as conn:
            link = weakref.ref(conn._link)
        del conn
        wait_until(lambda: gc.collect() >= 0 and link() is None, 'the link to be freed')


def test_proxies_keep_it_alive() -> None:
    proxy = Connection.from_command(bare_command()).call_ref(list, 'ab')
    pid = get_proxy_connection(proxy).call(os.getpid)
    method = proxy.append
    del proxy
    method('c')
    assert list(method.__self__) == ['a', 'b', 'c']
    with DROPPED:
        del method
    wait_until_gone(pid)


def test_futures_keep_it_alive_until_they_are_done() -> None:
    hold, started = threading.Event(), threading.Event()

    def work(hold: Any, started: Any) -> int:
        started.set()
        hold.wait()
        return os.getpid()

    conn = Connection.from_command(bare_command())
    future = conn.submit(work, ref(hold), ref(started))
    caught = threading.Event()
    weakref.finalize(conn, caught.set)
    del conn
    assert started.wait(10 * SECOND)
    assert not caught.is_set()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # it comes in another thread, at its own time
        hold.set()
        pid = future.result(10 * SECOND)
        assert caught.wait(10 * SECOND)
    wait_until_gone(pid)


def test_call_of_the_peer_keeps_nothing_alive() -> None:
    """It is told that it was cancelled, and that its connection is gone."""
    seen: list[object] = []

    def work() -> None:
        stay(entered)
        seen.append(raised_by(across.get_connection))
        seen.append(raised_by(getattr, across.current_call(), 'connection'))

    entered = threading.Semaphore(0)
    WORK.append(work)
    ends = socket.socketpair()
    near, far = map(Connection.from_socket, ends)
    near.submit(run_work)
    assert entered.acquire(timeout=10 * SECOND)
    with DROPPED:
        del far
    with pytest.raises(DisconnectError):
        near.wait()
    finish(near)
    wait_until(lambda: len(seen) == 2)
    for error in seen:
        assert isinstance(error, DisconnectError)
        assert 'nobody refers to it any more' in str(error)


def test_exit_with_an_open_connection_says_nothing() -> None:
    script = """
        import os, sys
        from across import Connection
        conn = Connection.from_command(sys.argv[1:])
        print(conn.call(os.getpid), flush=True)
        """
    with Script(script, *bare_command()) as process:
        pid = int(process.line())
        assert process.wait() == 0
        assert process.errors() == ''
    wait_until_gone(pid)
