"""`across._core.debug`: what is printed at which level, and where to."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from across._core import debug

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
