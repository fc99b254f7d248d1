"""Clients that are refused: whoever runs a server can see it."""

from __future__ import annotations

import logging
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from across import Connection, Options
from across.servers import LocalConnectionHandler, ProcessConnectionHandler, Server
from across.servers.refusals import LONGEST, MOST, PERIOD, Refusals
from servers.processes import running_server
from support.ends import finish, raised_by
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from across.servers import ConnectionHandler

HANDLERS = [LocalConnectionHandler, ProcessConnectionHandler]
FAILED = 'authentication failed: the two sides have different keys'


@pytest.mark.parametrize('kind', HANDLERS)
def test_wrong_key(
    kind: Callable[..., ConnectionHandler], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = str(tmp_path / 'socket')
    handler = kind(options=Options(authkey='looking-glass'))
    with Server.listen_unix(path, handler=handler) as server:
        for key, reason in (('wardrobe', FAILED), (None, 'the peer has no key, and this side ')):
            conn = Connection.from_unix(path, options=Options(authkey=key))
            raised_by(conn.call, abs, -1)
            finish(conn)
            (record,) = wait_until(lambda: caplog.records)
            assert (record.name, record.levelno) == ('across.servers', logging.WARNING)
            text = record.getMessage()
            assert text.startswith('a client was refused: ')
            assert reason in text
            assert not [each for each in ('looking', 'wardrobe') if each in text]
            caplog.clear()
        with Connection.from_unix(path, options=Options(authkey='looking-glass')):
            pass
        wait_until(lambda: server.connection_count == 0)
    assert not caplog.records


@pytest.mark.parametrize('kind', HANDLERS)
@pytest.mark.parametrize('said', [b'', b'GET / HTTP/1.1\r\n', b'ACROSS 1 peer nonsense\n'])
def test_who_does_not_try_is_not_worth_a_word(
    kind: Callable[..., ConnectionHandler],
    said: bytes,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    path = str(tmp_path / 'socket')
    with Server.listen_unix(path, handler=kind()) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(said)
        with Connection.from_unix(path):
            pass  # by then the server knows the other one, too
        wait_until(lambda: server.connection_count == 0)
    assert not caplog.records


def test_a_stranger_fills_no_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals()
    for _ in range(MOST + 3):
        refusals.report('a reason')
    assert caplog.messages == ['a client was refused: a reason'] * MOST
    caplog.clear()
    later = time.monotonic() + PERIOD
    monkeypatch.setattr(time, 'monotonic', lambda: later)
    refusals.report('a reason')
    refusals.report('another')
    assert caplog.messages == [
        'a client was refused: a reason (3 others were before, and are not shown)',
        'a client was refused: another',
    ]


def test_a_stranger_writes_no_lines_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    Refusals().report('a reason\nINFO all is well\x1b[2J' + 'x' * LONGEST)
    text = caplog.messages[0]
    assert text.startswith(r"a client was refused: 'a reason\nINFO all is well\x1b[2Jxxx")
    assert len(text) < 2 * LONGEST


def test_without_any_logging_set_up_it_is_a_line_of_standard_error(tmp_path: Path) -> None:
    path = tmp_path / 'socket'
    with running_server(path, 'ProcessConnectionHandler', "Options(authkey='a')") as process:
        conn = Connection.from_unix(str(path), options=Options(authkey='b'))
        raised_by(conn.call, abs, -1)
        finish(conn)
        line = process.read_error()
        process.send_signal(signal.SIGTERM)
        assert process.finish() == ('returned', '', 0)
    assert line.startswith('a client was refused: ')
    assert line.endswith(FAILED)
