"""Ending a link without waiting for it, and being told that it has ended: what servers need.

Layer: just below :mod:`.connection`. Loaded when first needed.
"""

from __future__ import annotations

import sys
import threading
from functools import partial

from .closing import begin_closing
from .states import CLOSED, OPEN
from .threads.cache import service_threads
from .threads.watchdog import watchdog
from .wire.frames import GOODBYE, encode

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from .link import Link


# Seconds that a handshake gets to end by itself when its connection is to be closed.
_PATIENCE = 0.5


def add_end_callback(link: Link, callback: Callable[[Any], object]) -> None:
    """Have a function called with the connection, in a service thread, once it has ended."""
    if not callable(callback):
        raise TypeError(f'callback must be a function, not {type(callback).__name__}')
    job = partial(_call_back, link, callback)
    with link.ending:
        if link.state != CLOSED:
            link.end_callbacks = [*(link.end_callbacks or ()), job]
            return
    service_threads.run(job)


def _call_back(link: Link, callback: Callable[[Any], object]) -> None:
    owner = link.live_owner
    if owner is None:
        return  # nobody has it any more
    try:
        callback(owner)
    except Exception:
        kind, exc, traceback = sys.exc_info()
        arguments = kind, exc, traceback, threading.current_thread()
        threading.excepthook(threading.ExceptHookArgs(arguments))


def finish(link: Link, drain: bool) -> None:
    """Begin to close a link, and don't wait for anything.

    Args:
        drain: Let calls of the peer that are in flight have their answers first.
    """
    if link.state < OPEN:  # not `opening`: a call may have been answered before that turns false
        service_threads.run(partial(_finish_opening, link, drain))
    elif drain:
        link.handlers.drain(partial(_part, link))
    else:
        _part(link)


def _finish_opening(link: Link, drain: bool) -> None:
    """The same for a peer that may know already that the connection is made: it gets a goodbye."""
    if link.opened.acquire(timeout=_PATIENCE):
        link.opened.release()
        finish(link, drain)
    else:
        link.cancel('it was closed')


def _part(link: Link) -> None:
    """Say goodbye; the link ends when the peer does so, too."""
    if begin_closing(link):
        link.sender.try_send(encode(GOODBYE))
        watchdog.rouse(link.pulse)  # some of it may be left over
