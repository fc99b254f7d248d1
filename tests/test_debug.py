"""`across._core.debug`: what is printed at which level, and where to."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, Options
from across._core import debug
from across._core.handshake import describe_process
from support.ends import finish, pair, raised_by, stay
from support.interpreters import bare_command

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    debug.set_debug_level(0)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, '__stderr__', stream)
    return stream


def lines(stderr: io.StringIO) -> list[tuple[str, str]]:
    """Severity and text of each line, without what a bare peer fetches of the library."""
    found = re.findall(r'\] (\w+) +.*?  (.*)\n', stderr.getvalue())
    return [line for line in found if not line[1].startswith("it imports the module 'across.")]


def log_one_of_each() -> None:
    for severity in ('DEBUG', 'INFO', 'WARNING', 'ERROR'):
        debug.log(severity, 'wonderland:1865', f'one {severity}')


@pytest.mark.parametrize(
    ('level', 'expected'),
    [
        (0, []),
        (1, ['INFO', 'WARNING', 'ERROR']),
        (2, ['DEBUG', 'INFO', 'WARNING', 'ERROR']),
    ],
)
def test_levels(level: int, expected: list[str], stderr: io.StringIO) -> None:
    debug.set_debug_level(level)
    assert debug.verbosity == level
    log_one_of_each()
    assert re.findall(r'one (\w+)', stderr.getvalue()) == expected


def test_line_names_time_process_and_peer(stderr: io.StringIO) -> None:
    debug.set_debug_level(1)
    debug.log('INFO', 'wonderland:1865', 'connected')
    assert re.fullmatch(
        rf'\d\d:\d\d:\d\d\.\d{{3}} across \[{os.getpid()}\] INFO    wonderland:1865  connected\n',
        stderr.getvalue(),
    )


@pytest.mark.parametrize('level', [-1, 3, '1', None, True, 1.5, [], float('nan')])
def test_senseless_levels(level: Any) -> None:
    with pytest.raises(ValueError) as caught:
        debug.set_debug_level(level)
    assert str(caught.value) == f'debug level must be 0, 1 or 2, not {level!r}'
    assert debug.verbosity == 0


def test_redirected_stderr_gets_nothing(
    stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sys.stderr` may lead to the peer; each line would then cause the next one."""
    redirected = io.StringIO()
    monkeypatch.setattr(sys, 'stderr', redirected)
    debug.set_debug_level(2)
    log_one_of_each()
    assert stderr.getvalue()
    assert not redirected.getvalue()


def test_closed_or_missing_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    debug.set_debug_level(2)
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, '__stderr__', stream)
        log_one_of_each()


@pytest.mark.parametrize('level', [1, 2])
def test_what_is_told_of_a_bare_peer(level: int, stderr: io.StringIO) -> None:
    debug.set_debug_level(level)
    command = bare_command()
    with Connection.from_command(command) as conn:
        pid = conn.call(os.getpid)
        conn.export('colorsys')
        conn.execute('import colorsys')
        raised_by(conn.execute, 'import across.nothing')
    info = describe_process(Options())
    assert lines(stderr) == [
        (severity, text)
        for severity, text in [
            ('DEBUG', f'started with: {shlex.join(command)}'),
            ('DEBUG', f'the peer is a bare {info.cache_tag}: sending the library'),
            ('INFO', f'connected to {info}, process {pid}'),
            ('DEBUG', 'exported to it: colorsys'),
            ('DEBUG', "it imports the module 'colorsys'"),
            ('DEBUG', "it asked in vain for the module 'across.nothing'"),
            ('INFO', 'it was closed'),
        ]
        if level == 2 or severity == 'INFO'
    ]
    assert ("it imports the module 'across." in stderr.getvalue()) == (level == 2)


def test_what_is_told_of_a_lost_peer(stderr: io.StringIO) -> None:
    debug.set_debug_level(1)
    conn = Connection.from_command(bare_command())
    pid = conn.call(os.getpid)
    raised_by(conn.call, os.kill, pid, signal.SIGKILL)
    finish(conn)
    severity, text = lines(stderr)[-1]
    assert severity == 'ERROR'
    assert text.startswith(f'process {pid} ')
    assert text.endswith(' was killed by SIGKILL')


@pytest.mark.parametrize('level', [1, 2])
def test_what_both_sides_tell(level: int, stderr: io.StringIO) -> None:
    debug.set_debug_level(level)
    with pair(there=Options(accept_exported_modules=True, max_calls=1)) as (ours, _):
        ours.export('colorsys')
        running = ours.submit(stay)
        refusal = raised_by(ours.call, abs, -1)
        running.cancel()
    told = [text for severity, text in lines(stderr) if severity == 'DEBUG']
    if level == 1:
        assert told == []
        return
    assert told == [
        'it exported: colorsys',
        'exported to it: colorsys',
        f'refused a call, and told it: {refusal}',
    ]
