"""The option ssl_context: calls over TLS, certificates that are refused, peers without TLS."""

from __future__ import annotations

import os
import random
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from across import AuthenticationError, Connection, DisconnectError, Options, ProtocolError
from across._core.transports.tls import READ_SIZE
from across._core.wire.frames import GOODBYE, encode
from support.ends import at_once, finish, greeting, raised_by
from support.peers import environment
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.certificates import Certificates

MIB = 1 << 20


class Ends:
    """A client and a server in this process, connected over TCP."""

    def __init__(self, client: Options, server: Options, host: str = 'localhost') -> None:
        with socket.create_server(('127.0.0.1', 0)) as listener:
            port = listener.getsockname()[1]
            sock = socket.create_connection(('127.0.0.1', port))
            self.client = Connection.from_socket(
                sock, server_side=False, server_hostname=host, options=client
            )
            self.server = Connection.from_socket(listener.accept()[0], options=server)

    def close(self) -> None:
        for conn in (self.client, self.server):
            conn.cancel()
            finish(conn)

    def errors(self) -> tuple[str, str]:
        """What the two say about a connection that could not be made: the client, the server."""
        return error_of(self.client), error_of(self.server)


@contextmanager
def ends(client: Any, server: Any, host: str = 'localhost', **options: Any) -> Iterator[Ends]:
    """Such a pair with these contexts."""
    both = Ends(
        Options(ssl_context=client, **options), Options(ssl_context=server, **options), host
    )
    try:
        yield both
    finally:
        both.close()


@contextmanager
def encrypted(certificates: Certificates, **options: Any) -> Iterator[Ends]:
    """Such a pair that works."""
    contexts = certificates.client_context(), certificates.server_context()
    with ends(*contexts, **options) as both:
        yield both


def error_of(conn: Connection) -> str:
    error = raised_by(conn.call, abs, -1)
    assert type(error) is DisconnectError
    assert error.__cause__ is not None
    return str(error)


# ------------------------------------------------------------------------------------ calls


def test_calls_in_both_directions(certificates: Certificates) -> None:
    with encrypted(certificates) as both:
        assert both.client.call(divmod, 7, 2) == (3, 1)
        assert both.server.call(divmod, 9, 2) == (4, 1)
        with pytest.raises(ZeroDivisionError):
            both.client.call(divmod, 1, 0)


def test_nothing_readable_is_sent(certificates: Certificates) -> None:
    contexts = certificates.client_context(), certificates.server_context()
    with through_middle(*contexts) as (client, _, middle):
        assert client.call(str.upper, 'curiouser and curiouser') == 'CURIOUSER AND CURIOUSER'
    assert len(middle.record) > 500
    assert b'ACROSS' not in middle.record
    assert b'curiouser' not in middle.record.lower()


def test_closing_is_orderly(certificates: Certificates) -> None:
    with encrypted(certificates) as both:
        both.client.call(abs, -1)
        with at_once():
            both.client.close()
            both.server.wait()


def test_a_goodbye_of_tls_ends_the_stream(certificates: Certificates) -> None:
    """close() sends it: a foreign program that reads sees an orderly end."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        options = Options(ssl_context=certificates.client_context())
        conn = Connection.from_tcp('localhost', listener.getsockname()[1], options=options)
        sock, _ = listener.accept()
        with certificates.server_context().wrap_socket(sock, server_side=True) as tls:
            tls.settimeout(10 * SECOND)
            assert tls.recv(7) == b'ACROSS '
            tls.sendall(greeting())
            conn.__enter__()
            closing = threading.Thread(target=conn.close)
            closing.start()
            tls.recv(4096)
            tls.sendall(encode(GOODBYE))
            while data := tls.recv(4096):  # would raise SSLEOFError for a mere end of the socket
                assert data
            closing.join()


def test_a_killed_peer_is_noticed_at_once(certificates: Certificates) -> None:
    with encrypted(certificates) as both:
        both.client.call(abs, -1)
        call = both.client.submit(wait_for_ever)
        with at_once():
            both.server.cancel()
            finish(both.server)
            assert isinstance(call.exception(), DisconnectError)


def test_idle_connections_keep_no_buffers(certificates: Certificates) -> None:
    with ExitStack() as stack:

        def connect() -> None:
            stack.enter_context(encrypted(certificates)).client.call(abs, -1)

        connect()  # what all of them share
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for _ in range(10):
            connect()
        wait_until(lambda: tracemalloc.get_traced_memory()[0] < 20 * READ_SIZE / 2)


def test_idle_connections_have_no_threads(certificates: Certificates) -> None:
    """They park, and come back for a small message, a large one and the end."""
    with encrypted(certificates) as both:
        conns = both.client, both.server
        for value in (b'small', bytes(3 * MIB)):
            assert both.client.call(echo, value) == value
            wait_until(lambda: all(map(is_parked, conns)), 'both ends to park', 10 * SECOND)
            assert both.server.call(echo, value) == value
        wait_until(lambda: all(map(is_parked, conns)), 'both ends to park', 10 * SECOND)
        with at_once():
            both.client.close()
            both.server.wait()


def is_parked(conn: Connection) -> bool:
    idle = conn._link.reader.idle
    return idle is not None and idle.parked


def wait_for_ever() -> None:
    import across

    while not across.current_call().cancelled:
        threading.Event().wait(0.01)


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_tls(certificates: Certificates, version: ssl.TLSVersion) -> None:
    client, server = certificates.client_context(), certificates.server_context()
    server.minimum_version = server.maximum_version = version
    with ends(client, server) as both:
        assert both.client.call(len, bytes(MIB)) == MIB


def test_64_mib_both_ways_at_once(certificates: Certificates) -> None:
    data = os.urandom(MIB) * 64
    with encrypted(certificates) as both, ThreadPoolExecutor(2) as threads:
        there = threads.submit(both.client.call, echo, data)
        back = threads.submit(both.server.call, echo, data)
        assert there.result() == data
        assert back.result() == data


def echo(value: Any) -> Any:
    return value


def test_many_threads(certificates: Certificates) -> None:
    """Records of all sizes, from many threads of both sides."""
    noise = random.Random(4)
    values = [
        noise.randbytes(noise.choice([0, 1, 100, 16383, 16384, 16385, 99999])) for _ in range(50)
    ]

    def work(conn: Connection) -> None:
        for value in values:
            assert conn.call(echo, value) == value

    with encrypted(certificates) as both, ThreadPoolExecutor(16) as threads:
        list(threads.map(work, [both.client, both.server] * 8))


def test_a_context_made_for_each_connection(certificates: Certificates) -> None:
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(certificates.server_context())
        return made[-1]

    for _ in range(2):
        with ends(certificates.client_context, make) as both:
            assert both.client.call(abs, -1) == 1
    assert len(set(made)) == 2


def test_with_a_key_as_well(certificates: Certificates) -> None:
    with encrypted(certificates, authkey='key') as both:
        assert both.client.call(abs, -1) == 1
    contexts = certificates.client_context(), certificates.server_context()
    client, server = (Options(ssl_context=each, authkey=os.urandom(8)) for each in contexts)
    both = Ends(client, server)
    try:
        for conn in (both.client, both.server):
            assert isinstance(raised_by(conn.call, abs, -1).__cause__, AuthenticationError)
    finally:
        both.close()


# ----------------------------------------------------------------------------- certificates


@pytest.mark.parametrize(
    ('name', 'text', 'alert'),
    [
        ('alone', 'is not trusted, as it is signed by itself; trust it with load_', 'unknown ca'),
        (
            'elsewhere',
            "belongs to another host: Hostname mismatch, certificate is not valid for 'localhost'",
            '',
        ),
        ('expired', 'has expired', 'certificate expired'),
        (
            'stranger',
            'is not trusted, as the authority that signed it is unknown here',
            'unknown ca',
        ),
    ],
)
def test_certificates_of_servers(
    certificates: Certificates, name: str, text: str, alert: str
) -> None:
    server = certificates.server_context(getattr(certificates, name))
    with ends(certificates.client_context(), server) as both:
        here, there = both.errors()
        assert 'the certificate of 127.0.0.1:' in here
        assert text in here
        assert '_ssl.c' not in here
        assert isinstance(raised_by(both.client.call, abs, 1).__cause__, ssl.SSLError)
        assert f'does not accept the certificate of this side: {alert}' in there


def test_an_address_in_a_certificate(certificates: Certificates) -> None:
    contexts = certificates.client_context(), certificates.server_context()
    with ends(*contexts, host='127.0.0.1') as both:
        assert both.client.call(abs, -1) == 1
    with ends(*contexts, host='127.0.0.2') as both:
        assert 'belongs to another host: IP address mismatch' in error_of(both.client)


def test_from_tcp_checks_the_name_that_it_connects_to(certificates: Certificates) -> None:
    options = Options(ssl_context=certificates.client_context())
    for name in ('server', 'elsewhere'):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            conn = Connection.from_tcp('localhost', listener.getsockname()[1], options=options)
            context = certificates.server_context(getattr(certificates, name))
            server = Connection.from_socket(
                listener.accept()[0], options=Options(ssl_context=context)
            )
            if name == 'server':
                assert conn.call(abs, -1) == 1
            else:
                assert 'the certificate of localhost:' in error_of(conn)
                assert 'belongs to another host' in error_of(conn)
            for each in (conn, server):
                finish(each)


def test_certificates_of_clients(certificates: Certificates) -> None:
    server = certificates.server_context(client_authority=True)
    with ends(certificates.client_context(certificates.client), server) as both:
        assert both.client.call(abs, -1) == 1


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_without_a_certificate(certificates: Certificates, version: ssl.TLSVersion) -> None:
    server = certificates.server_context(client_authority=True)
    server.maximum_version = version
    with ends(certificates.client_context(), server) as both:
        here, there = both.errors()
        assert 'has shown no certificate, and this side wants one' in there
        if version == ssl.TLSVersion.TLSv1_3:
            assert 'wants a certificate, and this side has shown none; give it one' in here
        else:  # knows no alert for it
            assert 'handshake failure' in here


def test_clients_with_a_foreign_certificate(certificates: Certificates) -> None:
    server = certificates.server_context(client_authority=True)
    with ends(certificates.client_context(certificates.stranger), server) as both:
        here, there = both.errors()
        assert 'does not accept the certificate of this side: unknown ca' in here
        assert 'the certificate of the client' in there
        assert 'is not trusted' in there


def test_a_server_without_a_certificate(certificates: Certificates) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with ends(certificates.client_context(), context) as both:
        here, there = both.errors()
        assert 'no shared cipher; has the server loaded its certificate?' in there
        assert 'handshake failure' in here


def test_no_common_version(certificates: Certificates) -> None:
    client, server = certificates.client_context(), certificates.server_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    with ends(client, server) as both:
        here, there = both.errors()
        assert 'protocol version' in here
        assert 'unsupported protocol' in there


# -------------------------------------------------------------------------------- no TLS


def test_a_plain_client(certificates: Certificates) -> None:
    with ends(None, certificates.server_context()) as both:
        here, there = both.errors()
        assert 'the peer speaks TLS, and this side does not: Options(ssl_context=…)' in here
        assert 'the peer does not encrypt with TLS, and this side does' in there
        assert isinstance(raised_by(both.server.close), ProtocolError)


def test_a_plain_server(certificates: Certificates) -> None:
    with ends(certificates.client_context(), None) as both:
        here, there = both.errors()
        assert 'the peer does not encrypt with TLS, and this side does' in here
        assert 'the peer speaks TLS, and this side does not: Options(ssl_context=…)' in there


def test_a_foreign_client(certificates: Certificates) -> None:
    with server_and_socket(certificates) as (server, sock):
        sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
        text = error_of(server)
        assert 'the peer does not speak TLS, and this side does' in text
        assert r"it sent: b'GET / HTTP/1.1\r\n\r\n'" in text


@contextmanager
def server_and_socket(
    certificates: Certificates, **options: Any
) -> Iterator[tuple[Connection, socket.socket]]:
    """A server's end of a connection, and the plain socket at the other end."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        context = certificates.server_context()
        server = Connection.from_socket(
            listener.accept()[0], options=Options(ssl_context=context, **options)
        )
    with sock:
        sock.settimeout(10 * SECOND)
        yield server, sock
        server.cancel()
        finish(server)


HELLO = bytes.fromhex('160301')


@pytest.mark.parametrize('said', [b'', HELLO, HELLO + b'\x02\x00' + b'\x01\x00\x01\xfc'])
def test_a_client_that_stalls(certificates: Certificates, said: bytes) -> None:
    with server_and_socket(certificates, timeout=0.2 * SECOND) as (server, sock):
        sock.sendall(said)
        text = error_of(server)
        assert 'the TLS handshake with 127.0.0.1:' in text
        assert 'took too long' in text


def test_a_client_that_leaves(certificates: Certificates) -> None:
    with server_and_socket(certificates) as (server, sock):
        sock.sendall(HELLO)
        sock.shutdown(socket.SHUT_WR)
        assert 'before the TLS handshake was complete' in error_of(server)


def test_cancelled_in_the_handshake(certificates: Certificates) -> None:
    with server_and_socket(certificates) as (server, sock):
        sock.sendall(HELLO)
        call = threading.Thread(target=raised_by, args=(server.call, abs, -1))
        call.start()
        server.cancel()
        call.join()


@pytest.mark.parametrize('seed', range(10))
def test_random_bytes(certificates: Certificates, seed: int) -> None:
    noise = random.Random(seed)
    with server_and_socket(certificates) as (server, sock):
        size = noise.randrange(1, 400)
        record = HELLO + size.to_bytes(2, 'big') + noise.randbytes(size)
        sock.sendall(record + noise.randbytes(1000))
        sock.shutdown(socket.SHUT_WR)
        assert 'TLS' in error_of(server)


# ---------------------------------------------------------------------- in the middle


class Middle:
    """Passes on what two sockets send to each other, and records it; may change a byte."""

    def __init__(self, one: socket.socket, other: socket.socket) -> None:
        self.record = bytearray()
        self.spoil = threading.Event()
        self._socks = one, other
        self._threads = [
            threading.Thread(target=self._pump, args=pair) for pair in ((one, other), (other, one))
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                self.record += data
                if self.spoil.is_set():
                    data = data[:-1] + bytes([data[-1] ^ 1])
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of the two has had enough

    def close(self) -> None:
        for sock in self._socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join()
        for sock in self._socks:
            sock.close()


@contextmanager
def through_middle(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> Iterator[tuple[Connection, Connection, Middle]]:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        socks = []
        for _ in range(2):
            socks.append(socket.create_connection(listener.getsockname()))
            socks.append(listener.accept()[0])
    ours, one, other, theirs = socks
    middle = Middle(one, other)
    conns = [
        Connection.from_socket(
            ours,
            server_side=False,
            server_hostname='localhost',
            options=Options(ssl_context=client),
        ),
        Connection.from_socket(theirs, options=Options(ssl_context=server)),
    ]
    try:
        yield conns[0], conns[1], middle
    finally:
        for conn in conns:
            conn.cancel()
            finish(conn)
        middle.close()


def test_a_changed_byte(certificates: Certificates) -> None:
    contexts = certificates.client_context(), certificates.server_context()
    with through_middle(*contexts) as (client, server, middle):
        assert client.call(abs, -1) == 1
        middle.spoil.set()
        call = client.submit(abs, -1)
        wait_until(lambda: not server.is_connected(), 'the end')
        error = str(raised_by(server.call, abs, -1))
        assert 'no TLS with 127.0.0.1:' in error
        assert 'bad record mac' in error.lower()
        finish(server)
        assert isinstance(call.exception(10 * SECOND), DisconnectError)


# --------------------------------------------------------------------------- wrong use


def test_transports_without_tls(certificates: Certificates, tmp_path: Path) -> None:
    options = Options(ssl_context=certificates.client_context())
    flag = tmp_path / 'started'
    one, other = socket.socketpair()
    attempts: list[Callable[[], Connection]] = [
        lambda: Connection.from_unix('/nowhere', options=options),
        lambda: Connection.from_command(['touch', str(flag)], options=options),
        lambda: Connection.from_shell(f'touch {flag}', options=options),
        lambda: Connection.from_socket(one, options=options),
        lambda: Connection.from_stdio(options=options),
        lambda: Connection.from_pipes(one.makefile('rb'), one.makefile('wb'), options=options),
        lambda: Connection.from_process(subprocess.Popen(['true']), options=options),
    ]
    with one, other:
        for attempt in attempts[:-1]:
            with pytest.raises(ValueError, match='option ssl_context is for connections over TCP'):
                attempt()
        assert one.fileno() >= 0
    assert not flag.exists()


@pytest.mark.parametrize('value', ['context', 7, b'', ('cert', 'key'), True])
def test_what_is_no_context(value: object) -> None:
    with pytest.raises(TypeError, match=r'must be an ssl\.SSLContext, a function without arg'):
        Options(ssl_context=value)


def test_contexts_for_the_other_side(certificates: Certificates) -> None:
    for_clients = Options(ssl_context=certificates.client_context())
    for_servers = Options(ssl_context=certificates.server_context())
    with pytest.raises(ValueError, match='is one for servers; a client needs that of'):
        Connection.from_tcp('localhost', 1, options=for_servers)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        with sock, listener.accept()[0]:
            with pytest.raises(ValueError, match='is one for clients; a server needs that of'):
                Connection.from_socket(sock, options=for_clients)
            with pytest.raises(ValueError, match='so server_hostname is needed'):
                Connection.from_socket(sock, server_side=False, options=for_clients)
            assert sock.fileno() >= 0


@pytest.mark.parametrize('server_side', [True, False])
def test_functions_that_make_the_wrong_thing(certificates: Certificates, server_side: bool) -> None:
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: None, 'must return an ssl.SSLContext, not NoneType'),
        (certificates.client_context if server_side else certificates.server_context, 'is one for'),
        (partial(open, '/nowhere'), 'No such file or directory'),
    ]
    for make, text in wrong:
        right = certificates.client_context() if server_side else certificates.server_context()
        contexts = (right, make) if server_side else (make, right)
        with ends(*contexts) as both:
            assert text in error_of(both.server if server_side else both.client)


def test_an_ssl_socket_says_what_to_do_instead(certificates: Certificates) -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        with (
            certificates.client_context().wrap_socket(
                sock, server_hostname='localhost', do_handshake_on_connect=False
            ) as tls,
            pytest.raises(TypeError, match=r'not SSLSocket; give the plain socket, and Opt'),
        ):
            Connection.from_socket(tls)


def test_options_with_a_context_are_copied_but_not_pickled(certificates: Certificates) -> None:
    import copy
    import pickle

    options = Options(ssl_context=certificates.client_context())
    assert copy.deepcopy(options) == copy.copy(options) == options.copy() == options
    assert hash(copy.deepcopy(options)) == hash(options)
    with pytest.raises(TypeError, match='SSLContext'):
        pickle.dumps(options)


def test_ssl_is_not_loaded_without_need() -> None:
    script = (
        'import socket, sys; from across import Connection, Options\n'
        'ends = socket.socketpair()\n'
        'options = Options(authkey="key")\n'
        'one = Connection.from_socket(ends[0], options=options)\n'
        'with Connection.from_socket(ends[1], server_side=False, options=options) as conn:\n'
        '    conn.call(abs, -1)\n'
        'one.close()\n'
        'print("ssl" in sys.modules, "across._core.transports.tls" in sys.modules)'
    )
    run = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, env=environment()
    )
    assert (run.stdout, run.stderr) == ('False False\n', '')
