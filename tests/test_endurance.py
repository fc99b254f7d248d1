"""What must not wear a connection down: large values, results in cycles, threads that run out."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from concurrent.futures import Future
from contextlib import suppress
from typing import Any
from unittest.mock import MagicMock

import pytest

from across import Connection, DisconnectError, Proxy, get_connection
from across._core.threads.cache import ThreadCache
from across._core.wire.greeting import encode_greeting
from support.peers import Pair
from support.waiting import SECOND, wait_until


class Thing:
    """An object that can be referred to weakly, and pickled."""


def make_thing() -> Thing:
    return Thing()


def make_mock() -> Any:
    return MagicMock()


def test_pickler_of_a_large_value_is_not_kept(pair: Pair) -> None:
    """Its memo never shrinks, and would have to be cleared for each later call."""
    pickling = pair.near._link.payloads.pickling
    pair.near.call(len, 'small')
    kept = list(pickling._idle)
    assert len(kept) == 1
    assert pair.near.call(len, [(str(i),) for i in range(20_000)]) == 20_000
    assert pickling._idle == []
    pair.near.call(len, 'small')
    assert len(pickling._idle) == 1


def test_result_goes_with_its_future_without_the_garbage_collector(pair: Pair) -> None:
    gc.collect()
    gc.disable()
    try:
        future = pair.near.submit(make_thing)
        gone = weakref.ref(future.result(5 * SECOND))
        del future
        wait_until(lambda: gone() is None, 'the result to be freed')
    finally:
        gc.enable()


def test_callback_of_a_future_runs_for_no_connection(pair: Pair) -> None:
    found: list[Any] = []

    def look(future: Future[Any]) -> None:
        try:
            found.append(get_connection())
        except ValueError as exc:
            found.append(exc)

    future = pair.near.submit(make_thing)
    future.add_done_callback(look)
    wait_until(lambda: found, 'the callback')
    assert isinstance(found[0], ValueError)


def test_object_with_any_attribute_is_no_coroutine(pair: Pair) -> None:
    assert isinstance(pair.near.call_ref(make_mock), Proxy)


def test_jobs_wait_for_a_thread_when_none_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ThreadCache()
    done: list[int] = []

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse)
        cache.run(lambda: done.append(1))
        cache.run(lambda: done.append(2))
        cache.retry()
        assert done == []
    cache.retry()
    wait_until(lambda: sorted(done) == [1, 2], 'both jobs')
    cache.dismiss()


def test_stranded_jobs_can_be_run_in_the_thread_that_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = ThreadCache()
    done: list[int] = []

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, 'start', refuse)
    cache.run(lambda: done.append(threading.get_ident()))
    cache.run_stranded()
    assert done == [threading.get_ident()]


def test_cancel_wins_over_a_handshake_that_ends_at_that_moment() -> None:
    ours, theirs = socket.socketpair()
    conn = Connection.from_socket(ours)
    link = conn._link
    info = link.info
    conn.cancel()
    wait_until(lambda: not conn.is_connected() and link.reason, 'the cancel to be noticed')
    with suppress(OSError):  # it may have been shut down by then
        theirs.sendall(encode_greeting(info))
    with pytest.raises(DisconnectError, match='it was cancelled'):
        conn.call(len, '')
    with pytest.raises(DisconnectError, match='it was cancelled'):
        conn.close()
    theirs.close()
