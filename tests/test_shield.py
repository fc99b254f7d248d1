"""Holding signals back: in the main thread, for a moment, and never for good."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from across._core import interrupts
from across._core.interrupts import Shield, owed, settle
from support.ends import run_script
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.peers import Pair


@pytest.fixture
def came() -> Iterator[list[str]]:
    """What happened, in order; a handler of SIGINT adds to it."""
    events: list[str] = []
    former = signal.signal(signal.SIGINT, lambda *_: events.append('handler'))
    yield events
    signal.signal(signal.SIGINT, former)


def test_the_handler_runs_at_the_end(came: list[str]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with Shield():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        came.append('inside')
    assert came == ['inside', 'handler']
    assert signal.getsignal(signal.SIGINT) is handler


def interrupt_inside(
    done: list[int], then: type[BaseException] | None = None, *numbers: int
) -> None:
    with Shield():
        for number in numbers or [signal.SIGINT]:
            signal.raise_signal(number)
        done.append(1)
        if then is not None:
            raise then


def test_what_it_raises_comes_at_the_end() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt_inside(done)
    assert done


def test_nested(came: list[str]) -> None:
    shield = Shield()
    with shield:
        with shield:
            signal.raise_signal(signal.SIGINT)
        came.append('inside')
    assert came == ['inside', 'handler']
    with shield:
        pass
    assert came == ['inside', 'handler']  # it is told once


def test_an_error_inside_lets_it_through(came: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        interrupt_inside([], ZeroDivisionError)
    assert came == ['handler']


def test_a_handler_that_was_set_inside_stays(came: list[str]) -> None:
    with Shield():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.parametrize('disposition', [signal.SIG_IGN, signal.SIG_DFL])
def test_what_raises_nothing_is_let_alone(came: list[str], disposition: Any) -> None:
    signal.signal(signal.SIGINT, disposition)
    with Shield():
        assert signal.getsignal(signal.SIGINT) == disposition


def test_other_threads_hold_nothing_back(came: list[str]) -> None:
    shield = Shield()
    entered, leave = threading.Event(), threading.Event()

    def enter() -> None:
        with shield:
            entered.set()
            leave.wait()

    thread = threading.Thread(target=enter)
    thread.start()
    entered.wait()
    signal.raise_signal(signal.SIGINT)
    assert came == ['handler']
    with shield:
        leave.set()
        thread.join()
        signal.raise_signal(signal.SIGINT)
        assert came == ['handler']
    assert came == ['handler', 'handler']


def test_one_that_nobody_ended(came: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C does, if the first one was not told for long."""
    monkeypatch.setattr(interrupts, '_LONGEST', 0.01)
    shield = Shield()
    handler = signal.getsignal(signal.SIGINT)
    shield.__enter__()
    signal.raise_signal(signal.SIGINT)
    assert came == []
    time.sleep(0.02)
    signal.raise_signal(signal.SIGINT)
    assert came == ['handler']
    assert signal.getsignal(signal.SIGINT) is handler
    shield.__exit__()  # if somebody ends it after all
    with shield:
        signal.raise_signal(signal.SIGINT)
        assert came == ['handler']
    assert came == ['handler', 'handler']


def test_a_handler_that_was_saved_inside(came: list[str]) -> None:
    """And is set again behind it: Ctrl-C does what it usually does."""
    with Shield():
        saved = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, saved)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_child_that_another_thread_forked_meanwhile() -> None:
    source = """
import os, signal, threading
from across._core.interrupts import shield

handler = signal.getsignal(signal.SIGINT)

def fork():
    child = os.fork()
    if not child:
        assert signal.getsignal(signal.SIGINT) is handler
        with shield:
            signal.raise_signal(signal.SIGUSR1)
            assert signal.getsignal(signal.SIGINT) is not handler
        assert signal.getsignal(signal.SIGINT) is handler
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

signal.signal(signal.SIGUSR1, lambda *_: None)
with shield:
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
"""
    assert run_script(source) == '7\n'


def test_a_child_that_was_forked_inside(came: list[str]) -> None:
    with Shield():
        child = os.fork()
        if not child:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_other_signals_wait_as_well(came: list[str]) -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: came.append('other'))
    try:
        with Shield():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGUSR1)
            came.append('inside')
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert came == ['inside', 'handler', 'other']


def test_one_that_raises_keeps_no_other_from_being_run(came: list[str]) -> None:
    def stop(number: int, frame: object) -> None:
        came.append('stop')
        raise TimeoutError

    former = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(TimeoutError):
            interrupt_inside([], None, signal.SIGUSR1, signal.SIGINT)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert came == ['stop', 'handler']


def test_what_is_owed_is_done_before_the_handler_runs(came: list[str]) -> None:
    owed.append((signal.raise_signal, signal.SIGINT))
    owed.append((came.append, 'owed'))
    settle()
    assert came == ['owed', 'handler']
    assert not owed


def test_what_is_owed_is_done_without_the_thread_that_owes_it(pair: Pair) -> None:
    """It may be busy elsewhere, after one more Ctrl-C amid settling."""
    assert pair.near.call(abs, -1) == 1
    done: list[int] = []
    owed.append((lambda: done.append(threading.get_ident()),))
    wait_until(lambda: done)
    assert done != [threading.get_ident()]
