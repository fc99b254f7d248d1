"""Forking with open connections: the child's copies are dead and say so, the parent's live on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from across import Connection, DisconnectError, Options
from support.ends import bare_peer, finish, is_running, pair, raised_by, run_script
from support.interpreters import bare_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork here')


@pytest.fixture(autouse=True)
def fork_with_threads() -> Iterator[None]:
    """From Python 3.12 on, forking with threads warns; that it works is what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        yield


def in_child(func: Callable[[], None]) -> None:
    """Run a function in a forked child; fail if it fails or hangs there."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(read_end)
            func()
            status = 0
        except BaseException:
            os.write(write_end, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(write_end)
    process = psutil.Process(pid)
    try:
        wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 'the child to end')
    except TimeoutError:
        process.kill()
        raise
    finally:
        status = os.waitpid(pid, 0)[1]
    with os.fdopen(read_end) as report:
        text = report.read()
    assert status == 0, text


def check_dead(*conns: Connection) -> None:
    for conn in conns:
        check_one_dead(conn)


def check_one_dead(conn: Connection) -> None:
    assert not conn.is_connected()
    for use in (
        lambda: conn.call(abs, -1),
        lambda: conn.call_ref(list),
        lambda: conn.replicate([]),
        lambda: conn.submit(abs, -1),
        lambda: conn.execute('1'),
    ):
        error = raised_by(use)
        assert isinstance(error, DisconnectError), repr(error)
        assert 'this process was forked' in str(error)
    conn.cancel()
    finish(conn)
    finish(conn)


def connected_over_tcp() -> list[Connection]:
    with socket.create_server(('127.0.0.1', 0)) as server:
        conn = Connection.from_tcp(*server.getsockname())
        accepted = server.accept()[0]
    return [conn, Connection.from_socket(accepted)]


def test_the_copy_is_dead_and_the_original_lives() -> None:
    with bare_peer() as conn:
        in_child(lambda: check_dead(conn))
        assert conn.call(abs, -1) == 1
        assert conn.is_connected()


@pytest.mark.parametrize('kind', ['pair', 'tcp', 'pipes'])
def test_other_kinds_of_connections(kind: str) -> None:
    if kind == 'tcp':
        conns = connected_over_tcp()
    elif kind == 'pair':
        conns = [Connection.from_socket(sock) for sock in socket.socketpair()]
    else:
        (read1, write1), (read2, write2) = os.pipe(), os.pipe()
        conns = [
            Connection.from_pipes(os.fdopen(read, 'rb'), os.fdopen(write, 'wb'))
            for read, write in ((read1, write2), (read2, write1))
        ]
    assert conns[0].call(abs, -1) == 1
    in_child(lambda: check_dead(*conns))
    assert conns[0].call(abs, -1) == 1
    for conn in conns:
        conn.close()


def test_the_copy_holds_no_descriptors() -> None:
    with pair() as (ours, _), bare_peer():
        assert ours.call(abs, -1) == 1

        def open_sockets() -> list[str]:
            names = {}
            for fd in os.listdir('/proc/self/fd'):
                try:
                    names[fd] = os.readlink(f'/proc/self/fd/{fd}')
                except FileNotFoundError:
                    pass
            return [fd for fd, name in names.items() if name.startswith(('socket:', 'anon_inode'))]

        sockets = open_sockets()
        if not os.path.isdir('/proc/self/fd'):
            pytest.skip('descriptors are read from /proc')
        assert len(sockets) >= 2

        def check_closed() -> None:
            left = set(open_sockets()) & set(sockets)
            assert not left, left

        in_child(check_closed)


def test_a_proxy_in_the_child_is_dead_and_lets_the_original_live() -> None:
    with bare_peer() as conn:
        proxies = [conn.call_ref(list, [1, 2])]

        def check() -> None:
            assert 'this process was forked' in str(raised_by(len, proxies[0]))
            proxies.clear()  # its finalizer is inert

        in_child(check)
        assert list(proxies[0]) == [1, 2]


def test_fork_while_threads_call() -> None:
    stop = threading.Event()

    def call(conn: Connection) -> int:
        count = 0
        while not stop.is_set():
            assert conn.call(abs, -count) == count
            count += 1
        return count

    with bare_peer() as conn, pair() as (ours, theirs), ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(call, each) for each in (conn, conn, ours, theirs) * 2]
        try:
            for _ in range(15):
                in_child(lambda: check_dead(conn, ours, theirs))
        finally:
            stop.set()
        assert all(caller.result(5 * SECOND) for caller in callers)


def test_fork_while_connecting() -> None:
    conn = Connection.from_command(bare_command())
    in_child(lambda: check_dead(conn))
    with conn:
        assert conn.call(abs, -1) == 1


def test_the_child_may_make_connections_of_its_own() -> None:
    with bare_peer() as conn, ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(conn.call, time.sleep, 0.5 * SECOND)

        def connect() -> None:
            with bare_peer(timeout=5 * SECOND) as other:
                assert other.call(os.getppid) == os.getpid()
                assert other.submit(abs, -1).result(5 * SECOND) == 1
                with pair() as (ours, _):
                    assert ours.call(abs, -1) == 1

        in_child(connect)
        assert waiting.result() is None


def test_exporting_in_the_child() -> None:
    """The copies export, and accept, no more; connections of the child's own do both."""
    accepting = Options(accept_exported_modules=True)
    with bare_peer() as conn, pair(None, accepting) as (near, _):
        conn.export('support')
        near.export('support')

        def child() -> None:
            for copy in conn, near:
                assert isinstance(raised_by(copy.export, 'support'), DisconnectError)
                assert isinstance(raised_by(copy.export, 'transports'), DisconnectError)
            with bare_peer() as own:
                own.export('support')
                assert own.execute('import support; support.__name__') == 'support'
            with pair(None, accepting) as (own, _):
                own.export('support')

        in_child(child)
        assert conn.execute('import support.waiting; support.waiting.MS > 0')


def test_fork_inside_a_call_that_a_peer_makes() -> None:
    def fork() -> Any:
        import os

        import across

        conn = across.get_connection()
        pid = os.fork()
        if not pid:
            try:
                conn.call(abs, 1)
            except across.DisconnectError as exc:
                os._exit(42 if 'forked' in str(exc) else 1)
            os._exit(2)
        return os.waitpid(pid, 0)[1] >> 8

    with bare_peer() as conn:
        assert conn.call(fork) == 42
        assert conn.call(abs, -1) == 1


def test_a_forked_child_ends_normally_and_leaves_the_peer_alone() -> None:
    """Through all of the interpreter's end: atexit, finalizers, threading's shutdown."""
    output = run_script(
        """
        import os, sys, warnings
        warnings.simplefilter('ignore')
        from across import Connection
        conn = Connection.from_command(sys.argv[1:])
        conn.call(abs, -1)
        proxy = conn.call_ref(list)
        sys.stdout.flush()
        if not os.fork():
            sys.exit(5)
        print(os.wait()[1] >> 8, len(proxy), conn.call(abs, -1))
        conn.close()
        """,
        *bare_command(),
    )
    assert output == '5 0 1\n'


def test_multiprocessing_with_the_fork_method() -> None:
    output = run_script(
        """
        import multiprocessing, sys, warnings
        warnings.simplefilter('ignore')
        from across import Connection, DisconnectError
        conn = Connection.from_command(sys.argv[1:])
        conn.call(abs, -1)

        def work(number):
            try:
                conn.call(abs, number)
            except DisconnectError:
                return number

        with multiprocessing.get_context('fork').Pool(2) as pool:
            print(pool.map(work, range(4)), conn.call(abs, -1))
        conn.close()
        """,
        *bare_command(),
    )
    assert output == '[0, 1, 2, 3] 1\n'


def test_the_peer_ends_with_the_parent_although_a_forked_child_lives() -> None:
    """A copy of the pipe or socket in the child must not keep the peer waiting for its end."""
    pids = run_script(
        """
        import os, sys, time, warnings
        warnings.simplefilter('ignore')
        from across import Connection
        conn = Connection.from_command(sys.argv[1:])
        peer = conn.call(os.getpid)
        child = os.fork()
        if not child:
            os.close(1), os.close(2)
            time.sleep(60)
        print(peer, child, flush=True)
        os._exit(0)
        """,
        *bare_command(),
    ).split()
    peer, child = map(int, pids)
    try:
        wait_until(lambda: not is_running(peer), 'the peer to end')
    finally:
        psutil.Process(child).kill()


def test_subprocesses_inherit_nothing() -> None:
    def inherited() -> str:
        code = 'import os; print(os.listdir("/dev/fd"))'
        command = [sys.executable, '-I', '-S', '-c', code]
        return subprocess.run(command, close_fds=False, capture_output=True, text=True).stdout

    before = inherited()
    with pair() as (ours, _), bare_peer():
        assert ours.call(abs, -1) == 1
        assert inherited() == before
