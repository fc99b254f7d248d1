"""Ctrl-C in a loop over items, and forks: no item is lost, and the connection stays usable."""

from __future__ import annotations

import pytest

from support.ends import Script, run_script
from support.interpreters import bare_command
from support.waiting import SECOND

# `list.extend` takes items without a Python instruction in between, where one could get lost.
COLLECT = """
import signal, sys
from across import Connection, Options

def numbers(count, pause):
    import time
    for i in range(count):
        if pause:
            time.sleep(pause)
        yield i

busy = missed = False

def handle(number, frame):
    global missed
    if busy:
        raise KeyboardInterrupt
    missed = True

count, pause = int(sys.argv[1]), float(sys.argv[2])
with Connection.from_command(sys.argv[3:], options=Options(timeout=30)) as conn:
    iterator = conn.iterate(numbers, count, pause)
    got = [next(iterator)]
    signal.signal(signal.SIGINT, handle)
    print('ready', flush=True)
    while len(got) < count:
        try:
            busy = True
            if missed:
                raise KeyboardInterrupt
            got.extend(iterator)
        except KeyboardInterrupt:
            busy = missed = False
            print('interrupted', flush=True)
    busy = False
    print(got == list(range(count)), len(got), conn.call(abs, -1), flush=True)
"""


@pytest.mark.parametrize(('count', 'pause'), [(2000, 0.0005), (400_000, 0)], ids=['slow', 'fast'])
def test_no_item_is_lost(count: int, pause: float) -> None:
    with Script(COLLECT, count, pause, *bare_command()) as script:
        assert script.line() == 'ready'
        for turn in range(5):
            script.interrupt()
            line = script.line()
            if line != 'interrupted':
                assert turn > 0  # it was faster than this loop
                break
        else:
            line = script.line()
        assert line.split() == ['True', str(count), '1']
        assert script.wait() == 0


FORKED = """
import os, sys
from across import Connection, DisconnectError

with Connection.from_command(sys.argv[1:]) as conn:
    stream = conn.open_stream()
    conn.submit(lambda stream: [stream.send(item) for item in stream], stream)
    iterator = conn.iterate(range, 5000)
    assert next(iterator) == 0
    child = os.fork()
    if not child:
        failed = 0
        for use in (stream.receive, lambda: stream.send(1), stream.wait_ended, conn.open_stream,
                    lambda: conn.iterate(range, 3)):
            try:
                use()
            except DisconnectError as exc:
                failed += 'forked' in str(exc)
        stream.close()
        iterator.close()
        del stream, iterator
        os._exit(failed)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stream.send('alive')
    print(stream.receive(10), sum(iterator))
"""


def test_streams_are_dead_in_a_forked_child() -> None:
    out = run_script(FORKED, *bare_command(), timeout=15 * SECOND)
    assert out.split() == ['5', 'alive', str(sum(range(5000)))]


TICKING = """
import os, signal, socket, sys, time
from across import Connection

def keep(stream):
    stream.receive()

conn, other = map(Connection.from_socket, socket.socketpair())
with conn, other:
    stream = conn.open_stream()
    future = conn.submit(keep, stream)
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    started = time.monotonic()
    try:
        stream.receive(timeout=1)
    except TimeoutError:
        print(time.monotonic() - started)
    signal.setitimer(signal.ITIMER_REAL, 0)
    stream.send(None)
    future.result()
"""


def test_signals_do_not_prolong_a_wait() -> None:
    assert 1 <= float(run_script(TICKING)) < 1 + 3 * SECOND
