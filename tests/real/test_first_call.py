"""The main job: a local function runs in an interpreter that has nothing installed."""

from __future__ import annotations

import math
import os
import platform
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from across import Connection
    from support.interpreters import Interpreter

OFFSET = 1000


def test_function_of_the_standard_library(bare: Connection) -> None:
    assert bare.call(math.hypot, 3, 4) == 5
    assert bare.call(os.getpid) != os.getpid()


def test_version_is_the_one_asked_for(bare: Connection, interpreter: Interpreter) -> None:
    assert bare.call(platform.python_version).startswith(f'{interpreter.name}.')


def test_closure_travels_by_value(bare: Connection) -> None:
    factor = 7

    def scale(value: int) -> int:
        return value * factor + OFFSET

    assert bare.call(scale, 6) == 1042


def test_exception_shows_the_line_that_raised_it(bare: Connection) -> None:
    def divide(total: float, parts: float) -> float:
        return total / parts  # over there

    with pytest.raises(ZeroDivisionError) as caught:
        bare.call(divide, 1, 0)
    shown = ''.join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert 'return total / parts  # over there' in shown
    assert os.path.basename(__file__) in shown


def test_proxy(bare: Connection) -> None:
    names = bare.call_ref(list)
    names.append('Alice')
    assert (len(names), names[0], list(names)) == (1, 'Alice', ['Alice'])


def test_peer_has_nothing_installed(bare: Connection) -> None:
    paths = bare.execute('import sys; sys.path')
    assert not [path for path in paths if 'site-packages' in path]
    assert bare.execute('import os; os.listdir()') == []


def test_call_over_ssh(bare_over_ssh: Connection, interpreter: Interpreter) -> None:
    version, connection = bare_over_ssh.call(
        lambda: (sys.version_info[:2], os.environ.get('SSH_CONNECTION'))
    )
    assert tuple(version) == interpreter.version
    assert connection


def test_python3_of_the_login_shell(python3_over_ssh: Connection) -> None:
    assert python3_over_ssh.call(os.getpid) != os.getpid()
