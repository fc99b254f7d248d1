"""What is particular to sockets: several addresses, refusals, timeouts, given sockets."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import struct
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from across._core.transports import sockets
from across._core.transports.base import Cancelled
from across._core.transports.sockets import (
    LONGEST_RECV,
    SocketTransport,
    TcpTransport,
    UnixTransport,
)
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(5 * SECOND)
        yield server


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port of the loopback addresses that nobody can listen on meanwhile, and nobody does."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        yield sock.getsockname()[1]


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that answers no attempt to connect any more: its backlog is full."""
    with socket.create_server(('127.0.0.2', 0), backlog=0) as server:
        clients = []
        while True:
            client = socket.socket()
            client.settimeout(50 * MS)
            clients.append(client)
            try:
                client.connect(server.getsockname())
            except TimeoutError:
                break
        yield server
        for client in clients:
            client.close()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let host names lead to these addresses; a machine's own names can't be counted on."""

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM, 6, '', address)
            for address in addresses
            for host in address[:1]
        ]

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)


def test_a_refused_port_says_host_port_and_address(refused_port: int) -> None:
    transport = TcpTransport('localhost', refused_port)
    with pytest.raises(ConnectionRefusedError) as caught:
        transport.connect(5 * SECOND)
    text = str(caught.value)
    assert f'cannot connect to localhost:{refused_port}: ' in text
    assert f'127.0.0.1:{refused_port}: Connection refused' in text
    transport.close(None)


def test_the_next_address_is_tried_when_one_refuses(
    server: socket.socket, refused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ('127.0.0.1', refused_port), server.getsockname())
    transport = TcpTransport('wonderland', 1865)
    transport.connect(5 * SECOND)
    server.accept()[0].close()
    transport.close(None)


def test_the_next_address_is_tried_when_one_is_silent(
    server: socket.socket, silent_server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, silent_server.getsockname(), server.getsockname())
    transport = TcpTransport('wonderland', 1865)
    started = time.monotonic()
    transport.connect(60)
    assert time.monotonic() - started < 5 * SECOND
    server.accept()[0].close()
    transport.close(None)


def test_an_error_names_each_address(
    silent_server: socket.socket, refused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = silent_server.getsockname()
    resolve_to(monkeypatch, ('127.0.0.1', refused_port), silent, ('127.0.0.3', refused_port))
    transport = TcpTransport('wonderland', 1865)
    with pytest.raises(TimeoutError) as caught:
        transport.connect(500 * MS)
    assert str(caught.value) == (
        f'connecting to wonderland:1865 timed out: '
        f'127.0.0.1:{refused_port}: Connection refused, '
        f'127.0.0.3:{refused_port}: Connection refused, '
        f'127.0.0.2:{silent[1]}: no answer'
    )
    transport.close(None)


def test_a_timeout_beyond_what_poll_takes(server: socket.socket) -> None:
    for host in '127.0.0.1', 'localhost':
        transport = TcpTransport(host, server.getsockname()[1])
        transport.connect(1e9)
        transport.close(None)


def test_different_failures_make_a_plain_error(
    refused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ('127.0.0.1', refused_port), ('255.255.255.255', 1))
    transport = TcpTransport('wonderland', 1865)
    with pytest.raises(OSError, match='wonderland:1865') as caught:
        transport.connect(5 * SECOND)
    assert type(caught.value) is OSError
    assert '127.0.0.1' in str(caught.value)
    assert '255.255.255.255' in str(caught.value)
    transport.close(None)


def test_connecting_takes_no_longer_than_its_timeout(silent_server: socket.socket) -> None:
    host, port = silent_server.getsockname()
    transport = TcpTransport(host, port)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=f'{host}:{port} timed out: no answer'):
        transport.connect(50 * MS)
    assert 50 * MS <= time.monotonic() - started < 5 * SECOND
    transport.close(None)


@pytest.mark.parametrize('timeout', [None, 60])
def test_cancel_ends_connecting(silent_server: socket.socket, timeout: float | None) -> None:
    transport = TcpTransport(*silent_server.getsockname())
    canceller = threading.Timer(20 * MS, transport.cancel)
    canceller.start()
    with pytest.raises(Cancelled, match=re.escape(transport.name)):
        transport.connect(timeout)
    canceller.join()
    transport.close(None)


def test_unknown_host() -> None:
    transport = TcpTransport('no-such-host.invalid', 1865)
    with pytest.raises(socket.gaierror, match=r'address of no-such-host\.invalid \(port 1865\)'):
        transport.connect(5 * SECOND)
    transport.close(None)


def test_impossible_host() -> None:
    transport = TcpTransport('x' * 70, 1865)
    with pytest.raises(OSError, match='no host name'):
        transport.connect(5 * SECOND)
    transport.close(None)


@pytest.mark.parametrize(
    ('host', 'port', 'error', 'text'),
    [
        (b'x', 1, TypeError, 'host must be a string, not bytes'),
        ('', 1, ValueError, 'host must be a name or an address, but is empty'),
        ('x', '1', TypeError, 'port must be an integer, not str'),
        ('x', True, TypeError, 'port must be an integer, not bool'),
        ('x', 0, ValueError, 'port must be between 1 and 65535, not 0'),
        ('x', 65536, ValueError, 'port must be between 1 and 65535, not 65536'),
    ],
)
def test_senseless_addresses(host: Any, port: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        TcpTransport(host, port)
    assert str(caught.value) == text


def test_names() -> None:
    assert TcpTransport('wonderland', 1865).name == 'wonderland:1865'
    assert TcpTransport('::1', 1865).name == '[::1]:1865'
    assert UnixTransport('/run/x.sock').name == '/run/x.sock'
    assert UnixTransport('\0hidden').name == '@hidden'


def test_options_of_tcp_sockets(server: socket.socket) -> None:
    transport = TcpTransport(*server.getsockname())
    transport.connect(5 * SECOND)
    accepted = server.accept()[0]
    given = SocketTransport(accepted)
    given.connect(None)
    client = socket.socket(fileno=os.dup(transport._in_fd))
    for sock in (client, accepted):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    client_name = '{}:{}'.format(*client.getsockname())
    assert given.name == client_name
    client.close()
    given.close(None)
    transport.close(None)


def test_a_unix_path_that_is_not_there(tmp_path: Path) -> None:
    transport = UnixTransport(tmp_path / 'nothing')
    with pytest.raises(FileNotFoundError, match='nothing'):
        transport.connect(5 * SECOND)
    transport.close(None)


def test_a_unix_path_that_nobody_listens_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(tmp_path / 'unused'))
    transport = UnixTransport(tmp_path / 'unused')
    with pytest.raises(ConnectionRefusedError, match='unused'):
        transport.connect(5 * SECOND)
    transport.close(None)


def test_a_unix_path_that_is_too_long() -> None:
    transport = UnixTransport('/' + 'x' * 200)
    with pytest.raises(OSError, match='too long') as caught:
        transport.connect(5 * SECOND)
    assert caught.value.errno == errno.ENAMETOOLONG
    transport.close(None)


def test_an_empty_unix_path() -> None:
    with pytest.raises(ValueError, match='path must name a socket'):
        UnixTransport('')


class BusyServer:
    """A Unix server whose backlog is full, and what fills it."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(0)
        self.clients: list[socket.socket] = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            self.clients.append(client)
            if client.connect_ex(str(path)) != 0:
                break

    def accept_all(self) -> None:
        self.socket.settimeout(100 * MS)
        try:
            while True:
                self.socket.accept()[0].close()
        except TimeoutError:
            pass

    def close(self) -> None:
        for sock in [self.socket, *self.clients]:
            sock.close()


def test_a_unix_server_that_accepts_later(tmp_path: Path) -> None:
    with closing(BusyServer(tmp_path / 'busy')) as server:
        transport = UnixTransport(tmp_path / 'busy')
        with pytest.raises(TimeoutError, match='busy did not accept the connection in time'):
            transport.connect(30 * MS)
        accepting = threading.Thread(target=server.accept_all)
        accepting.start()
        transport.connect(5 * SECOND)
        accepting.join()
        transport.close(None)


def test_cancel_ends_waiting_for_a_unix_server(tmp_path: Path) -> None:
    with closing(BusyServer(tmp_path / 'busy')):
        transport = UnixTransport(tmp_path / 'busy')
        canceller = threading.Timer(20 * MS, transport.cancel)
        canceller.start()
        with pytest.raises(Cancelled):
            transport.connect(None)
        canceller.join()
        transport.close(None)


def test_given_sockets_that_will_not_do(server: socket.socket) -> None:
    expected = 'sock must be a connected stream socket'
    with pytest.raises(TypeError, match=rf'{expected} \(socket.socket\), not int'):
        SocketTransport(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f'{expected}, but is listening: pass what its accept'):
        SocketTransport(server)
    with socket.socket() as sock:
        with pytest.raises(ValueError, match=f'{expected}, but is not connected'):
            SocketTransport(sock)
        sock.close()
        with pytest.raises(ValueError, match=f'{expected}, but is closed'):
            SocketTransport(sock)
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    with ours, theirs, pytest.raises(ValueError, match=f'{expected}, not .*SOCK_DGRAM'):
        SocketTransport(ours)


def test_tls_sockets_will_not_do() -> None:
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    wrapped = context.wrap_socket(ours, do_handshake_on_connect=False)
    with theirs, wrapped, pytest.raises(TypeError, match='not SSLSocket'):
        SocketTransport(wrapped)


def test_an_accepted_client_that_has_reset_its_connection(server: socket.socket) -> None:
    client = socket.create_connection(server.getsockname())
    accepted = server.accept()[0]
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    client.close()
    transport = SocketTransport(accepted)
    transport.connect(None)
    assert transport.wait_readable(5 * SECOND)
    try:
        assert transport.receive_into(memoryview(bytearray(1))) == 0
    except ConnectionResetError:
        pass
    assert transport.ending() == 'the peer closed the connection'
    transport.close(None)


def test_names_of_given_unix_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / 'x')
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        accepted = server.accept()[0]
        assert SocketTransport(client).name == path
        assert SocketTransport(accepted).name == f'a client of {path}'
        accepted.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert SocketTransport(ours).name == 'a Unix socket'


@pytest.mark.parametrize('waits_in_recv', [True, False])
def test_the_blocking_mode_of_a_given_socket_is_put_back(
    waits_in_recv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SocketTransport, '_waits_in_recv', waits_in_recv)
    ours, theirs = socket.socketpair()
    with theirs, ours.dup() as copy:
        transport = SocketTransport(ours)
        transport.connect(None)
        assert os.get_blocking(copy.fileno()) == waits_in_recv
        transport.close(None)
        assert os.get_blocking(copy.fileno())
        assert theirs.recv(1) == b''  # though a copy is still open


def test_next_takes_its_time_though_somebody_else_changes_the_mode() -> None:
    ours, theirs = socket.socketpair()
    with theirs, ours.dup() as copy:
        transport = SocketTransport(ours)
        transport.connect(None)
        copy.setblocking(False)
        started = time.monotonic()
        assert transport.receive_next(memoryview(bytearray(1)), LONGEST_RECV) == -1
        assert time.monotonic() - started >= LONGEST_RECV
        transport.close(None)


def test_system_that_refuses_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, '_TIMEVAL', b'of another size')
    ours, theirs = socket.socketpair()
    with theirs:
        transport = SocketTransport(ours)
        transport.connect(None)
        assert not os.get_blocking(ours.fileno())
        theirs.send(b'x')
        assert transport.receive_next(memoryview(bytearray(1))) == 1
        transport.close(None)


def test_a_timeout_of_a_given_socket_does_not_matter() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    transport = SocketTransport(ours)
    transport.connect(None)
    assert transport.receive_into(memoryview(bytearray(1))) == -1
    transport.close(None)
    theirs.close()


def test_abandoning_does_not_shut_down() -> None:
    ours, theirs = socket.socketpair()
    copy = ours.dup()  # what the parent has
    transport = SocketTransport(ours)
    transport.connect(None)
    transport.abandon()
    theirs.send(b'x')
    wait_until(lambda: copy.recv(1) == b'x')
    copy.close()
    theirs.close()
