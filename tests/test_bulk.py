"""Large values: not copied more than they must be, both ways at once, nested, from many threads."""

from __future__ import annotations

import array
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest

from across import Connection, OperationError, Options, get_connection, ref
from across._core.transports.sockets import SocketTransport
from support.peers import Pair, connected_pair, environment, serving_command
from support.waiting import SECOND

LIMIT = 15 * SECOND
MIB = 1 << 20
BULK = 64 * MIB

MEASURE = """
def held(name):
    with open('/proc/self/status') as status:
        line = next(line for line in status if line.startswith(name))
    return int(line.split()[1]) << 10

before = held('VmRSS')

def peak():
    return held('VmHWM') - before
"""

ECHO = """
import json, sys
from across import Connection
{measure}
size, command, path = json.loads(sys.argv[1])
{connect}
with conn:
    conn.execute('import numpy, concurrent.futures')
    import numpy, concurrent.futures
    peak_there = conn.execute({measure!r} + 'import across; across.ref(peak)')
    before = held('VmRSS')
    value = {make}
    result = conn.{method}(lambda value: value, value){ending}
    peaks = peak(), peak_there()
    print(json.dumps([*peaks, type(result) is type(value) and {check}]))
"""


ACCEPT = """
import atexit, socket, subprocess
with socket.socket(socket.{family}) as server:
    server.bind({address})
    server.listen()
    code = 'from across import Connection; Connection.' + {door} + '.wait()'
    peer = subprocess.Popen([sys.executable, '-c', code])
    atexit.register(peer.wait)
    conn = Connection.from_socket(server.accept()[0])
"""
CONNECT = {
    'pipes': 'conn = Connection.from_command(command)',
    'tcp': ACCEPT.format(
        family='AF_INET', address="('127.0.0.1', 0)", door="'from_tcp' + repr(server.getsockname())"
    ),
    'unix': ACCEPT.format(family='AF_UNIX', address='path', door="'from_unix(' + repr(path) + ')'"),
}


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize(
    ('over', 'method'),
    [('pipes', 'call'), ('pipes', 'submit'), ('tcp', 'call'), ('unix', 'call')],
)
@pytest.mark.parametrize(
    ('make', 'check'),
    [
        ('b"x" * size', 'result == value'),
        ('bytearray(b"x") * size', 'result == value'),
        ('numpy.arange(size // 8)', 'bool((result == value).all())'),
        ('dict(parts=[b"x" * (size // 4) for _ in range(4)])', 'result == value'),
        ('numpy.ones((2, size // 2), "u1")', 'result.shape == value.shape'),
    ],
)
def test_peak_of_an_echo(make: str, check: str, over: str, method: str, tmp_path: Path) -> None:
    """At most three times the value on either side; the value itself counts."""
    ending = '.result()' if method == 'submit' else ''
    code = ECHO.format(
        measure=MEASURE,
        connect=CONNECT[over],
        make=make,
        check=check,
        method=method,
        ending=ending,
    )
    arguments = [BULK, serving_command(), str(tmp_path / 'socket')]
    run = subprocess.run(
        [sys.executable, '-c', code, json.dumps(arguments)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert run.stderr == ''
    here, there, equal = json.loads(run.stdout)
    assert equal
    assert here <= 3 * BULK
    assert there <= 3 * BULK


# -------------------------------------------------------------------------------- kinds of it


@pytest.fixture
def installed_peer() -> Any:
    with Connection.from_command(serving_command()) as conn:
        yield conn


def same(value: Any) -> Any:
    return value


@pytest.mark.parametrize('size', [(1 << 16) - 1, 1 << 16, (1 << 16) + 1, 3 * MIB])
@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, array.array, str, list])
def test_sizes_around_the_limit(pair: Pair, kind: Any, size: int) -> None:
    content = os.urandom(size)
    make: dict[Any, Any] = {
        memoryview: lambda: memoryview(content),
        array.array: lambda: array.array('B', content),
        str: lambda: content.decode('latin-1'),
        list: lambda: [content, bytearray(content), content],
    }
    value = make.get(kind, lambda: kind(content))()
    if kind is memoryview:
        assert pair.near.call(bytes, value) == content
        return
    found = pair.near.call(same, value)
    assert type(found) is kind
    assert found == value
    if kind is bytearray:
        found.append(1)  # it is its owner's to change


def test_memoryview_arrives_as_something_like_it(pair: Pair) -> None:
    for size in (10, MIB):
        found = pair.near.call(same, memoryview(bytes(size)))
        assert bytes(found) == bytes(size)


def test_arrays_can_be_written_to(installed_peer: Connection) -> None:
    array = numpy.arange(MIB)
    found = installed_peer.call(lambda array: array, array)
    found[0] = 5
    assert array[0] == 0
    doubled = installed_peer.call(lambda array: array.__imul__(2), array)
    assert (doubled == array * 2).all()


@pytest.mark.parametrize(
    'expression',
    [
        'base[::2]',
        'base.T',
        'numpy.asfortranarray(base)',
        'base.astype("O")[:5]',
        'base[:0]',
        'base.view([("a", "i8")])',
        'numpy.ma.masked_array(base, base > 5)',
    ],
)
def test_arrays_of_other_layouts(installed_peer: Connection, expression: str) -> None:
    base = numpy.arange(1 << 16).reshape(256, 256)
    value = eval(expression, {'base': base, 'numpy': numpy})
    found = installed_peer.call(lambda value: value, value)
    assert found.shape == value.shape
    assert found.dtype == value.dtype
    assert found.tobytes() == value.tobytes() or (found == value).all()


def test_same_buffer_twice(pair: Pair) -> None:
    value = bytes(MIB)
    first, second = pair.near.call(same, (value, value))
    assert first == second == value
    assert first is second


def test_argument_is_sent_before_the_call_returns_control(pair: Pair) -> None:
    """What is changed after `submit` came back does not change what was sent."""
    content = bytearray(b'a' * 8 * MIB)
    futures = []
    for _ in range(5):
        futures.append(pair.near.submit(bytes, content))
        content[:] = bytes([content[0] + 1]) * len(content)
    found = [future.result(LIMIT) for future in futures]
    assert [set(data) for data in found] == [{ord(letter)} for letter in 'abcde']


# -------------------------------------------------------------------------- both ways at once


def send_back(count: int, size: int) -> list[int]:
    conn = get_connection()
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: int(conn.call(len, bytes(size))), range(count)))


def test_both_sides_send_more_than_all_buffers_hold(pair: Pair) -> None:
    size = 20 * MIB
    with ThreadPoolExecutor(9) as threads:
        theirs = threads.submit(pair.near.call, send_back, 8, size)
        ours = [threads.submit(pair.near.call, len, bytes(size)) for _ in range(8)]
        assert [future.result(LIMIT) for future in ours] == [size] * 8
        assert theirs.result(LIMIT) == [size] * 8


def test_both_sides_send_at_once_to_a_real_child(peer: Connection) -> None:
    def echo_and_send(data: bytes, count: int) -> tuple[bytes, list[int]]:
        from concurrent.futures import ThreadPoolExecutor

        import across

        conn = across.get_connection()
        with ThreadPoolExecutor(count) as threads:
            sent = [threads.submit(conn.call, len, data) for _ in range(count)]
            return data, [future.result() for future in sent]

    data = os.urandom(MIB) * 20
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(peer.call, echo_and_send, data, 2) for _ in range(4)]
        for future in futures:
            assert future.result(LIMIT) == (data, [len(data)] * 2)


def test_futures_both_ways(pair: Pair) -> None:
    size = 20 * MIB
    ours = [pair.near.submit(bytes, size) for _ in range(4)]
    theirs = [pair.far.submit(len, bytes(size)) for _ in range(4)]
    assert [len(future.result(LIMIT)) for future in ours] == [size] * 4
    assert [future.result(LIMIT) for future in theirs] == [size] * 4


# -------------------------------------------------------------------- nested, and many threads


def nest(depth: int, data: bytes) -> int:
    return 0 if not depth else int(get_connection().call(nest, depth - 1, data)) + 1


@pytest.mark.parametrize('size', [0, MIB])
def test_nested_thirty_deep(pair: Pair, size: int) -> None:
    assert pair.near.call(nest, 30, bytes(size)) == 30


def test_nested_from_several_threads(pair: Pair) -> None:
    with ThreadPoolExecutor(8) as threads:
        conns = [pair.near, pair.far] * 4
        found = threads.map(lambda conn: conn.call(nest, 12, bytes(1 << 17)), conns)
        assert list(found) == [12] * 8


def test_nested_in_a_real_child(peer: Connection) -> None:
    def ping(pong: Any, depth: int) -> int:
        return 0 if not depth else 1 + int(pong(ping_here, depth - 1))

    ping_here = None

    def pong(_: Any, depth: int) -> int:
        return 0 if not depth else 1 + int(peer.call(ping, ref(pong), depth - 1))

    assert peer.call(ping, ref(pong), 30) == 30


def test_many_threads_in_both_directions(pair: Pair) -> None:
    count, rounds = 32, 20

    def work(number: int) -> None:
        conn = pair[number % 2]
        for turn in range(rounds):
            data = bytes([number]) * (turn * 997)
            assert conn.call(same, data) == data

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(work, range(count)))


def test_on_systems_where_a_socket_cannot_wait_in_recv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SocketTransport, '_waits_in_recv', False)
    with connected_pair() as pair:
        test_both_sides_send_more_than_all_buffers_hold(pair)
        test_many_threads_in_both_directions(pair)


# ------------------------------------------------------------------------------------- limits


def test_frame_over_the_limit_is_an_error_of_that_call() -> None:
    with connected_pair(far=Options(max_frame_size=MIB)) as pair:
        with pytest.raises(OperationError, match='max_frame_size'):
            pair.near.call(len, bytes(2 * MIB))
        assert pair.near.call(len, bytes(MIB // 2)) == MIB // 2
        with pytest.raises(OperationError, match='max_frame_size'):
            pair.far.call(bytes, 2 * MIB)
        assert pair.far.call(len, '') == 0


def test_interrupted_bulk_leaves_the_connection_usable(peer: Connection) -> None:
    def interrupt(pid: int, data: bytes) -> None:
        import os
        import signal

        os.kill(pid, signal.SIGINT)

    def bulk_call() -> None:
        peer.call(interrupt, os.getpid(), bytes(32 * MIB))
        threading.Event().wait(LIMIT)  # the signal may be slower than the result

    with pytest.raises(KeyboardInterrupt):
        bulk_call()
    assert peer.call(len, bytes(8 * MIB)) == 8 * MIB
