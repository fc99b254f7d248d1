"""Ctrl-C between any two steps of a call or a close: it can be gone through again."""

from __future__ import annotations

from pathlib import Path

import pytest

from across.servers import LocalConnectionHandler, Server
from support.ends import run_script
from support.waiting import SECOND

INTERRUPTED_AT_EVERY_STATEMENT = """
import gc, itertools, sys, weakref
sys.path.insert(0, sys.argv[1])
from support.probes import interrupt, probe
probe([
    'across._core.' + name
    for name in (
        'calls', 'closing', 'connection', 'ending', 'idle', 'link', 'reader', 'pulse',
        'threads.baton', 'threads.outbox', 'threads.parking', 'threads.watchdog',
        'transports.sockets', 'transports.streams', 'transports.wakeup',
    )
])
from across import Connection
from support.waiting import SECOND, wait_until

def call():
    assert conn.call(abs, -3) == 3

def is_gone():
    gc.collect()
    return link() is None

kind, port = sys.argv[2], int(sys.argv[3])
for number in itertools.count(1):
    conn = Connection.from_tcp('127.0.0.1', port)
    link = weakref.ref(conn._link)
    call()
    wait_until(lambda: conn._link.reader.idle.parked, 'it to be parked', 10 * SECOND)
    more = interrupt(number, call if kind == 'call' else conn.close)
    if kind == 'call':
        call()
    conn.close()
    del conn
    wait_until(is_gone, f'nothing to keep the connection, with interrupt {number}', 10 * SECOND)
    if not more:
        break
print(number)
"""


@pytest.mark.parametrize('kind', ['call', 'close'])
def test_interrupted_at_every_statement(kind: str) -> None:
    with Server.listen_tcp('127.0.0.1', 0, handler=LocalConnectionHandler()) as server:
        numbers = run_script(
            INTERRUPTED_AT_EVERY_STATEMENT,
            Path(__file__).parent,
            kind,
            server.address[1],
            timeout=40 * SECOND,
        )
    assert int(numbers) > 40
