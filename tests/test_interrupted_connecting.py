"""Ctrl-C, or the SIGTERM of a server's child, between any two lines of what makes a connection."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from across import Connection
from across._core import connection, link
from across._core.transports.sockets import SocketTransport

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = {connection.__file__, link.__file__}


def make_interrupted(line: int) -> bool:
    """Make a connection in two steps, as children of servers do, and close it.

    Args:
        line: Before which line of ours, counted as they run, KeyboardInterrupt is raised.

    Returns:
        Whether so many lines run.
    """
    left = line

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in INTERRUPTED:
            return None
        if event == 'line':
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    ours, theirs = socket.socketpair()
    earlier = sys.gettrace()
    with theirs, ours:
        conn = Connection.__new__(Connection)
        sys.settrace(trace)
        try:
            conn.__init__(SocketTransport(ours), None)  # type: ignore[misc]
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(earlier)
        theirs.shutdown(socket.SHUT_WR)  # or else it waits for a greeting
        made = getattr(conn, '_link', None)
        if made is not None:
            made.close()
            assert not made.is_up
    return left <= 0


def test_interrupted_at_every_line() -> None:
    line = 1
    while make_interrupted(line):
        line += 1
    assert line > 50
