"""Functions run in the main thread of the process at the other end."""

from __future__ import annotations

import contextvars
import os
import signal
import threading
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

import across
from across import Connection, DisconnectError, OperationError, ref, run_in_main_thread
from across._core import main_thread
from across.servers import BIOSConnectionHandler, ProcessConnectionHandler, Server
from support.ends import bare_peer, finish, is_running, pair, raised_by, run_script
from support.interpreters import Interpreter, bare_command
from support.peers import serving_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=['bare', 'installed', 'process handler', 'BIOS handler'])
def conn(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """To each kind of process whose main thread waits for the connection to end."""
    with ExitStack() as stack:
        if request.param == 'bare':
            conn = Connection.from_command(bare_command())
        elif request.param == 'installed':
            conn = Connection.from_command(serving_command())
        else:
            kinds = {'process handler': ProcessConnectionHandler}
            handler = kinds.get(request.param, BIOSConnectionHandler)()
            server = stack.enter_context(Server.listen_tcp('127.0.0.1', 0, handler=handler))
            conn = Connection.from_tcp(*server.address)
        stack.callback(finish, conn)
        yield conn


def begin_to_stay(conn: Connection) -> Any:
    """Keep the main thread busy until the call is cancelled; a future, once that runs."""
    entered = threading.Event()

    def stay(entered: Any) -> None:
        entered.set()
        while True:
            time.sleep(0.001)
            across.check_cancelled()

    future = conn.submit(run_in_main_thread, stay, ref(entered))
    assert entered.wait(10 * SECOND)
    return future


def test_runs_in_the_main_thread(conn: Connection) -> None:
    def is_main() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert not conn.call(is_main)
    assert conn.call(run_in_main_thread, is_main)
    assert conn.call(run_in_main_thread, run_in_main_thread, is_main)
    assert conn.call(lambda: run_in_main_thread(is_main))


def test_what_needs_the_main_thread_works(conn: Connection) -> None:
    async def wait_for_signal() -> str:
        import asyncio

        loop = asyncio.get_running_loop()
        received: asyncio.Future[str] = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, received.set_result, 'received')
        os.kill(os.getpid(), signal.SIGUSR1)
        return await received

    with pytest.raises(ValueError, match='main thread'):
        conn.call(signal.signal, signal.SIGUSR2, signal.SIG_IGN)
    conn.call(run_in_main_thread, signal.signal, signal.SIGUSR2, signal.SIG_IGN)
    assert conn.call(signal.getsignal, signal.SIGUSR2) is signal.SIG_IGN
    assert conn.call(run_in_main_thread, wait_for_signal) == 'received'


def test_every_version(interpreter: Interpreter) -> None:
    with Connection.from_command(bare_command(interpreter)) as conn:
        assert conn.call(run_in_main_thread, int, '2', base=8) == 2
        with pytest.raises(ZeroDivisionError):
            conn.call(run_in_main_thread, divmod, 1, 0)
        assert len(conn.call_ref(run_in_main_thread, list, 'abc')) == 3


def test_nested_calls_stay_in_the_main_thread(peer: Connection) -> None:
    """What the peer of the main thread calls on its behalf runs there, too."""
    here = threading.get_ident()

    def there(depth: int, back: Any) -> list[bool]:
        import threading

        is_main = threading.current_thread() is threading.main_thread()
        return [is_main, *(back(depth - 1) if depth else [])]

    def back(depth: int) -> list[bool]:
        mine = threading.get_ident() == here
        return [mine, *peer.call(run_in_main_thread, there, depth, ref(back))]

    assert peer.call(run_in_main_thread, there, 3, ref(back)) == [True] * 7


def test_context_is_that_of_the_calling_thread(peer: Connection) -> None:
    def outer() -> list[bool]:
        variable = contextvars.ContextVar('variable', default=1)
        variable.set(2)
        connection, call = across.get_connection(), across.current_call()

        def inner() -> list[bool]:
            return [
                across.get_connection() is connection,
                across.current_call() is call,
                variable.get() == 2,
            ]

        return run_in_main_thread(inner)  # type: ignore[no-any-return]

    assert peer.call(outer) == [True, True, True]
    assert peer.call(run_in_main_thread, lambda: across.get_connection().is_connected())


def test_output_is_forwarded_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    with bare_peer(forward_stdio=True) as conn:
        for i in range(3):
            conn.call(run_in_main_thread, print, i)
            assert capfd.readouterr().out == f'{i}\n'


def test_one_at_a_time_in_order(peer: Connection) -> None:
    peer.execute('import builtins; builtins.seen = []')
    future = begin_to_stay(peer)
    later = []
    for i in range(5):
        later.append(peer.submit(run_in_main_thread, exec, f'seen.append({i})'))
        wait_until(
            lambda i=i: (
                peer.execute(  # type: ignore[misc]
                    'from across._core.threads.main_loop import main_loop; len(main_loop._jobs)'
                )
                == i + 1
            )
        )
    assert peer.execute('seen') == []
    future.cancel()
    for each in later:
        each.result(10 * SECOND)
    assert peer.execute('seen') == [0, 1, 2, 3, 4]


def test_cancelled_before_its_turn(peer: Connection) -> None:
    future = begin_to_stay(peer)
    peer.execute('import builtins; builtins.seen = []')

    def second() -> object:
        try:
            return run_in_main_thread(seen.append, 1)  # type: ignore[name-defined]  # noqa: F821
        except BaseException as exc:
            seen.append(type(exc))  # type: ignore[name-defined]  # noqa: F821
            raise

    second_future = peer.submit(second)
    jobs = 'from across._core.threads.main_loop import main_loop; len(main_loop._jobs)'
    wait_until(lambda: peer.execute(jobs) == 1)
    second_future.cancel()
    future.cancel()
    wait_until(lambda: peer.execute('seen'))
    assert peer.execute('seen') == [CancelledError]


def test_main_thread_that_does_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_thread, 'PATIENCE', 0.0)
    with pair() as (near, _):
        error = raised_by(near.call, run_in_main_thread, int)
    assert isinstance(error, OperationError)
    assert f'the main thread of process {os.getpid()} cannot run anything' in str(error)
    assert 'it has to be waiting in Connection.wait()' in str(error)
    assert run_in_main_thread(int, '7') == 7  # this is the main thread
    with pytest.raises(TypeError, match='expected a function'):
        run_in_main_thread(7)  # type: ignore[arg-type]


def test_any_connection_that_the_main_thread_waits_for() -> None:
    output = run_script("""
        import socket, threading
        from across import Connection, OperationError, run_in_main_thread
        from across._core import main_thread

        main_thread.PATIENCE = 0

        ends = [Connection.from_socket(end) for pair in range(2) for end in socket.socketpair()]

        def is_main():
            return threading.current_thread() is threading.main_thread()

        def use():
            for conn in ends:
                print(conn.call(run_in_main_thread, is_main), flush=True)
            ends[0].close()
            ended.wait()
            try:
                ends[2].call(run_in_main_thread, is_main)
            except OperationError as exc:
                print('Connection.wait()' in str(exc))

        ended = threading.Event()
        user = threading.Thread(target=use)
        user.start()
        ends[1].wait()
        ended.set()
        user.join()
        for conn in ends:
            conn.close()
        """)
    assert output.split() == ['True'] * 5


def test_interrupt_reaches_the_function(conn: Connection) -> None:
    pid = conn.call(os.getpid)
    os.kill(pid, signal.SIGINT)  # nothing runs there: ignored
    assert conn.call(run_in_main_thread, os.getpid) == pid
    os.kill(pid, signal.SIGINT)
    entered = threading.Event()

    def stay(entered: Any) -> str:
        try:
            entered.set()
            while True:
                time.sleep(0.001)
        except KeyboardInterrupt:
            return 'interrupted'

    future = conn.submit(run_in_main_thread, stay, ref(entered))
    assert entered.wait(10 * SECOND)
    os.kill(pid, signal.SIGINT)
    assert future.result(10 * SECOND) == 'interrupted'
    assert conn.call(run_in_main_thread, os.getpid) == pid


def test_handler_of_the_user_stays(peer: Connection) -> None:
    peer.execute('import builtins; builtins.seen = []')
    pid = peer.call(os.getpid)

    def handle() -> None:
        signal.signal(signal.SIGINT, lambda *args: seen.append(args[0]))  # type: ignore  # noqa: F821

    peer.call(run_in_main_thread, handle)
    peer.call(run_in_main_thread, int)
    os.kill(pid, signal.SIGINT)
    wait_until(lambda: peer.execute('seen') == [signal.SIGINT])


def test_barrage_of_interrupts_loses_nothing(peer: Connection) -> None:
    """Each call is answered, by its value or by KeyboardInterrupt, whatever SIGINT hits."""
    pid, over = peer.call(os.getpid), threading.Event()

    def fire() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGINT)
            time.sleep(0.0002)

    barrage = threading.Thread(target=fire)
    barrage.start()
    try:
        for i in range(300):
            try:
                assert peer.submit(run_in_main_thread, abs, -i).result(10 * SECOND) == i
            except KeyboardInterrupt:
                pass
    finally:
        over.set()
        barrage.join()
    assert peer.call(run_in_main_thread, abs, -1) == 1


def test_end_of_the_connection_cancels_the_function(conn: Connection) -> None:
    pid = conn.call(os.getpid)
    future = begin_to_stay(conn)
    finish(conn)
    assert isinstance(future.exception(), DisconnectError)
    wait_until(lambda: not is_running(pid), 'the process to end', 10 * SECOND)


def test_function_that_does_not_end_keeps_no_process() -> None:
    with bare_peer() as conn:
        pid = conn.call(os.getpid)
        conn.call(run_in_main_thread, int)
        conn.execute('import across._core.main_thread as each; each.LINGER_TIME = 0.1')
        future = conn.submit(run_in_main_thread, time.sleep, 600)
        conn.cancel()
        assert isinstance(future.exception(), DisconnectError)
    wait_until(lambda: not is_running(pid), 'the process to end', 10 * SECOND)


def test_wait_returns_once_the_function_has(peer: Connection, tmp_path: Any) -> None:
    """And not before: what it has in hand it may finish."""
    file = tmp_path / 'done'

    def stay(file: str, entered: Any) -> None:
        entered.set()
        while not across.current_call().cancelled:
            time.sleep(0.001)
        time.sleep(0.02)
        open(file, 'x').close()

    entered = threading.Event()
    pid = peer.call(os.getpid)
    peer.submit(run_in_main_thread, stay, str(file), ref(entered))
    assert entered.wait(10 * SECOND)
    peer.close()
    wait_until(lambda: not is_running(pid), 'the process to end', 10 * SECOND)
    assert file.exists()


@pytest.mark.parametrize('kind', [ProcessConnectionHandler, BIOSConnectionHandler])
def test_closing_server_ends_a_busy_main_thread(kind: Any) -> None:
    """SIGTERM, with which it does so, ends the process even if the function takes no notice."""

    def ignore(entered: Any) -> None:
        entered.set()
        while not across.current_call().cancelled:
            try:
                time.sleep(0.001)
            except SystemExit:
                return

    with Server.listen_tcp('127.0.0.1', 0, handler=kind()) as server:
        conn = Connection.from_tcp(*server.address)
        entered = threading.Event()
        future = conn.submit(run_in_main_thread, ignore, ref(entered))
        assert entered.wait(10 * SECOND)
    assert isinstance(future.exception(10 * SECOND), DisconnectError) or future.result() is None
    finish(conn)


def test_argument_errors_name_the_function(peer: Connection) -> None:
    error = raised_by(peer.call, run_in_main_thread, 3)
    assert "expected a function to run, not 'int'" in str(error)


def test_callbacks_stay_in_the_calling_thread_while_others_read(peer: Connection) -> None:
    """One may be read before the thread is quite through with the one before it."""
    here = threading.get_ident()
    over = threading.Event()

    def work(back: Any) -> list[bool]:
        return [back() for _ in range(300)]

    def read() -> None:
        while not over.is_set():
            peer.call(int)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(peer.call(work, ref(lambda: threading.get_ident() == here)))
    finally:
        over.set()
        for thread in threads:
            thread.join()
