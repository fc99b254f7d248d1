"""What users and strangers get wrong, and what they are told.

A message is one clear sentence: what failed, on which peer, what to do.
"""

from __future__ import annotations

import copy
import errno
import http.server
import os
import re
import socket
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from across import AcrossError, Connection, DisconnectError, OperationError, Options, ProtocolError
from support.ends import bare_peer, greeting, pair, raised_by
from support.interpreters import bare_command
from support.namespaces import without_network
from support.waiting import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 500 * MS


def failure(conn: Connection) -> str:
    """What all who use a connection are told that never came about; closes it."""
    error = raised_by(conn.call, abs, -1)
    assert isinstance(error, DisconnectError), repr(error)
    again = raised_by(conn.submit, abs, -1)
    assert type(again) is type(error)
    assert str(again) == str(error)
    ending = raised_by(conn.close)
    assert isinstance(ending, AcrossError)
    assert str(ending) in str(error)
    conn.close()
    return check_sentence(str(error))


def check_sentence(text: str) -> str:
    assert not text.endswith('.')
    assert 'Traceback' not in text
    assert len(text) < 2000
    return text


# ------------------------------------------------------------------------- no such peer


def test_refused_port() -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    conn = Connection.from_tcp('127.0.0.1', port)
    error = raised_by(conn.call, abs, -1)
    assert isinstance(error.__cause__, ConnectionRefusedError)
    text = failure(conn)
    assert f'127.0.0.1:{port}' in text
    assert text.endswith('Connection refused')


def test_unreachable_host() -> None:
    command = without_network(bare_command())
    source = 'import across; across.Connection.from_tcp("192.0.2.1", 9).call(abs, -1)'
    with Connection.from_command(command) as conn:
        error = raised_by(conn.execute, source)
    assert type(error) is DisconnectError
    assert str(error) == 'cannot connect to 192.0.2.1:9: Network is unreachable'
    cause = error.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.ENETUNREACH


def test_host_that_does_not_answer() -> None:
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(('127.0.0.1', 0))
        server.listen(0)
        host, port = server.getsockname()
        for fill in (first, second):
            fill.setblocking(False)
            fill.connect_ex((host, port))
        text = failure(Connection.from_tcp(host, port, options=Options(timeout=TIMEOUT)))
        assert f'{host}:{port}' in text
        assert re.search(r'timed out|within 0\.\d+ s', text)


def test_unknown_host() -> None:
    text = failure(Connection.from_tcp('no-such-host.invalid', 80))
    assert 'cannot find the address of no-such-host.invalid' in text


def test_missing_unix_socket(tmp_path: Path) -> None:
    text = failure(Connection.from_unix(str(tmp_path / 'socket')))
    assert str(tmp_path / 'socket') in text
    assert 'No such file' in text


@pytest.mark.parametrize(
    ('host', 'port'), [('wonderland', 0), ('wonderland', 65536), ('wonderland', '80'), (None, 80)]
)
def test_senseless_addresses(host: Any, port: Any) -> None:
    error = raised_by(Connection.from_tcp, host, port)
    assert type(error) in (TypeError, ValueError)
    assert re.match('(host|port) must be ', str(error))


def test_missing_command() -> None:
    conn = Connection.from_command(['no-such-command', 'x'])
    assert isinstance(raised_by(conn.call, abs, -1).__cause__, FileNotFoundError)
    assert 'no-such-command' in failure(conn)


def test_missing_interpreter_on_the_far_side(capfd: pytest.CaptureFixture[str]) -> None:
    """As over ssh: a login shell there looks for it."""
    text = failure(Connection.from_shell('no-such-python -c "$0"'))
    assert 'no-such-python' in text
    assert 'ended with status 127 (command not found)' in text
    assert 'no-such-python' in capfd.readouterr().err


@pytest.mark.parametrize('version', ['2.7', '3.6', '3.7'])
def test_far_side_too_old(version: str) -> None:
    found = sorted(Path.home().glob(f'.pyenv/versions/{version}.*/bin/python'))
    if not found:
        pytest.skip(f'no Python {version} in ~/.pyenv/versions')
    command = [str(found[0]), '-c', bare_command()[-1]]
    text = failure(Connection.from_command(command))
    assert 'across needs Python 3.8 or newer on the other side' in text
    assert version in text
    with pytest.raises(ProtocolError, match=re.escape(version)), Connection.from_command(command):
        pytest.fail('the block ran')


# ------------------------------------------------------------------------- wrong peer


def answering(data: bytes, end: bool = False) -> Connection:
    """A connection to a peer that says `data`, and nothing else."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    if end:
        theirs.shutdown(socket.SHUT_WR)
    conn = Connection.from_socket(ours, options=Options(timeout=TIMEOUT))
    raised_by(conn.call, abs, -1)
    theirs.close()
    return conn


def test_http_server() -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), Quiet) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        host, port = server.socket.getsockname()
        text = failure(Connection.from_tcp(host, port))
        thread.join()
    assert f'{host}:{port}' in text
    assert 'does not speak the protocol of across; it sent: ' in text
    assert 'HTML' in text


@pytest.mark.parametrize(
    'banner',
    [
        'SSH-2.0-OpenSSH_9.2p1 Debian-2',
        'Welcome to wonderland!\nLast login: Monday',
        'bash: line 1: python3: command not found',
        'ä banner of “another” kind',
        'A',
    ],
)
def test_text_on_standard_output(banner: str) -> None:
    conn = Connection.from_command(['sh', '-c', 'echo "$0"; exec cat >/dev/null', banner])
    error = raised_by(conn.call, abs, -1)
    assert isinstance(error.__cause__, ProtocolError)
    text = failure(conn)
    assert 'does not speak the protocol of across; it sent: ' in text
    assert banner in text


def test_a_process_that_says_nothing() -> None:
    text = failure(Connection.from_command(['sleep', '60'], options=Options(timeout=TIMEOUT)))
    assert 'sleep 60' in text
    assert 'no handshake within 0.5 s' in text or SECOND != 1


def test_a_process_that_ends() -> None:
    assert 'ended with status 3 before the handshake' in failure(Connection.from_shell('exit 3'))


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'', 'closed the connection before the handshake'),
        (b'ACROSS', 'it sent: ACROSS'),
        (bytes(range(256)) * 100, r"it sent: '\\x00\\x01"),
        (b'\xff' * 10, r"it sent: '\\xff"),
        (b'ACROSS 1 peer ' + b'x' * 100_000, 'it sent: ACROSS 1 peer xxx'),
        (b'ACROSS 1 peer host=x\n', 'a greeting that makes no sense: ACROSS 1 peer host=x'),
        (b'ACROSS one peer\n', 'ACROSS one peer|version one'),
        (b'ACROSS 1 bios cpython-37\n', 'needs Python 3.8 or newer on the other side.*3.7'),
        (b'ACROSS 1 peer\n', 'ACROSS 1 peer'),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else '',
)
def test_other_greetings(data: bytes, expected: str) -> None:
    assert re.search(expected, failure(answering(data, end=True)), re.DOTALL)


def test_version_mismatch() -> None:
    text = failure(answering(greeting().replace(b'ACROSS 1', b'ACROSS 2')))
    assert 'the peer speaks version 2 of the protocol, this side version 1' in text
    assert 'install the same version of across on both sides' in text


# ------------------------------------------------------------------------- wrong values


@pytest.fixture
def peer() -> Iterator[Connection]:
    """A bare peer; what goes wrong concerns one operation, and the connection goes on."""
    with bare_peer() as conn:
        yield conn
        assert conn.call(abs, -1) == 1


LOCK = "cannot pickle '_thread.lock' object: "


@pytest.mark.parametrize(
    ('args', 'kwargs', 'where'),
    [
        ((threading.Lock(),), {}, 'argument 1'),
        ((1, [2, threading.Lock()]), {}, 'argument 2, item 2'),
        ((), {'sep': {'a': threading.Lock()}}, "keyword argument 'sep', key 'a'"),
    ],
)
def test_unpicklable_argument(peer: Connection, args: Any, kwargs: Any, where: str) -> None:
    for use in (peer.call, peer.submit, peer.call_ref):
        error = raised_by(lambda use=use: use(print, *args, **kwargs))
        assert type(error) is OperationError
        assert str(error) == f'{LOCK}{where}; across.ref(…) passes a proxy of it'


def test_unpicklable_replica_and_variable(peer: Connection) -> None:
    for error in (
        raised_by(peer.replicate, threading.Lock()),
        raised_by(lambda: peer.execute('x', x=threading.Lock())),
    ):
        assert type(error) is OperationError
        assert str(error).startswith(LOCK.rstrip(': '))


def test_unpicklable_result(peer: Connection) -> None:
    for error in (
        raised_by(peer.call, threading.Lock),
        raised_by(peer.execute, 'import threading\n{"x": [threading.Lock()]}'),
        peer.submit(threading.Lock).exception(5 * SECOND),
    ):
        assert type(error) is OperationError
        assert str(error).startswith(LOCK + 'the result')
        assert str(error).endswith('; call_ref() leaves it over there, and returns a proxy')
    assert "the result, key 'x', item 1" in str(
        raised_by(peer.execute, 'import threading\n{"x": [threading.Lock()]}')
    )


def test_unpicklable_exceptions(peer: Connection) -> None:
    """They come as what they are; an argument that can't travel is the text of it."""
    error = raised_by(peer.execute, 'import threading\nraise ValueError("a", threading.Lock())')
    assert type(error) is ValueError
    assert re.fullmatch(r"\('a', '<unlocked _thread\.lock object at 0x\w+>'\)", str(error))
    source = """
    class Odd(Exception):
        def __reduce__(self):
            raise TypeError('made of air')
    raise Odd('hello', 5)
    """
    error = raised_by(peer.execute, textwrap.dedent(source))
    assert (type(error).__name__, type(error).__bases__) == ('Odd', (Exception,))
    assert str(error) == "('hello', 5)"


def test_module_missing_on_the_far_side(peer: Connection) -> None:
    psutil = pytest.importorskip('psutil')
    error = raised_by(peer.call, psutil.cpu_count)
    assert type(error) is OperationError
    version = peer.execute('import platform; platform.python_version()')
    assert f"{socket.gethostname()} (CPython {version}) has no module 'psutil'" in str(error)
    assert str(error).endswith("conn.export('psutil')")


def test_module_missing_here(peer: Connection) -> None:
    error = raised_by(
        peer.execute,
        """
import sys, types
module = sys.modules['only_there'] = types.ModuleType('only_there')
exec('class Thing: pass', module.__dict__)
module.Thing()
""",
    )
    assert type(error) is OperationError
    assert "has no module 'only_there'" in str(error)


@pytest.mark.parametrize(
    ('module', 'error', 'text'),
    [
        ('os.path', ValueError, "cannot export the submodule 'os.path'; export 'os' in its place"),
        ('no_such_module', ModuleNotFoundError, "cannot export 'no_such_module': there is no such"),
        (3, TypeError, r'export\(\) takes modules and names of modules, not 3'),
        ('sys', ValueError, "cannot export 'sys': it is part of the interpreter"),
        (os.path, ValueError, 'cannot export'),
    ],
)
def test_senseless_exports(peer: Connection, module: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        peer.export(module)


def test_export_refused_by_the_options() -> None:
    with pair() as (ours, _):
        error = raised_by(ours.export, 'json')
        assert type(error) is OperationError
        assert 'does not accept exported modules' in str(error)
        assert 'Options(accept_exported_modules=True)' in str(error)
        assert ours.call(abs, -1) == 1


# -------------------------------------------------------------------- wrong options


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        ({'timeout': 0}, ValueError, "option 'timeout' must be a number of seconds above 0"),
        ({'timeout': -1}, ValueError, "option 'timeout' must be a number of seconds above 0"),
        ({'timeout': 'x'}, TypeError, "option 'timeout' must be .*, not 'x'"),
        ({'timeout': True}, TypeError, "option 'timeout' must be .*, not True"),
        ({'timeuot': 1}, TypeError, "unknown option 'timeuot'; did you mean 'timeout'?"),
        ({'max_calls': 0}, ValueError, "option 'max_calls' must be a whole number of calls"),
        ({'max_frame_size': 1}, ValueError, "option 'max_frame_size' must be .* 65536 or more"),
    ],
)
def test_senseless_options(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Options(**options)


def test_options_of_another_type_are_refused_before_anything_is_spawned(tmp_path: Path) -> None:
    mark = tmp_path / 'mark'
    options: Any = {'timeout': 1}
    with pytest.raises(TypeError, match=r'must be an instance of across\.Options, not dict'):
        Connection.from_command(['touch', str(mark)], options=options)
    assert not mark.exists()


# -------------------------------------------------------------------- wrong connection


def test_call_on_a_closed_and_on_a_cancelled_connection() -> None:
    for verb in ('close', 'cancel'):
        with bare_peer() as conn:
            getattr(conn, verb)()
            text = str(raised_by(conn.call, abs, -1))
            assert text.startswith('no connection to process ')
            assert re.search('it was (closed|cancelled)$', text)
            assert verb[:5] in text.rpartition(':')[2]


def test_call_of_what_is_no_function(peer: Connection) -> None:
    for use in (peer.call, peer.call_ref, peer.submit):
        with pytest.raises(TypeError, match="expected a function to call, not 'int'"):
            use(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match='the source must be a str, not bytes'):
        peer.execute(b'1')  # type: ignore[arg-type]


def test_proxy_over_the_wrong_connection(peer: Connection) -> None:
    proxy = peer.call_ref(list, [1])
    with bare_peer() as other:
        error = raised_by(other.call, len, proxy)
        assert type(error) is OperationError
        assert '<proxy of builtins.list object at ' in str(error)
        assert 'belongs to another connection; pass ref(proxy)' in str(error)
        assert other.call(abs, -1) == 1
    assert len(proxy) == 1


def test_proxy_after_its_connection_closed() -> None:
    with bare_peer() as conn:
        proxy = conn.call_ref(list, [1])
        conn.close()
        for use in (len, list, copy.deepcopy, lambda proxy: proxy.append(1)):
            error = raised_by(use, proxy)
            assert isinstance(error, DisconnectError)
            assert str(error).endswith('it was closed')
        assert 'list' in repr(proxy)
