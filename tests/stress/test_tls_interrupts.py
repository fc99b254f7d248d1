"""Signals that come at any moment while the main thread uses a connection over TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from across import Options
from across.servers import LocalConnectionHandler, Server
from support.ends import Script
from support.waiting import SECOND

if TYPE_CHECKING:
    from support.certificates import Certificates

pytestmark = pytest.mark.stress

# An alarm comes up to some milliseconds after each call has begun: amid OpenSSL, before or after.
ALARMS = """
import random, signal, ssl, sys, time
from across import Connection, DisconnectError, Options

port, authority, seconds = sys.argv[1:]
options = Options(timeout=20, ssl_context=ssl.create_default_context(cafile=authority))
count, lost, interrupts, armed = 0, 0, 0, False
large = bytes(range(256)) * 400

def interrupt(number, frame):
    global interrupts, armed
    if armed:
        armed = False
        interrupts += 1
        raise KeyboardInterrupt

def connect():
    conn = Connection.from_tcp('127.0.0.1', int(port), options=options)
    conn.call(int)
    return conn

signal.signal(signal.SIGALRM, interrupt)
noise = random.Random(5)
deadline = time.monotonic() + float(seconds)
conn = connect()
while time.monotonic() < deadline:
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, noise.random() * 0.01 + 0.00002)
        assert conn.call(abs, -count) == count
        if count % 7 == 0:
            assert conn.call(bytes.lower, large) == large.lower()
        armed = False
        count += 1
    except KeyboardInterrupt:
        pass
    except DisconnectError as exc:
        armed = False
        assert 'interrupted' in str(exc), exc
    if not conn.is_connected():
        lost += 1
        try:
            conn.close()
        except DisconnectError as exc:
            assert 'interrupted' in str(exc), exc
        conn = connect()
signal.setitimer(signal.ITIMER_REAL, 0)
conn.close()
print(count, interrupts, lost)
"""


def test_no_byte_is_lost_or_doubled(certificates: Certificates) -> None:
    """Else the connection would break, or a call return what is not its own."""
    options = Options(ssl_context=certificates.server_context())
    with Server.listen_tcp(
        '127.0.0.1', 0, handler=LocalConnectionHandler(options=options)
    ) as server:
        arguments = server.address[1], certificates.authority.certificate, 2 * SECOND
        with Script(ALARMS, *arguments) as script:
            count, interrupts, lost = map(int, script.line(15 * SECOND).split())
            assert script.wait() == 0, script.errors()
    assert count > 10
    assert interrupts > 10
    assert lost == 0
