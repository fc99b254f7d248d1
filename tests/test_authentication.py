"""The option authkey: over every transport, with right, wrong and missing keys, and attackers."""

from __future__ import annotations

import os
import pickle
import shlex
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import across
from across import AuthenticationError, Connection, DisconnectError, Options
from across._core.wire.frames import CALL, POST, encode
from across.servers import (
    BIOSConnectionHandler,
    ConnectionHandler,
    LocalConnectionHandler,
    ProcessConnectionHandler,
    Server,
)
from support.ends import finish, greeting, raised_by, receive
from support.interpreters import bare_command, find_interpreter
from support.peers import serving_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = 'curiouser and curiouser'
OPTIONS = Options(authkey=KEY)
FAILED = 'authentication failed: the two sides have different keys'


@contextmanager
def ends(near: str | None = KEY, far: str | None = KEY) -> Iterator[tuple[Connection, Connection]]:
    """A client and a server in this process, with these keys."""
    ours, theirs = socket.socketpair()
    with ExitStack() as stack:
        options = Options(authkey=near)
        client = Connection.from_socket(ours, options=options)
        stack.callback(finish, client)
        server = Connection.from_socket(theirs, options=Options(authkey=far))
        stack.callback(finish, server)
        yield client, server


@contextmanager
def stranger(**options: Any) -> Iterator[tuple[socket.socket, Connection]]:
    """A plain socket, connected to a server that wants a key."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10 * SECOND)
    conn = Connection.from_socket(theirs, server_side=True, options=OPTIONS.copy(**options))
    with ours:
        try:
            yield ours, conn
        finally:
            conn.cancel()
            finish(conn)


def error_of(conn: Connection) -> AuthenticationError:
    """What the end of a connection that was refused says, to those who call and who close."""
    error = raised_by(conn.call, abs, -1)
    assert type(error) is DisconnectError
    assert type(error.__cause__) is AuthenticationError
    closing = raised_by(conn.close)
    assert type(closing) is AuthenticationError
    assert str(closing) == str(error)
    return closing


# ------------------------------------------------------------------------------- transports


@contextmanager
def over_tcp(folder: Path, **key: str) -> Iterator[Connection]:
    with Server.listen_tcp(
        '127.0.0.1', 0, handler=LocalConnectionHandler(options=OPTIONS)
    ) as server:
        yield Connection.from_tcp(*server.address, options=Options(**key))


@contextmanager
def over_unix(folder: Path, **key: str) -> Iterator[Connection]:
    path = str(folder / 'socket')
    with Server.listen_unix(path, handler=LocalConnectionHandler(options=OPTIONS)):
        yield Connection.from_unix(path, options=Options(**key))


@contextmanager
def over_sockets(folder: Path, **key: str) -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    server = Connection.from_socket(theirs, options=OPTIONS)
    yield Connection.from_socket(ours, options=Options(**key))
    finish(server)


@contextmanager
def over_a_socket_connected_by_hand(folder: Path, **key: str) -> Iterator[Connection]:
    path = str(folder / 'socket')
    with Server.listen_unix(path, handler=LocalConnectionHandler(options=OPTIONS)):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        yield Connection.from_socket(sock, options=Options(**key))


@contextmanager
def over_pipes(folder: Path, **key: str) -> Iterator[Connection]:
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    files = os.fdopen(their_in, 'rb'), os.fdopen(their_out, 'wb')
    server = Connection.from_pipes(*files, options=OPTIONS)
    files = os.fdopen(our_in, 'rb'), os.fdopen(our_out, 'wb')
    yield Connection.from_pipes(*files, options=Options(**key))
    finish(server)


SERVING = serving_command(f'authkey={KEY!r}')


@contextmanager
def over_command(folder: Path, **key: str) -> Iterator[Connection]:
    """At the other end are standard streams."""
    yield Connection.from_command(SERVING, options=Options(**key))


@contextmanager
def over_shell(folder: Path, **key: str) -> Iterator[Connection]:
    yield Connection.from_shell(shlex.join(SERVING), options=Options(**key))


@contextmanager
def over_process(folder: Path, **key: str) -> Iterator[Connection]:
    process = subprocess.Popen(SERVING, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield Connection.from_process(process, options=Options(**key))


TRANSPORTS = {
    'tcp': over_tcp,
    'unix': over_unix,
    'sockets': over_sockets,
    'a socket connected by hand': over_a_socket_connected_by_hand,
    'pipes': over_pipes,
    'command': over_command,
    'shell': over_shell,
    'process': over_process,
}


@pytest.mark.parametrize('connect', TRANSPORTS.values(), ids=TRANSPORTS)
def test_every_transport_with_the_key(connect: Callable[..., Any], tmp_path: Path) -> None:
    with connect(tmp_path, authkey=KEY) as conn:
        assert conn.call(divmod, 7, 2) == (3, 1)
        conn.close()


@pytest.mark.parametrize('connect', TRANSPORTS.values(), ids=TRANSPORTS)
def test_every_transport_with_a_wrong_key(connect: Callable[..., Any], tmp_path: Path) -> None:
    with connect(tmp_path, authkey='a guess') as conn:
        assert str(error_of(conn)) == f'no connection to {conn._link.name}: {FAILED}'


@pytest.mark.parametrize('connect', [over_tcp, over_pipes, over_command])
def test_without_a_key(connect: Callable[..., Any], tmp_path: Path) -> None:
    with connect(tmp_path) as conn:
        assert 'the peer wants a key, and this side has none: Options(authkey=…)' in str(
            error_of(conn)
        )


# ------------------------------------------------------------------------------------- keys


def test_calls_in_both_directions() -> None:
    with ends() as (client, server):
        assert client.call(abs, -1) == 1
        assert server.call(abs, -2) == 2
        assert client.call(len, bytes(1 << 20)) == 1 << 20


def test_a_str_is_utf_8() -> None:
    with ends('ключ', 'ключ'.encode()) as (client, _):  # type: ignore[arg-type]
        assert client.call(abs, -1) == 1


@pytest.mark.parametrize('wrong', ['curiouser and curiouseR', KEY * 1000, ' ' + KEY])
def test_a_wrong_key_says_the_same_on_both_sides(wrong: str) -> None:
    with ends(near=wrong) as both:
        for conn in both:
            text = str(error_of(conn))
            assert text.endswith(FAILED)
            assert KEY not in text


@pytest.mark.parametrize('near', [KEY, None])
def test_a_key_on_one_side(near: str | None) -> None:
    with ends(near, None if near else KEY) as (client, server):
        asks, lacks = (client, server) if near else (server, client)
        assert 'the peer has no key, and this side wants one' in str(error_of(asks))
        assert 'the peer wants a key, and this side has none' in str(error_of(lacks))


def test_both_ends_are_servers() -> None:
    """As the two ends of a TCP connection are taken to be, where none says anything else."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs = listener.accept()[0]
    with ExitStack() as stack:
        both = [Connection.from_socket(sock, options=OPTIONS) for sock in (ours, theirs)]
        for conn in both:
            stack.callback(finish, conn)
        for conn in both:
            text = 'both ends of the connection are set up as the server; say server_side=True'
            assert text in str(error_of(conn))


def test_entering_a_refused_connection() -> None:
    with ends(near='a guess') as (client, _), pytest.raises(AuthenticationError, match=FAILED):
        client.__enter__()


def test_nothing_shows_the_key(capfd: pytest.CaptureFixture[str]) -> None:
    across.set_debug_level(2)
    try:
        with ends() as (client, _):
            client.call(abs, -1)
        with ends(near='a guess') as (client, _):
            shown = repr(raised_by(client.call, abs, -1)) + repr(client)
    finally:
        across.set_debug_level(0)
    err = capfd.readouterr().err
    assert FAILED in err
    for key in (KEY, KEY.encode().hex(), 'a guess'):
        assert key not in err + shown


# ------------------------------------------------------------------------------ bare peers


@pytest.mark.parametrize('minor', [8, 13])
def test_bare_peers_are_refused_and_sent_nothing(minor: int, tmp_path: Path) -> None:
    found = find_interpreter(minor)
    if found is None:
        pytest.skip(f'no CPython 3.{minor}')
    record = tmp_path / 'sent'
    script = f'tee {shlex.quote(str(record))} | {shlex.join(bare_command(found))}'
    conn = Connection.from_shell(script, options=OPTIONS)
    text = str(error_of(conn))
    assert 'the peer is a bare interpreter: it has no key to prove anything with' in text
    assert 'leave out the option authkey where ssh' in text
    assert record.read_bytes().startswith(b'ACROSS 1 key client ')
    assert record.read_bytes().count(b'\n') == 1


def test_the_handler_of_bare_interpreters_refuses_the_option() -> None:
    with pytest.raises(ValueError, match='knows neither keys nor certificates') as caught:
        BIOSConnectionHandler(options=OPTIONS)
    assert KEY not in str(caught.value)


# --------------------------------------------------------------------------------- servers

HANDLERS: list[Callable[..., ConnectionHandler]] = [
    LocalConnectionHandler,
    ProcessConnectionHandler,
]


@pytest.mark.parametrize('kind', HANDLERS)
def test_handlers(kind: Callable[..., ConnectionHandler]) -> None:
    with Server.listen_tcp('127.0.0.1', 0, handler=kind(options=OPTIONS)) as server:
        with Connection.from_tcp(*server.address, options=OPTIONS) as conn:
            assert conn.call(abs, -1) == 1
        for wrong in (Options(), Options(authkey='a guess')):
            assert error_of(Connection.from_tcp(*server.address, options=wrong))
        wait_until(lambda: server.connection_count == 0, 'the refused to go', 10 * SECOND)


def process_as_others_see_it() -> bytes:
    """In a child of a server: what every user of the machine, or ours, may read about it."""
    shown = b''
    for name in ('cmdline', 'environ'):
        with open(f'/proc/self/{name}', 'rb') as file:
            shown += file.read()
    return shown


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='no /proc on this system')
def test_the_key_of_a_child_is_not_to_be_seen() -> None:
    handler = ProcessConnectionHandler(options=OPTIONS)
    with (
        Server.listen_tcp('127.0.0.1', 0, handler=handler) as server,
        Connection.from_tcp(*server.address, options=OPTIONS) as conn,
    ):
        shown = conn.call(process_as_others_see_it)
    assert b'across.servers.child' in shown
    assert KEY.encode() not in shown


def test_a_key_makes_the_warning_go_away(recwarn: pytest.WarningsRecorder) -> None:
    with Server.listen_tcp('0.0.0.0', 0, handler=LocalConnectionHandler(options=OPTIONS)):
        assert not recwarn.list


# ------------------------------------------------------------------------------- attackers


class Bomb:
    """Calls a function as soon as it is unpickled."""

    def __reduce__(self) -> Any:
        return explode, ()


EXPLODED = threading.Event()


def explode() -> None:
    EXPLODED.set()


def bomb() -> bytes:
    payload = pickle.dumps(Bomb())
    return encode(POST, 0, 0, payload) + encode(CALL, 1, 0, payload)


@pytest.mark.parametrize(
    'first',
    [
        b'',
        greeting(),
        b'ACROSS 1 key client ' + b'0' * 64 + b'\n',
        b'ACROSS 1 key client ' + b'0' * 64 + b'\nACROSS 1 key proof ' + b'0' * 64 + b'\n',
        b'ACROSS 1 key client '
        + b'0' * 64
        + b'\nACROSS 1 key proof '
        + b'0' * 64
        + b'\n'
        + greeting(),
    ],
)
def test_nothing_is_unpickled_before(first: bytes) -> None:
    EXPLODED.clear()
    with stranger() as (sock, conn):
        sock.sendall(first + bomb())
        assert raised_by(conn.call, abs, -1).__cause__ is not None
        assert not conn._link.reader.reads
    assert not EXPLODED.is_set()


@pytest.mark.parametrize('timeout', [0.2 * SECOND, 60])
@pytest.mark.parametrize('role', ['client', 'either'])
def test_nothing_is_unpickled_where_a_proof_should_be(role: str, timeout: float) -> None:
    EXPLODED.clear()
    with stranger(timeout=timeout) as (sock, conn):
        sock.sendall(f'ACROSS 1 key {role} {"0" * 64}\n'.encode())
        assert sock.recv(1)  # so it was read, and what follows is read by itself
        sock.sendall(bomb() if timeout > 1 else bomb()[:-1])
        raised_by(conn.call, abs, -1)
        assert not conn._link.reader.reads
    assert not EXPLODED.is_set()


def test_the_bomb_is_one() -> None:
    EXPLODED.clear()
    ours, theirs = socket.socketpair()
    conn = Connection.from_socket(theirs)
    with ours:
        ours.sendall(greeting() + bomb())
        assert EXPLODED.wait(10 * SECOND)
    finish(conn)


def test_a_stranger_is_told_nothing() -> None:
    with stranger() as (sock, conn):
        sock.sendall(b'ACROSS 1 key client ' + b'0' * 64 + b'\n')
        said = receive(sock, b'\n')
        sock.sendall(b'ACROSS 1 key proof ' + b'0' * 64 + b'\n' + greeting())
        finish(conn)
        while data := sock.recv(4096):
            said += data
    lines = said.splitlines()
    assert lines[0].startswith(b'ACROSS 1 key server ')
    assert lines[1:] == [b'ACROSS 1 key refused']


def test_replaying_a_client() -> None:
    """All that a client has said, recorded, and said again to the same server."""
    with over_relay() as (conn, recorded, server):
        assert conn.call(abs, -1) == 1
        finish(conn)
        with socket.create_connection(server.address) as sock:
            sock.sendall(recorded())
            said = b''
            while data := receive_some(sock):
                said += data
    assert said.splitlines()[1:] == [b'ACROSS 1 key refused']


def receive_some(sock: socket.socket) -> bytes:
    sock.settimeout(10 * SECOND)
    try:
        return sock.recv(4096)
    except ConnectionError:  # it did not wait for the rest of what we sent
        return b''


@contextmanager
def over_relay() -> Iterator[tuple[Connection, Callable[[], bytes], Server]]:
    """A client and a server that talk through a relay, which records what the client says."""
    record = bytearray()

    def pump(source: socket.socket, sink: socket.socket, recording: bool) -> None:
        while data := receive_some(source):
            if recording:
                record.extend(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    handler = LocalConnectionHandler(options=OPTIONS)
    with Server.listen_tcp('127.0.0.1', 0, handler=handler) as server:
        ours, middle = socket.socketpair()
        with middle, socket.create_connection(server.address) as beyond:
            pumps = [
                threading.Thread(target=pump, args=(middle, beyond, True)),
                threading.Thread(target=pump, args=(beyond, middle, False)),
            ]
            for each in pumps:
                each.start()
            yield (
                Connection.from_socket(ours, server_side=False, options=OPTIONS),
                lambda: bytes(record),
                server,
            )
            for each in pumps:
                each.join()


def test_two_connections_of_a_server_cannot_be_tied_together() -> None:
    """Else whoever passes on what a server says to itself would be let in."""
    with stranger() as (one, conn), stranger() as (other, other_conn):
        for sock, sink in ((one, other), (other, one)):
            sink.sendall(receive(sock, b'\n').replace(b'key server', b'key client'))
        one.shutdown(socket.SHUT_WR)
        other.shutdown(socket.SHUT_WR)
        for each in (conn, other_conn):
            assert not each.is_connected()
            text = str(raised_by(each.call, abs, -1))
            assert 'the peer closed the connection' in text
            finish(each)
        assert one.recv(100) == other.recv(100) == b''


def test_an_impostor_gets_nothing_to_run() -> None:
    """A server without the key sees a greeting and a MAC; whatever it answers is refused."""
    EXPLODED.clear()
    ours, theirs = socket.socketpair()
    conn = Connection.from_socket(ours, server_side=False, options=OPTIONS)
    with theirs:
        theirs.settimeout(10 * SECOND)
        theirs.sendall(b'ACROSS 1 key server ' + b'0' * 64 + b'\n')
        receive(theirs, b'platform=' + sys.platform.encode() + b' timeout=60.0')
        theirs.sendall(b'ACROSS 1 key proof ' + b'0' * 64 + b'\n' + greeting() + bomb())
        assert str(error_of(conn)).endswith(FAILED)
    assert not EXPLODED.is_set()


@pytest.mark.parametrize('said', [b'', b'ACROSS 1 key client ' + b'0' * 64 + b'\n', b'ACROSS 1 k'])
def test_a_silent_stranger_is_given_up(said: bytes) -> None:
    with stranger(timeout=0.2 * SECOND) as (sock, conn):
        sock.sendall(said)
        assert 'no handshake within' in str(raised_by(conn.call, abs, -1))


@pytest.mark.parametrize('first', [b'', b'ACROSS 1 key client ' + b'0' * 64 + b'\n'])
def test_an_endless_line_is_given_up(first: bytes) -> None:
    with stranger() as (sock, conn):
        sock.sendall(first + b'ACROSS 1 key ' + b'0' * 10_000)
        assert 'the peer does not speak the protocol' in str(raised_by(conn.call, abs, -1))


def test_strangers_hold_up_nobody() -> None:
    handler = LocalConnectionHandler(options=OPTIONS)
    with Server.listen_tcp('127.0.0.1', 0, handler=handler) as server, ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.create_connection(server.address))
            sock.sendall(b'ACROSS 1 key client ' + b'0' * 64 + b'\n')
        with Connection.from_tcp(*server.address, options=OPTIONS) as conn:
            assert conn.call(abs, -1) == 1
        server.cancel()
