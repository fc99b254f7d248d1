"""Ctrl-C at any moment, thousands of times, while the main thread is busy with a connection."""

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

# Another process interrupts this one up to a millisecond after it is told so, once or several times
# in a row: a thread of this one would only do so when it has the interpreter lock.
INTERRUPTED = """
import itertools, os, random, signal, ssl, subprocess, sys, threading, time
import across

kind, seconds, port, authority = sys.argv[1:]
options = across.Options(
    timeout=20, ssl_context=ssl.create_default_context(cafile=authority) if authority else None
)
conn = across.Connection.from_tcp('127.0.0.1', int(port), options=options)

def call():
    assert conn.call(abs, -3) == 3

def large():
    assert len(conn.call(bytes, 100_000)) == 100_000

def send_large():
    assert conn.call(len, bytes(300_000)) == 300_000

def proxy():
    assert list(conn.call_ref(list, (1, 2, 3))) == [1, 2, 3]

def call_back():
    assert list(conn.call(map, across.ref(str), range(5))) == list('01234')

def futures():
    assert [each.result() for each in [conn.submit(abs, -i) for i in range(5)]] == [0, 1, 2, 3, 4]

def iterate():
    assert sum(conn.iterate(range, 300)) == 44850

numbers = itertools.count(1)
last = 0

def echo():
    global last
    count = random.choice([1, 5, 300])
    for each in itertools.islice(numbers, count):
        stream.send(each)
    mark = next(numbers)
    stream.send(mark)
    while last != mark:
        item = stream.receive(timeout=20)
        assert item > last
        last = item

def echo_back(stream):
    for each in stream:
        stream.send(each)

sent = []

def send():
    item = next(numbers)
    stream.send(item)
    sent.append(item)

use = globals()[kind.split()[0]]
if use in (echo, send):
    stream = conn.open_stream()
    collected = conn.submit(echo_back if use is echo else list, stream)
if kind == 'call with other threads':
    def call_on():
        while conn.is_connected():
            try:
                conn.call(abs, -5)
            except across.DisconnectError:
                return
    for _ in range(3):
        threading.Thread(target=call_on, daemon=True).start()

gunner = subprocess.Popen([sys.executable, '-I', '-S', '-c', '''
import os, random, signal, sys, time
while os.read(0, 1):
    end = time.perf_counter() + random.random() * 0.001
    while time.perf_counter() < end:
        pass
    os.kill(os.getppid(), signal.SIGINT)
    for _ in sys.argv[1:]:
        end = time.perf_counter() + random.random() * 0.0001
        while time.perf_counter() < end:
            pass
        os.kill(os.getppid(), signal.SIGINT)
''', *['again'] * 5 * kind.endswith('in a row')], stdin=subprocess.PIPE, bufsize=0)
armed = False  # whether the loop below is where it catches what is raised

def interrupt(number, frame):
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt)
use()
interrupts = 0
deadline = time.monotonic() + float(seconds)
while time.monotonic() < deadline:
    try:
        armed = True
        gunner.stdin.write(b'x')
        again = time.monotonic() + 0.05
        while True:
            use()
            if time.monotonic() > again:  # Python swallows what is raised in a finalizer
                break
        armed = False
    except KeyboardInterrupt:
        armed = False
        interrupts += 1
armed = False
gunner.stdin.close()
gunner.wait()
assert conn.call(abs, -1) == 1
if use is send:
    stream.end()
    items = collected.result()
    assert items == sorted(set(items))
    assert set(sent) <= set(items)

def waiting():
    # Calls of threads over there: callbacks that were interrupted have been answered all the same.
    return len(across.get_connection()._link.calls.pending)

if 'other' not in kind:
    for _ in range(100):
        if not conn.call(waiting) and not conn._link.handlers.busy:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(f'{conn.call(waiting)} calls over there wait for ever')
conn.close()
print(interrupts)
"""

KINDS = [
    'call',
    'call with other threads',
    'call in a row',
    'large',
    'send_large',
    'proxy',
    'call_back',
    'call_back in a row',
    'futures',
    'iterate',
    'iterate in a row',
    'futures in a row',
    'echo',
    'echo in a row',
    'send',
    'send in a row',
]


@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'TLS'])
@pytest.mark.parametrize('kind', KINDS)
def test_nothing_is_lost(kind: str, tls: bool, certificates: Certificates) -> None:
    options = Options(ssl_context=certificates.server_context() if tls else None)
    authority = certificates.authority.certificate if tls else ''
    with (
        Server.listen_tcp(
            '127.0.0.1', 0, handler=LocalConnectionHandler(options=options)
        ) as server,
        Script(INTERRUPTED, kind, 1.0, server.address[1], authority) as script,
    ):
        assert int(script.line(15 * SECOND)) > 10
        assert script.wait() == 0, script.errors()
