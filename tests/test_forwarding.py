"""Standard streams: what is printed over there never reaches the protocol, and appears here."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, DisconnectError, OperationError, Options
from across.servers import (
    BIOSConnectionHandler,
    LocalConnectionHandler,
    ProcessConnectionHandler,
    Server,
)
from support.ends import finish
from support.interpreters import bare_command
from support.peers import connected_pair, serving_command
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 5 * SECOND
FORWARD = Options(forward_stdio=True)

SPEAK = """
import os, subprocess, sys
print('print')
os.write(1, b'write\\n')
subprocess.check_call(['sh', '-c', 'echo child'])
os.system('echo shell')
sys.__stdout__.write('stream\\n')
print('error', file=sys.stderr)
os.write(2, b'error write\\n')
subprocess.check_call(['sh', '-c', 'echo error child >&2'])
"""
SPOKEN = 'print\nwrite\nchild\nshell\nstream\n'
COMPLAINED = 'error\nerror write\nerror child\n'


@pytest.fixture
def forwarding() -> Iterator[Connection]:
    with Connection.from_command(bare_command(), options=FORWARD) as conn:
        yield conn


# ------------------------------------------------------------------------------- by default


@pytest.mark.parametrize('kind', ['bare', 'installed'])
def test_output_goes_to_the_standard_error_of_the_remote(kind: str) -> None:
    command = bare_command() if kind == 'bare' else serving_command()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr:
        with Connection.from_process(process) as conn:
            conn.execute(SPEAK)
            assert conn.execute('2 + 2') == 4
        shown = process.stderr.read().decode().splitlines()
    # One pipe takes all; Python's buffers decide the order.
    assert sorted(shown) == sorted((SPOKEN + COMPLAINED).splitlines())


def test_nothing_appears_here(peer: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    peer.call(print, 'over there')
    assert capsys.readouterr() == ('', '')


def test_standard_input_is_empty(peer: Connection, forwarding: Connection) -> None:
    code = """
        import os, subprocess, sys
        sys.stdin.read(), os.read(0, 9), subprocess.check_output('cat')
    """
    assert peer.execute(code) == ('', b'', b'')
    assert forwarding.execute(code) == ('', b'', b'')
    with pytest.raises(EOFError):
        peer.execute('input()')


def test_closing_the_streams_over_there_harms_nothing(peer: Connection) -> None:
    peer.execute('import os, sys\nsys.stdout.close(); os.close(1); os.close(0)')
    assert peer.execute('2 + 2') == 4


# ---------------------------------------------------------------------------------- forwarded


def test_streams_are_kept_apart_and_in_order(
    forwarding: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    forwarding.execute('import sys; sys.stdout.reconfigure(line_buffering=True)')
    forwarding.execute(SPEAK)
    assert capsys.readouterr() == (SPOKEN, COMPLAINED)


def test_installed_peer(capsys: pytest.CaptureFixture[str]) -> None:
    with Connection.from_command(serving_command(), options=FORWARD) as conn:
        conn.call(print, 'installed')
        assert capsys.readouterr().out == 'installed\n'


@pytest.mark.parametrize('kind', [ProcessConnectionHandler, BIOSConnectionHandler])
def test_server_with_a_process_for_each_client(
    kind: type[ProcessConnectionHandler], capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        Server.listen_tcp('127.0.0.1', 0, handler=kind()) as server,
        Connection.from_tcp(*server.address, options=FORWARD) as conn,
    ):
        conn.execute('import sys; sys.stdout.reconfigure(line_buffering=True)')
        conn.execute(SPEAK)
        assert capsys.readouterr() == (SPOKEN, COMPLAINED)


def test_server_in_one_process_refuses() -> None:
    """Its streams belong to all clients, and to the server."""
    with Server.listen_tcp('127.0.0.1', 0, handler=LocalConnectionHandler()) as server:
        conn = Connection.from_tcp(*server.address, options=FORWARD)
        with pytest.raises(DisconnectError) as caught:
            conn.call(int)
        finish(conn)
    assert 'cannot forward its standard streams (option forward_stdio)' in str(caught.value)
    assert 'they do not belong to this connection alone' in str(caught.value)


def test_output_is_there_before_the_call_returns(
    forwarding: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(300):
        forwarding.call(print, number, end='')
        assert capsys.readouterr().out == str(number)


def test_before_a_call_fails(forwarding: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        forwarding.execute('print("last words"); 1 / 0')
    assert capsys.readouterr().out == 'last words\n'


def test_before_a_future_is_done(
    forwarding: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    future = forwarding.submit(print, 'future')
    future.add_done_callback(lambda _: found.append(capsys.readouterr().out))
    future.result(LIMIT)
    wait_until(lambda: found)
    assert found == ['future\n']


def test_before_a_nested_call_runs(
    forwarding: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    from across import ref

    def work(look: Any) -> None:
        print('before')
        look()
        print('after')

    seen: list[str] = []
    forwarding.call(work, ref(lambda: seen.append(capsys.readouterr().out)))
    seen.append(capsys.readouterr().out)
    assert ''.join(seen) == 'before\nafter\n'
    assert seen[-1].endswith('after\n')


def test_proxies_print_too(forwarding: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    proxy = forwarding.execute('import across, sys; across.ref(sys.stdout)')
    proxy.write('through a proxy')
    assert capsys.readouterr().out == 'through a proxy'


def test_text_is_not_mangled(forwarding: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'äöü€😀\t\r\n' * 5000  # whose bytes do not end where a read ends
    forwarding.execute('import sys; sys.stdout.reconfigure(encoding="utf-8", newline="")')
    forwarding.call(print, text, end='')
    assert capsys.readouterr().out.replace('\r', '') == text.replace('\r', '')


def test_characters_that_come_in_parts(
    forwarding: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    for byte in '€😀'.encode():
        forwarding.execute(f'import os; os.write(1, bytes([{byte}]))')
    assert out.getvalue() == '€😀'


def test_bytes_that_are_no_text(
    forwarding: Connection, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = bytes(range(256))
    forwarding.execute(f'import os; os.write(1, {data!r})')
    assert capfdbinary.readouterr().out == data


def test_streams_that_were_replaced(
    forwarding: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is `sys.stdout` at the time, as for `print`."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    monkeypatch.setattr(sys, 'stderr', err)
    forwarding.execute(SPEAK)
    assert (sorted(out.getvalue()), err.getvalue()) == (sorted(SPOKEN), COMPLAINED)


def test_no_stream_at_all(forwarding: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdout', None)
    forwarding.call(print, 'for nobody')
    assert forwarding.execute('1') == 1


def test_broken_stream_breaks_no_call(
    forwarding: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, 'stdout', closed)
        forwarding.call(print, 'for nobody')
    out = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    forwarding.call(print, 'for us')
    assert out.getvalue() == 'for us\n'


def test_much_output(forwarding: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    size = 8 << 20
    forwarding.execute(
        'import os\nfor n in range(8): os.write(1, bytes([65 + n]) * (size // 8))', size=size
    )
    written = out.getvalue()
    assert len(written) == size
    assert written[:: size // 8] == 'ABCDEFGH'


class SlowStream(io.StringIO):
    """Takes nothing until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.opened.wait(LIMIT)
        return super().write(text)


def test_slow_stream_stops_who_prints(
    forwarding: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It must not fill the memory of either side."""
    out, progress = SlowStream(), tmp_path / 'progress'
    progress.touch()
    monkeypatch.setattr(sys, 'stdout', out)

    def speak(path: str) -> None:
        import os

        with open(path, 'wb', buffering=0) as progress:
            for _ in range(256):
                os.write(1, b'x' * (1 << 16))
                progress.write(b'.')

    future = forwarding.submit(speak, str(progress))
    assert out.entered.wait(LIMIT)
    before = -1
    while before < (now := progress.stat().st_size):
        before = now
        time.sleep(100 * MS)  # much longer than one step takes
    assert before < 64  # of 64 KiB each
    out.opened.set()
    future.result(LIMIT)
    assert len(out.getvalue()) == 256 << 16


def test_threads_over_there_print_at_any_time(
    forwarding: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while no call runs."""
    out = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    start = forwarding.execute("""
        import across, threading
        start = threading.Event()
        threading.Thread(target=lambda: start.wait() and print('from a thread', flush=True)).start()
        across.ref(start)
    """)
    start.set()
    wait_until(lambda: out.getvalue() == 'from a thread\n', 'the output')


def test_output_of_many_calls_at_once_is_whole(
    forwarding: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    line = 'x' * 1000
    futures = [forwarding.submit(print, f'{number} {line}') for number in range(50)]
    for future in futures:
        future.result(LIMIT)
    assert sorted(out.getvalue().splitlines()) == sorted(f'{n} {line}' for n in range(50))


def test_last_output_is_not_lost_when_the_connection_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', out)
    with Connection.from_command(bare_command(), options=FORWARD) as conn:
        conn.call(print, 'last')
    assert out.getvalue() == 'last\n'


def test_output_of_the_process_s_end_goes_to_its_standard_error() -> None:
    process = subprocess.Popen(
        bare_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr:
        with Connection.from_process(process, options=FORWARD) as conn:
            conn.execute('import atexit; atexit.register(print, "the end")')
        assert process.stderr.read() == b'the end\n'


def test_two_peers_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (Connection.from_command(bare_command(), options=FORWARD) for _ in range(2))
    with first, second:
        for number in range(20):
            (first, second)[number % 2].call(print, number)
    assert capsys.readouterr().out.split() == [str(number) for number in range(20)]


def test_peer_that_has_its_streams_for_others() -> None:
    """Both ends are in this process, which did not connect over its standard streams."""
    with pytest.raises(OperationError, match='standard streams'), connected_pair(near=FORWARD):
        pass
