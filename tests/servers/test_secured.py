"""Servers whose options say who is let in: with keys and certificates."""

from __future__ import annotations

import os
import socket
import ssl
import warnings
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from across import AcrossError, Connection, Options
from across.servers import (
    BIOSConnectionHandler,
    ConnectionHandler,
    LocalConnectionHandler,
    ProcessConnectionHandler,
    Server,
)
from servers.processes import has_ended
from support.ends import finish, raised_by
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.certificates import Certificates, Pair

HANDLERS = [LocalConnectionHandler, ProcessConnectionHandler]
# The start of a TLS handshake that never goes on.
HELLO = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc'


def make_context(pair: Pair, authority: Pair | None = None) -> ssl.SSLContext:
    """In a child of the server, or here."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    if authority is not None:
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def mutual(certificates: Certificates) -> Callable[[], ssl.SSLContext]:
    return partial(make_context, certificates.server, certificates.authority)


def serve(kind: Callable[..., ConnectionHandler], **options: Any) -> Server:
    return Server.listen_tcp('127.0.0.1', 0, handler=kind(options=Options(**options)))


def connect(server: Server, context: ssl.SSLContext | None, **options: Any) -> Connection:
    return Connection.from_tcp(*server.address, options=Options(ssl_context=context, **options))


@pytest.mark.parametrize('kind', HANDLERS)
def test_clients_with_a_certificate(
    kind: Callable[..., ConnectionHandler],
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serve(kind, ssl_context=mutual(certificates)) as server:
        with connect(server, certificates.client_context(certificates.client)) as conn:
            assert (conn.call(os.getpid) == os.getpid()) == (kind is LocalConnectionHandler)
            assert conn.call(len, bytes(1 << 20)) == 1 << 20
        for pair in (None, certificates.stranger):
            conn = connect(server, certificates.client_context(pair))
            assert 'certificate' in str(raised_by(conn.call, abs, -1))
            finish(conn)
        wait_until(lambda: server.connection_count == 0, 'the refused to go', 10 * SECOND)
    said = sorted(record.getMessage() for record in caplog.records)
    assert [each.startswith('a client was refused: ') for each in said] == [True, True]
    assert 'has shown no certificate, and this side wants one' in said[1]
    assert 'is not trusted, as ' in said[0]


def test_children_get_functions_by_value(certificates: Certificates) -> None:
    """They have no `__main__` to import one from."""
    certificate, key = map(str, certificates.server)

    def make() -> Any:
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context

    with serve(ProcessConnectionHandler, ssl_context=make, authkey='key') as server:
        with connect(server, certificates.client_context(), authkey='key') as conn:
            pid = conn.call(os.getpid)
        wait_until(lambda: has_ended(pid), 'the end of the child', 10 * SECOND)


@pytest.mark.parametrize('kind', HANDLERS)
def test_clients_that_stall_hold_up_nobody(
    kind: Callable[..., ConnectionHandler], certificates: Certificates
) -> None:
    options = {'ssl_context': mutual(certificates), 'timeout': 60}
    with serve(kind, **options) as server, ExitStack() as stack:
        for said in (b'', HELLO) * (10 if kind is LocalConnectionHandler else 1):
            sock = stack.enter_context(socket.create_connection(server.address))
            sock.sendall(said)
        with connect(server, certificates.client_context(certificates.client)) as conn:
            assert conn.call(abs, -1) == 1
        server.cancel()


def test_a_client_that_stalls_is_dropped(certificates: Certificates) -> None:
    options = {'ssl_context': mutual(certificates), 'timeout': 0.2 * SECOND}
    with (
        serve(LocalConnectionHandler, **options) as server,
        socket.create_connection(server.address) as sock,
    ):
        sock.settimeout(10 * SECOND)
        sock.sendall(HELLO)
        with suppress(ConnectionError):
            assert sock.recv(100) == b''


# ---------------------------------------------------------------------------------- refused


def test_a_context_for_children(certificates: Certificates) -> None:
    context = certificates.server_context()
    with pytest.raises(ValueError, match='cannot be sent to the child processes of a ') as caught:
        ProcessConnectionHandler(options=Options(ssl_context=context))
    assert 'a function without arguments that makes it' in str(caught.value)


def test_a_function_that_cannot_be_pickled(certificates: Certificates) -> None:
    context = certificates.server_context()
    with pytest.raises(ValueError, match=r'cannot be sent to the child .*SSLContext'):
        ProcessConnectionHandler(options=Options(ssl_context=lambda: context))


def test_bare_interpreters(certificates: Certificates) -> None:
    for name, value in (('authkey', 'key'), ('ssl_context', certificates.server_context())):
        with pytest.raises(ValueError, match=rf'neither keys nor certificates \(option {name}\)'):
            BIOSConnectionHandler(options=Options(**{name: value}))


def test_unix_sockets(certificates: Certificates, tmp_path: Path) -> None:
    handler = LocalConnectionHandler(options=Options(ssl_context=certificates.server_context()))
    with pytest.raises(ValueError, match='option ssl_context is for TCP only; a Unix socket needs'):
        Server.listen_unix(tmp_path / 'socket', handler=handler)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize('kind', HANDLERS)
def test_what_is_wrong_shows_before_anybody_connects(
    kind: Callable[..., ConnectionHandler], certificates: Certificates
) -> None:
    lost = certificates.server._replace(key=certificates.folder / 'lost.key')
    with pytest.raises(FileNotFoundError):
        kind(options=Options(ssl_context=partial(make_context, lost)))
    with pytest.raises(TypeError, match=r'must return an ssl\.SSLContext, not int'):
        kind(options=Options(ssl_context=int))
    with pytest.raises(ValueError, match='is one for clients; a server needs that of'):
        kind(options=Options(ssl_context=certificates.client_context))


# --------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ('host', 'key', 'tls', 'warns'),
    [
        ('0.0.0.0', None, '', True),
        ('0.0.0.0', None, 'server only', True),
        ('0.0.0.0', None, 'mutual', False),
        ('0.0.0.0', 'key', '', False),
        ('0.0.0.0', 'key', 'server only', False),
        ('127.0.0.1', None, '', False),
        ('127.0.0.1', None, 'server only', False),
    ],
)
def test_warnings(
    certificates: Certificates, host: str, key: str | None, tls: str, warns: bool
) -> None:
    contexts = {
        '': None,
        'server only': certificates.server_context(),
        'mutual': mutual(certificates),
    }
    options = Options(authkey=key, ssl_context=contexts[tls])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        Server.listen_tcp(host, 0, handler=LocalConnectionHandler(options=options)).close()
    assert [f'serving {host} without authentication' in str(each.message) for each in caught] == (
        [True] if warns else []
    )


def test_handlers_of_others_are_warned_about() -> None:
    class Mine(LocalConnectionHandler):
        knows_clients = property(lambda self: False)

    with pytest.warns(UserWarning, match='without authentication'):
        Server.listen_tcp('0.0.0.0', 0, handler=Mine(options=Options(authkey='key'))).close()


def test_refused_clients_get_errors_of_the_library(certificates: Certificates) -> None:
    with serve(LocalConnectionHandler, authkey='key') as server:
        conn = Connection.from_tcp(*server.address)
        assert isinstance(raised_by(conn.call, abs, -1), AcrossError)
        finish(conn)
