"""The end of an interpreter: with connections open it does not hang, and leaves no child behind."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from support.ends import Script, bare_peer, is_running, run_script
from support.interpreters import Interpreter, bare_command
from support.peers import environment
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from pathlib import Path

LEAVE_THREAD = 'import threading, time; threading.Thread(target=time.sleep, args=[60]).start()'
# Connects, in a process of its own; prints the pid of the peer.
CONNECT = f"""
import os, socket, sys, threading, time
import across
from across import Connection, Options

LEAVE_THREAD = {LEAVE_THREAD!r}
conn = Connection.from_command(sys.argv[1:])
print(conn.call(os.getpid), flush=True)

def wait_for_calls(count):
    while len(conn._link.calls.pending) < count:
        time.sleep(0.001)
"""

# For the rest of the minute, whatever happens to the connection.
HANG = 'import time; time.sleep(60)'


def check_ends(source: str, *, status: int = 0, within: float = 3 * SECOND) -> None:
    """Run a script behind CONNECT; it must end soon, without a word, and so must its peer."""
    with Script(CONNECT + source, *bare_command()) as script:
        peer = int(script.line())
        start = time.monotonic()
        assert script.wait(within) == status
        elapsed = time.monotonic() - start
        assert script.errors() == ''
        # What is left of a child was killed before the exit, not by an exit of its parent.
        assert not is_running(peer), f'the peer lives after {elapsed:.1f} s'


@pytest.mark.parametrize(
    'source',
    {
        'open': '',
        'by sys.exit': 'sys.exit(0)',
        'a second one': 'other = Connection.from_command(sys.argv[1:])',
        'a pair of sockets': """
ours, theirs = map(Connection.from_socket, socket.socketpair())
ours.call(abs, -1)
""",
        'with a proxy': 'proxy = conn.call_ref(list)',
        'in a cycle': 'cycle = [conn]; cycle.append(cycle); del conn',
        'a handshake': """
ours, theirs = socket.socketpair()
silent = Connection.from_socket(ours)
""",
        'closed by a finalizer': """
class Owner:
    def __del__(self):
        conn.close()
owner = Owner()
""",
        'closed by atexit': 'import atexit; atexit.register(conn.close)',
        'used by atexit': """
import atexit
atexit.register(lambda: conn.call(abs, -1) == 1 or print('wrong'))
""",
    }.items(),
    ids=lambda item: item[0],
)
def test_exit_with_open_connections(source: tuple[str, str]) -> None:
    check_ends(source[1])


@pytest.mark.parametrize(
    'source',
    {
        'submitted': f'conn.submit(exec, {HANG!r}); wait_for_calls(1)',
        'in daemon threads': f"""
for _ in range(4):
    threading.Thread(target=conn.execute, args=[{HANG!r}], daemon=True).start()
wait_for_calls(4)
threading.excepthook = lambda args: None
""",
        'that only end when cancelled': """
conn.submit(exec, 'import across, time\\nwhile 1: across.check_cancelled(); time.sleep(.01)')
wait_for_calls(1)
""",
        'that hold the interpreter lock over there': """
conn.submit(exec, 'sum(range(10**12))')
wait_for_calls(1)
""",
        'that left threads over there': """
conn.execute(LEAVE_THREAD)
""",
        'from the peer': f"""
import across

def call_back(source):
    import across
    across.get_connection().submit(exec, source)

conn.call(call_back, {HANG!r})
""",
        'nested': f"""
def call_back(source):
    import across
    across.get_connection().call(exec, source)

conn.submit(call_back, {HANG!r})
wait_for_calls(1)
""",
        'with a big argument': """
conn.submit(exec, 'import time; time.sleep(60)')
import _thread
_thread.start_new_thread(conn.call, (len, bytes(64 << 20)))
wait_for_calls(2)
threading.excepthook = lambda args: None
sys.unraisablehook = lambda args: None
""",
        'and a close in a daemon thread': """
conn.execute(LEAVE_THREAD)
threading.Thread(target=conn.close, daemon=True).start()
while conn.is_connected():
    time.sleep(0.001)
""",
    }.items(),
    ids=lambda item: item[0],
)
def test_exit_with_calls_in_flight(source: tuple[str, str]) -> None:
    check_ends(source[1])


def test_exit_with_a_call_in_a_thread_that_is_waited_for() -> None:
    """As in any program: the interpreter waits for its threads first, and the call gets through."""
    output = run_script(
        CONNECT
        + """
threading.Thread(target=lambda: print(conn.call(lambda: (time.sleep(0.2), 7)[1]))).start()
""",
        *bare_command(),
    )
    assert output.split()[1] == '7'


def test_exit_with_pending_futures(interpreter: Interpreter) -> None:
    """From Python 3.12 on no thread can be started then, and callbacks run in one.

    They may be cut off by the exit, as all that daemon threads do.
    """
    source = f"""{CONNECT}
errors = []
for _ in range(3):
    future = conn.submit(time.sleep, 60)
    future.add_done_callback(lambda future: errors.append(future.exception()))
wait_for_calls(3)
"""
    command = [interpreter.path, '-c', source, *bare_command(interpreter)]
    run = subprocess.run(command, capture_output=True, env=environment(), timeout=10 * SECOND)
    assert (run.returncode, run.stderr.decode()) == (0, '')
    assert not is_running(int(run.stdout))


def test_exit_by_an_exception() -> None:
    with Script(CONNECT + 'conn.nonsense', *bare_command()) as script:
        peer = int(script.line())
        assert script.wait() == 1
        assert script.errors().strip().splitlines()[-1].startswith('AttributeError')
        wait_until(lambda: not is_running(peer), 'the peer to end')


def test_exit_without_any_cleaning_up() -> None:
    with Script(CONNECT + 'os._exit(3)', *bare_command()) as script:
        peer = int(script.line())
        assert script.wait() == 3
        wait_until(lambda: not is_running(peer), 'the peer to end')


# ------------------------------------------------------------------- orphans


def check_orphan_ends(source: str, python: object = None, within: float = 8 * SECOND) -> None:
    """Kill a process at a moment it can't know of; its peer must end by itself."""
    command = bare_command(python) if python is not None else bare_command()
    source = f"{CONNECT}{source}\nprint('ready', flush=True); time.sleep(60)"
    with Script(source, *command) as script:
        peer = psutil.Process(int(script.line()))
        assert script.line() == 'ready'
        script.process.kill()
        script.wait()
        try:
            wait_until(lambda: not is_running(peer.pid), 'the peer to end', within)
        except TimeoutError:
            peer.kill()
            raise


def test_an_idle_orphan_ends(interpreter: Interpreter) -> None:
    check_orphan_ends('', interpreter, within=3 * SECOND)


@pytest.mark.parametrize(
    'source',
    {
        'a handler': f'conn.submit(exec, {HANG!r}); wait_for_calls(1); conn.call(int)',
        'many handlers': f'[conn.submit(exec, {HANG!r}) for _ in range(20)]; conn.call(int)',
        'a thread': """
conn.execute(LEAVE_THREAD)
""",
        'a handler that ignores signals and exceptions': """
conn.submit(exec, '''
import time
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
''')
conn.call(int)
""",
        'an atexit handler': """
conn.execute('import atexit, time; atexit.register(time.sleep, 60)')
""",
        'a handler that calls back': """
def call_back():
    import across, time
    across.get_connection().call(time.sleep, 60)
conn.submit(call_back)
conn.call(int)
""",
        'a handler that sends a lot': """
conn.submit(bytes, 256 << 20)
conn.call(int)
""",
        'a child process of its own': """
conn.execute('import subprocess; child = subprocess.Popen(["sleep", "1"])')
""",
    }.items(),
    ids=lambda item: item[0],
)
def test_an_orphan_ends_although_it_runs(source: tuple[str, str]) -> None:
    check_orphan_ends(source[1])


def test_a_peer_ends_with_its_connection_although_it_has_threads() -> None:
    with bare_peer() as conn:
        pid = conn.call(os.getpid)
        conn.execute(LEAVE_THREAD)
        conn.cancel()
    assert not is_running(pid)


def test_the_exit_of_a_peer_runs_its_atexit_handlers(tmp_path: Path) -> None:
    def leave_a_mark(path: str) -> None:
        import atexit
        import pathlib

        atexit.register(pathlib.Path(path).touch)

    with bare_peer() as conn:
        conn.call(leave_a_mark, str(tmp_path / 'mark'))
        conn.close()
    assert (tmp_path / 'mark').exists()
