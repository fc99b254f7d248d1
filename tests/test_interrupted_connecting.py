"""Ctrl-C, or the SIGTERM of a server's child, between any two steps of what makes a connection."""

from __future__ import annotations

from pathlib import Path

from support.ends import run_script
from support.waiting import SECOND

# In two steps, as children of servers make their connections.
INTERRUPTED_AT_EVERY_STATEMENT = """
import sys
sys.path.insert(0, sys.argv[1])
from support.probes import interrupt, probe
probe(['across._core.connection', 'across._core.link'])
import socket
from across import Connection
from across._core.transports.sockets import SocketTransport

def make_interrupted(number):
    ours, theirs = socket.socketpair()
    with theirs, ours:
        conn = Connection.__new__(Connection)
        transport = SocketTransport(ours)
        reached = interrupt(number, lambda: conn.__init__(transport, None))
        theirs.shutdown(socket.SHUT_WR)  # or else it waits for a greeting
        made = getattr(conn, '_link', None)
        if made is not None:
            made.close()
            assert not made.is_up, number
    return reached

number = 1
while make_interrupted(number):
    number += 1
print(number)
"""


def test_interrupted_at_every_statement() -> None:
    tests = Path(__file__).parent
    numbers = run_script(INTERRUPTED_AT_EVERY_STATEMENT, tests, timeout=30 * SECOND)
    assert int(numbers) > 50
