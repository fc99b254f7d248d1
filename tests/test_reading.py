"""Who reads next while functions run."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from across._core import reader
from across._core.calls import PendingCall
from across._core.threads.watchdog import TICK
from support.interleaving import in_background
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    import pytest

    from support.peers import Pair

BOTH = threading.Barrier(2, timeout=10 * SECOND)


def meet() -> None:
    """Return when another call has begun, and take long enough for the watchdog to notice."""
    BOTH.wait()
    time.sleep(2 * TICK)


def test_functions_that_block_are_read_past_as_long_as_they_come(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, 'EAGER', 4)
    far = pair.far._link.reader
    with ThreadPoolExecutor(2) as threads:
        while not far._eager:  # until the watchdog had to help; not if both calls came at once
            list(threads.map(pair.near.call, [meet] * 2))
        monkeypatch.setattr(far, 'look', lambda stuck: None)
        list(threads.map(pair.near.call, [meet] * 40))


def test_what_came_before_the_wait_is_not_waited_for(pair: Pair) -> None:
    """Another thread has read the answer, and has left the baton: nothing more will come."""
    near = pair.near._link.reader
    wait_until(lambda: near.baton.free)
    call = PendingCall()
    call.done = True
    assert in_background(lambda: near.wait(call))
    assert pair.near.call(abs, -1) == 1  # nor does anybody keep the baton
