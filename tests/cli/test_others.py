"""``across ping``, ``info`` and ``serve``."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from across import Connection, DisconnectError, OperationError
from cli.program import run_program, running, serving
from support.ends import stop_process
from support.interpreters import Interpreter, bare_command
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from pathlib import Path

TIME = r'\d+\.\d{3} ms'


def test_ping() -> None:
    status, out, err = run_program('ping', '-c', '3', 'local:')
    assert (status, err) == (0, '')
    lines = [f'connected in {TIME}', *(f'call {n}: {TIME}' for n in (1, 2, 3))]
    assert re.fullmatch('\n'.join([*lines, f'3 calls: min {TIME}, mean {TIME}, max {TIME}\n']), out)


def test_one_ping() -> None:
    assert '\n1 call: min ' in run_program('ping', 'local:', '-c1').out


def test_interrupted_ping_sums_up() -> None:
    with running('ping', '-c', '1000000000', 'local:') as program:
        while not program.read_line().startswith('call 3'):
            pass
        program.send_signal(signal.SIGINT)
        status, out, err = program.finish()
    assert (status, err) == (130, '')
    assert re.search(r'\n\d+ calls: min ', '\n' + out)


def test_info(interpreter: Interpreter) -> None:
    status, out, err = run_program('info', '--', *bare_command(interpreter))
    assert (status, err) == (0, '')
    facts = dict(re.split(r':\s+', line, maxsplit=1) for line in out.splitlines())
    assert list(facts) == ['host', 'pid', 'python', 'implementation', 'platform', 'executable']
    assert facts['host'] == os.uname().nodename
    assert facts['python'].startswith(interpreter.name + '.')
    assert facts['implementation'] == 'CPython'
    assert facts['executable'] == interpreter.path


def pids_of_two_clients(target: str) -> tuple[int, int]:
    host, port = target.partition('://')[2].split(':')
    with Connection.from_tcp(host, int(port)) as one, Connection.from_tcp(host, int(port)) as two:
        return one.call(os.getpid), two.call(os.getpid)


@pytest.mark.parametrize('handler', ['process', 'bios', 'local'])
def test_handlers(handler: str) -> None:
    with serving('tcp://127.0.0.1:0', '--handler', handler) as target:
        one, two = pids_of_two_clients(target)
    assert (one == two) == (handler == 'local')


def test_a_process_for_each_client_unless_told_otherwise() -> None:
    with serving('tcp://127.0.0.1:0') as target:
        one, two = pids_of_two_clients(target)
    assert one != two


def test_unix_socket_is_private_and_removed(tmp_path: Path) -> None:
    path = tmp_path / 'socket'
    with serving(f'unix://{path}'):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_ipv6() -> None:
    if not socket.has_ipv6 or not os.path.exists('/proc/net/if_inet6'):
        pytest.skip('no IPv6 on this machine')
    with serving('tcp://[::1]:0') as target:
        assert target.startswith('tcp://[::1]:')
        assert run_program('exec', target, '1') == (0, '1\n', '')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_connections_open(number: signal.Signals) -> None:
    with running('serve', 'tcp://127.0.0.1:0', '--drain', '0') as server:
        target = server.read_line().partition('listening on ')[2]
        with running('exec', target, 'print("in", flush=True); input()') as client:
            assert client.read_line() == 'in'
            server.send_signal(number)
            assert server.finish() == (0, '', '')
            result = client.finish()
    assert (result.status, result.out) == (1, '')
    assert result.err.startswith('across: no connection to ')


def test_calls_finish_while_it_drains() -> None:
    with running('serve', 'tcp://127.0.0.1:0', '--drain', '60') as server:
        target = server.read_line().partition('listening on ')[2]
        host, port = target.partition('://')[2].split(':')
        with running('exec', target, 'print("in", flush=True); input()') as client:
            assert client.read_line() == 'in'
            server.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(host, int(port)), 'the server to stop listening')
            assert client.stdin is not None
            client.stdin.write('a line\n')
            client.stdin.flush()
            assert client.finish() == (0, "'a line'\n", '')
            assert server.finish() == (0, '', '')


@pytest.mark.parametrize('drain', ['soon', '-1', 'nan', 'inf'])
def test_senseless_time_to_drain(drain: str) -> None:
    result = run_program('serve', 'tcp://127.0.0.1:0', f'--drain={drain}')
    assert result.status == 2
    assert f'must be a number of seconds, 0 or more, not {drain!r}' in result.err


def test_second_signal_does_not_wait_for_clients() -> None:
    with running('serve', 'tcp://127.0.0.1:0') as server:
        target = server.read_line().partition('listening on ')[2]
        host, port = target.partition('://')[2].split(':')
        with Connection.from_tcp(host, int(port)) as conn:
            pid = conn.call(os.getpid)
            stop_process(pid)  # it won't end by itself
            server.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(host, int(port)), 'the server to stop listening')
            server.send_signal(signal.SIGTERM)
            assert server.finish() == (0, '', '')
            wait_until(lambda: not psutil.pid_exists(pid), 'the end of the process')
            with suppress(DisconnectError):  # unless it could still say goodbye
                conn.close()


def test_as_many_connections_as_it_may_have(tmp_path: Path) -> None:
    with (
        serving(f'unix://{tmp_path}/socket', '--max-connections', '1') as target,
        Connection.from_unix(f'{tmp_path}/socket') as conn,
    ):
        conn.call(abs, -1)
        result = run_program('exec', target, '1')
        assert (result.status, result.out) == (1, '')
        assert 'this server has its 1 connections already' in result.err
        assert conn.call(abs, -1) == 1


@pytest.mark.parametrize('handler', ['process', 'local'])
def test_limits_of_one_client(handler: str, tmp_path: Path) -> None:
    def stay() -> None:
        import time

        import across

        while not across.current_call().cancelled:
            time.sleep(0.001)

    limits = '--max-calls', '1', '--max-frame-size', '65536'
    with (
        serving(f'unix://{tmp_path}/socket', '--handler', handler, *limits),
        Connection.from_unix(f'{tmp_path}/socket') as conn,
    ):
        with pytest.raises(OperationError, match='accepts messages of up to 65536 bytes'):
            conn.call(len, bytes(65536))
        staying = conn.submit(stay)
        with pytest.raises(OperationError, match='has 1 calls of this connection in flight'):
            conn.call(abs, -1)
        staying.cancel()


@pytest.mark.parametrize('handler', ['process', 'local'])
def test_a_client_that_says_nothing(handler: str, tmp_path: Path) -> None:
    endpoint = f'unix://{tmp_path}/socket'
    with (
        serving(endpoint, '--handler', handler, '--timeout', str(500 * MS)),
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.settimeout(10 * SECOND)
        silent.connect(f'{tmp_path}/socket')
        while silent.recv(1000):
            pass  # it greets, and then gives up


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it stopped this moment
    return False


def test_exposed_address_is_warned_about() -> None:
    with running('serve', 'tcp://0.0.0.0:0') as server:
        assert server.read_line().startswith('listening on tcp://0.0.0.0:')
        server.send_signal(signal.SIGTERM)
        status, out, err = server.finish()
    assert (status, out) == (0, '')
    assert err.startswith('across: warning: serving 0.0.0.0 without authentication')
    assert err.count('\n') == 1


def test_port_in_use() -> None:
    with socket.create_server(('127.0.0.1', 0)) as sock:
        port = sock.getsockname()[1]
        result = run_program('serve', f'tcp://127.0.0.1:{port}')
    sentence = f'across: cannot listen on 127.0.0.1, port {port}: Address already in use\n'
    assert result == (1, '', sentence)


def test_path_in_use(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_text('precious')
    result = run_program('serve', f'unix://{path}')
    assert result == (1, '', f'across: cannot listen on {path}: it exists and is no socket\n')
    assert path.read_text() == 'precious'


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['here'], "'here' is neither tcp://host:port nor unix:///path"),
        (['ssh://a'], "'ssh://a' is neither tcp://host:port nor unix:///path"),
        (['tcp://a'], "'tcp://a' is not of the form tcp://host:port"),
        (['unix://a'], "'unix://a' has no absolute path; write unix:///path"),
        (['tcp://a:1', '--handler', 'thread'], "invalid choice: 'thread'"),
        (['tcp://a:1', '--max-connections', '0'], "'0' is not a number of 1 or more"),
        (['tcp://a:1', '--max-calls', 'many'], "'many' is not a number of 1 or more"),
        (['tcp://a:1', '--timeout', '0'], "'0' is not a number of seconds above 0"),
        (['tcp://a:1', '--max-frame-size', '65535'], "'65535' is not a number of bytes, 65536 or"),
        (['tcp://a:1', '--max-frame-size', '1G'], "'1G' is not a number of bytes, 65536 or more"),
        (['tcp://a:1', '--handler', 'bios', '--timeout', '1'], 'take their limits from the client'),
    ],
)
def test_wrong_usage(words: list[str], sentence: str) -> None:
    result = run_program('serve', *words)
    assert (result.status, result.out) == (2, '')
    assert sentence in result.err
