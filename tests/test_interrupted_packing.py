"""Ctrl-C between any two lines of what packs a call: no reference is left behind."""

from __future__ import annotations

import pytest

from support.ends import run_script
from support.interpreters import bare_command
from support.waiting import SECOND

# In a process with hardly another thread: CPython 3.11 can get caught where a function that is
# traced begins, if another thread asks for the interpreter lock at that moment.
INTERRUPTED_AT_EVERY_LINE = """
import linecache, sys, time
from across import Connection, ref
from across._core import calls, payloads
from across._core.threads.context import context
from across._core.values import pickling

FILES = {module.__file__ for module in (calls, payloads, pickling)}

class Thing:
    pass

def give(value):
    pass

def interrupt_at(line, func):
    # Call a function, and raise KeyboardInterrupt before the given line of ours that it runs.
    # Returns whether it runs that many before it begins to send.
    left, sends = line, False

    def trace(frame, event, arg):
        nonlocal left, sends
        if frame.f_code.co_filename not in FILES:
            return None
        if event == 'line' and not sends:
            source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            sends = source.startswith('link.sender.send')
            # A nested `try:` is not covered by the outer one when traced; no handler runs there.
            left -= source != 'try:' and not sends
            if left == 0:
                sends = True
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        func()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
        # Raised at the line that resets it, which no handler can do: nothing is called there.
        context.session = None
    return left == 0

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
        assert time.monotonic() < deadline, f'a reference is left after an interrupt at line {line}'
        conn.call(int)  # releases come with the answer

kind = sys.argv[1]
conn = Connection.from_command(sys.argv[2:])
conn.call(int)
exports = conn._link.exports
line = 1
while interrupt_at(line, use):
    wait_until_empty()
    line += 1
wait_until_empty()
assert conn.is_connected()
conn.close()
print(line)
"""


@pytest.mark.parametrize('kind', ['call', 'submit', 'post'])
def test_interrupted_at_every_line(kind: str) -> None:
    lines = run_script(INTERRUPTED_AT_EVERY_LINE, kind, *bare_command(), timeout=30 * SECOND)
    assert int(lines) > 20
