"""Host names that a name server takes its time for: nobody has to wait for it."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, DisconnectError, Options
from across._core.transports.base import Cancelled
from across._core.transports.resolving import resolve
from across._core.transports.wakeup import Wakeup
from support.ends import at_once, finish
from support.interleaving import Background
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Name servers don't answer; released for each question."""
    asked, answer = threading.Semaphore(0), threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(*args: Any, flags: int = 0, **kwargs: Any) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            asked.release()
            answer.wait(10 * SECOND)
        return real(*args, **{**kwargs, 'flags': flags})

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    yield asked
    answer.set()
    wait_until(lambda: all(each.name != 'across-resolver' for each in threading.enumerate()))


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


def test_names_and_addresses(wakeup: Wakeup) -> None:
    assert resolve('127.0.0.1', 7, wakeup, None) == [(socket.AF_INET, ('127.0.0.1', 7))]
    assert resolve('::1', 7, wakeup, None) == [(socket.AF_INET6, ('::1', 7, 0, 0))]
    assert (socket.AF_INET, ('127.0.0.1', 7)) in resolve('localhost', 7, wakeup, None)


def test_an_address_is_looked_up_nowhere(asked: threading.Semaphore, wakeup: Wakeup) -> None:
    assert resolve('127.0.0.1', 7, wakeup, None) == [(socket.AF_INET, ('127.0.0.1', 7))]
    assert not asked.acquire(blocking=False)


def test_timeout(asked: threading.Semaphore, wakeup: Wakeup) -> None:
    with pytest.raises(TimeoutError) as caught:
        resolve('localhost', 7, wakeup, time.monotonic() + 20 * MS)
    assert str(caught.value) == (
        'the address of localhost (port 7) was not found in time: the name server does not answer'
    )


def test_cancel(asked: threading.Semaphore, wakeup: Wakeup) -> None:
    waiting = Background(lambda: resolve('localhost', 7, wakeup, None))
    assert asked.acquire(timeout=10 * SECOND)
    wakeup.set()
    with at_once(), pytest.raises(Cancelled):
        waiting.join()


@pytest.mark.parametrize('host', ['a\0b', 'ä' * 80, 'a..b', '.'])
def test_what_is_no_name(wakeup: Wakeup, host: str) -> None:
    with pytest.raises(OSError, match=r'is no host name|cannot find the address of'):
        resolve(host, 7, wakeup, None)


def test_connection_is_cancelled_at_once(asked: threading.Semaphore) -> None:
    conn = Connection.from_tcp('localhost', 7, options=Options(timeout=None))
    assert asked.acquire(timeout=10 * SECOND)
    with at_once():
        conn.cancel()
        with pytest.raises(DisconnectError, match='it was cancelled'):
            conn.call(int)
        finish(conn)


def test_connection_times_out(asked: threading.Semaphore) -> None:
    conn = Connection.from_tcp('localhost', 7, options=Options(timeout=50 * MS))
    with at_once():
        with pytest.raises(DisconnectError, match='the name server does not answer'):
            conn.call(int)
        finish(conn)
