"""Ctrl-C between any two steps of what packs a call: no reference is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.ends import run_script
from support.interpreters import bare_command
from support.waiting import SECOND

INTERRUPTED_AT_EVERY_STATEMENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.probes import interrupt, probe
probe(['across._core.calls', 'across._core.payloads', 'across._core.values.pickling'])
from across import Connection, ref

class Thing:
    pass

def give(value):
    pass

def use():
    if kind == 'submit':
        conn.submit(give, ref(Thing())).result()
    elif kind == 'post':
        conn._link.calls.post(give, ref(Thing()))
    else:
        conn.call(give, ref(Thing()))

def wait_until_empty():
    deadline = time.monotonic() + 10
    while len(exports):
        assert time.monotonic() < deadline, f'a reference is left after interrupt {number}'
        conn.call(int)  # releases come with the answer

kind = sys.argv[2]
conn = Connection.from_command(sys.argv[3:])
conn.call(int)
exports = conn._link.exports
number = 1
while interrupt(number, use, last='link.sender.send'):
    wait_until_empty()
    number += 1
wait_until_empty()
assert conn.is_connected()
conn.close()
print(number)
"""


@pytest.mark.parametrize('kind', ['call', 'submit', 'post'])
def test_interrupted_at_every_statement(kind: str) -> None:
    tests, peer = Path(__file__).parent, bare_command()
    numbers = run_script(INTERRUPTED_AT_EVERY_STATEMENT, tests, kind, *peer, timeout=30 * SECOND)
    assert int(numbers) > 20
