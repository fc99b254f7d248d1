"""A signal comes right behind another one, where the main thread was to put things in order.

What it could not do then somebody else does: nothing that the first one cut off is lost.
"""

from __future__ import annotations

import pickle
import signal
import socket
import threading
from collections import deque
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, ref
from across._core import calls, handlers, link, reader
from across._core.interrupts import owed
from across._core.posts import Posts
from across._core.threads.cache import service_threads
from across._core.transports.sockets import SocketTransport
from across._core.wire.frames import POST, Frame
from support.ends import pair as connected_sockets
from support.ends import stay
from support.interleaving import Background
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.peers import Pair

SHARED = [1, 2, 3]
REPLIES: list[str] = []
GO = threading.Event()


@pytest.fixture
def second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the main thread is about to settle, a signal comes first."""
    for module in (calls, handlers, link, reader):
        monkeypatch.setattr(module, 'settle', interrupt_main_thread)


def interrupt_main_thread() -> None:
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def interrupt_caller() -> None:
    """Called by a peer that is the same process; ends when the call was cancelled."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
    stay()
    REPLIES.append('cancelled')


def interrupt_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, behind: bool) -> None:
    """Have a signal come before or behind a method that the main thread calls, the first time."""
    method: Callable[..., Any] = getattr(owner, name)

    def interrupted(*args: Any) -> Any:
        here = threading.current_thread() is threading.main_thread()
        if here:
            monkeypatch.setattr(owner, name, method)
        if here and not behind:
            raise KeyboardInterrupt
        result = method(*args)
        if here:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, interrupted)


def call_back(func: Callable[[], object]) -> None:
    try:
        func()
    except Exception as exc:
        REPLIES.append(str(exc))


def fail() -> None:
    raise ValueError('it failed')


def get_shared() -> Any:
    return ref(SHARED)


def wait_to_go() -> bool:
    return GO.wait(10 * SECOND)


def add_reply() -> None:
    REPLIES.append('done')


@pytest.mark.usefixtures('second_one')
def test_an_interrupted_call_lets_others_read(pair: Pair) -> None:
    REPLIES.clear()
    with pytest.raises(KeyboardInterrupt):
        pair.near.call(interrupt_caller)
    # Not in this thread, which would read for itself.
    assert Background(lambda: pair.near.call(abs, -1)).join() == 1
    wait_until(lambda: REPLIES == ['cancelled'])
    assert not owed


@pytest.mark.usefixtures('second_one')
def test_an_interrupted_callback_is_answered(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    REPLIES.clear()
    interrupt_once(monkeypatch, handlers.Handlers, '_answer', behind=False)
    with pytest.raises(KeyboardInterrupt):
        pair.near.call(call_back, ref(fail))
    wait_until(lambda: REPLIES and not owed)
    assert REPLIES == ['the call was interrupted over there before it was answered']


@pytest.mark.usefixtures('second_one')
def test_an_answer_is_given_back_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the object behind the proxy that is still there would be gone."""
    proxy = pair.near.call(get_shared)
    exports = pair.far._link.exports
    interrupt_once(monkeypatch, reader.Reader, '_take_in', behind=True)
    with pytest.raises(KeyboardInterrupt):
        pair.near.call(get_shared)
    wait_until(lambda: not owed)
    Background(lambda: pair.near.call(abs, -1)).join()  # the call is abandoned by then
    assert len(proxy) == 3
    del proxy
    wait_until(lambda: not len(exports), timeout=10 * SECOND)


@pytest.mark.usefixtures('second_one')
def test_posts_go_on(pair: Pair) -> None:
    """What is printed over there is shown, though a signal came amid showing something."""
    REPLIES.clear()
    near = pair.near._link.posts = Posts(pair.near._link)
    near._queue = deque(
        (Frame(POST, 0, 0, (), pickle.dumps((func, (), {})), ()), 0)
        for func in (interrupt_main_thread, add_reply)
    )
    near.arrived += 2
    with pytest.raises(KeyboardInterrupt):
        near.run()
    wait_until(lambda: REPLIES)
    # A call of the peer waits for what it has posted before.
    assert Background(lambda: pair.far.call(abs, -1)).join() == 1


@pytest.mark.usefixtures('second_one')
@pytest.mark.parametrize('where', ['say_goodbye', 'release'])
def test_an_interrupted_close_is_finished(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a service thread, if the signals don't end."""
    with connected_sockets() as (conn, _):
        conn.call(abs, -1)
        monkeypatch.setattr(link, where, lambda _: interrupt_main_thread())
        monkeypatch.setattr(type(conn._link.transport), 'kill', lambda _: interrupt_main_thread())
        with pytest.raises(KeyboardInterrupt):
            conn.close()
        monkeypatch.undo()
        Background(conn.close).join()  # waits until it is through
        assert not conn.is_connected()


def test_a_result_does_not_wait_for_callbacks(pair: Pair) -> None:
    have_result = threading.Event()
    in_time: list[bool] = []
    GO.clear()
    future = pair.near.submit(wait_to_go)
    future.add_done_callback(lambda _: in_time.append(have_result.wait(2 * SECOND)))
    GO.set()
    assert future.result() is True
    have_result.set()
    wait_until(lambda: in_time)
    assert in_time == [True]
    assert future.exception() is None


def test_an_interrupted_cancel_leaves_no_wait(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    GO.clear()
    future = pair.near.submit(wait_to_go)
    interrupt_once(monkeypatch, type(future), '_invoke_callbacks', behind=False)
    with pytest.raises(KeyboardInterrupt):
        future.cancel()
    with pytest.raises(CancelledError):
        future.result()
    GO.set()


def test_an_interrupt_behind_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer may call before the thread that makes the connection goes on: it gets a goodbye."""
    ours, theirs = socket.socketpair()
    far = Connection.from_socket(theirs)

    class Threads:
        def run(self, job: Callable[[], object]) -> None:
            service_threads.run(job)
            assert far.call(abs, -1) == 1
            raise KeyboardInterrupt

    killed: list[SocketTransport] = []
    monkeypatch.setattr(SocketTransport, 'kill', killed.append)
    monkeypatch.setattr(link, 'service_threads', Threads())
    with pytest.raises(KeyboardInterrupt):
        Connection.from_socket(ours)
    monkeypatch.undo()
    far.wait()
    far.close()
    assert not killed
