"""Ctrl-C between any two lines of what packs a call: no reference is left behind."""

from __future__ import annotations

import linecache
import sys
from typing import TYPE_CHECKING, Any

import pytest

from across import ref
from across._core import calls, payloads
from across._core.threads.context import context
from across._core.values import pickling
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from support.peers import Pair

INTERRUPTED = {module.__file__ for module in (calls, payloads, pickling)}


class Thing:
    """Something to be referred to."""


def give(value: object) -> None:
    """What is called over there."""


def interrupt_at(line: int, func: Callable[[], object]) -> bool:
    """Call a function, and raise KeyboardInterrupt before the given line of ours that it runs.

    Returns:
        Whether it runs that many before it begins to send.
    """
    left = line
    sends = False

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left, sends
        if frame.f_code.co_filename not in INTERRUPTED:
            return None
        if event == 'line' and not sends:
            source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            sends = source.startswith('link.sender.send')
            # A nested `try:` is not covered by the outer one when traced; no handler runs there.
            left -= source != 'try:' and not sends
            if left == 0:
                sends = True
                raise KeyboardInterrupt
        return trace

    earlier = sys.gettrace()
    sys.settrace(trace)
    try:
        func()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(earlier)
        # Raised at the line that resets it, which no handler can do: nothing is called there.
        context.session = None
    return left == 0


@pytest.mark.parametrize('kind', ['call', 'submit', 'post'])
def test_interrupted_at_every_line(pair: Pair, kind: str) -> None:
    near, far = pair
    near.call(int)
    exports = near._link.exports

    def use() -> None:
        if kind == 'submit':
            near.submit(give, ref(Thing())).result()
        elif kind == 'post':
            near._link.calls.post(give, ref(Thing()))
        else:
            near.call(give, ref(Thing()))

    def is_empty() -> bool:
        if len(exports):
            far.call(int)  # releases leave with the next message
        return not len(exports)

    line = 1
    while interrupt_at(line, use):
        wait_until(is_empty, f'the references to be dropped after an interrupt at line {line}')
        line += 1
    assert line > 20
    assert near.is_connected()
    near.call(int)
    wait_until(is_empty)
