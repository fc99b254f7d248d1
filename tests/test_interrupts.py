"""Ctrl-C: interrupts the caller, not the connection, and not the peer."""

from __future__ import annotations

import functools
import os
import pty
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.ends import Script, is_running
from support.interpreters import bare_command
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.peers import Pair

# Runs an operation that is interrupted, then tries whether the connection is still good.
INTERRUPTED = """
import os, sys, threading, time
from across import Connection, DisconnectError, Options

conn = Connection.from_command(sys.argv[1:], options=Options(timeout=30))
conn.call(int)

def ready():
    print('ready', flush=True)

def raised_in(func, *args):
    try:
        func(*args)
    except DisconnectError:
        pass

def use():
    {use}

try:
    use()
except KeyboardInterrupt:
    print('interrupted', flush=True)
else:
    print('not interrupted', flush=True)
print(conn.is_connected(), conn.call(abs, -1), conn.submit(abs, -2).result(), flush=True)
conn.close()
print('closed', flush=True)
"""


def wait_until_asleep(pid: int) -> None:
    """Wait until the main thread of a process sleeps in a system call."""

    def is_asleep() -> bool:
        with open(f'/proc/{pid}/task/{pid}/stat', 'rb') as file:
            return file.read().rpartition(b')')[2].split()[0] == b'S'

    if os.path.isdir('/proc/self/task'):
        wait_until(is_asleep, 'the process to sleep')


@pytest.mark.parametrize(
    'use',
    {
        'call': 'ready(); conn.call(time.sleep, 60)',
        'execute': "ready(); conn.execute('import time; time.sleep(60)')",
        'future': 'future = conn.submit(time.sleep, 60); ready(); future.result()',
        'wait': 'ready(); conn.wait()',
        'proxy': """
    proxy = conn.execute('''
import across, time
class Slow:
    def sleep(self):
        time.sleep(60)
across.ref(Slow())
''')
    ready()
    proxy.sleep()
""",
        'call with other callers': """
    for _ in range(4):
        threading.Thread(target=raised_in, args=[conn.call, time.sleep, 60], daemon=True).start()
    while len(threading.enumerate()) < 5:
        time.sleep(0.001)
    ready()
    conn.call(time.sleep, 60)
""",
        'callback': """
    def call_back(func):
        import across
        across.get_connection().call(func)
    def here():
        import sys, time
        print('ready', file=sys.stdout, flush=True)
        time.sleep(60)
    conn.call(call_back, here)
""",
    }.items(),
    ids=lambda item: item[0],
)
def test_the_connection_stays_usable(use: tuple[str, str]) -> None:
    with Script(INTERRUPTED.format(use=use[1]), *bare_command()) as script:
        assert script.line() == 'ready'
        wait_until_asleep(script.process.pid)
        script.interrupt()
        assert script.line() == 'interrupted'
        assert script.line() == 'True 1 2'
        assert script.line() == 'closed'
        assert script.wait() == 0
        assert script.errors() == ''


def test_an_interrupted_call_is_cancelled_over_there() -> None:
    source = """
import os, sys, time
from across import Connection
conn = Connection.from_command(sys.argv[1:])

def work(path):
    import across, time
    with open(path, 'w', buffering=1) as output:
        print('entered', file=output)
        while not across.current_call().cancelled:
            time.sleep(0.01)
        print('cancelled', file=output)

try:
    conn.call(work, f'/proc/{os.getpid()}/fd/1')
except KeyboardInterrupt:
    conn.wait()
"""
    if not os.path.isdir('/proc/self/fd'):
        pytest.skip('the peer writes to the pipe of our output by way of /proc')
    with Script(source, *bare_command()) as script:
        assert script.line() == 'entered'
        wait_until_asleep(script.process.pid)
        script.interrupt()
        assert script.line() == 'cancelled'


@pytest.mark.parametrize('size', [1 << 20, 32 << 20])
def test_an_interrupt_amid_a_long_transfer(size: int) -> None:
    """It goes on behind it, and what it brings is dropped."""
    source = f"""
import sys
from across import Connection
conn = Connection.from_command(sys.argv[1:])
conn.call(int)
data = bytes({size})
try:
    print('ready', flush=True)
    while True:
        conn.call(bytearray, data)
except KeyboardInterrupt:
    pass
print(conn.call(abs, -1) == 1, flush=True)
conn.close()
"""
    with Script(source, *bare_command()) as script:
        assert script.line() == 'ready'
        script.interrupt()
        assert script.line() == 'True'
        assert script.wait() == 0, script.errors()


@pytest.mark.parametrize(
    'use',
    {
        'call': 'conn.call(time.sleep, 60)',
        'long transfer': 'while True: conn.call(len, bytes(10_000_000))',
        'iterate': 'next(conn.iterate(map, time.sleep, [60]))',
        'future': 'conn.submit(time.sleep, 60).result()',
        'wait': 'conn.wait()',
    }.items(),
    ids=lambda item: item[0],
)
def test_a_timeout_by_an_alarm(use: tuple[str, str]) -> None:
    """An OSError that a handler raises is none of the connection."""
    source = f"""
import signal, sys, time
from across import Connection

def ring(number, frame):
    raise TimeoutError('too long')

conn = Connection.from_command(sys.argv[1:])
list(conn.iterate(range, 3))
conn.submit(int).result()
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    {use[1]}
except TimeoutError as exc:
    print(exc, flush=True)
print(conn.call(abs, -1), flush=True)
conn.cancel()
"""
    with Script(source, *bare_command()) as script:
        assert script.line() == 'too long'
        assert script.line() == '1'
        assert script.wait() == 0, script.errors()


def test_an_interrupt_in_with_leaves_no_child() -> None:
    source = """
import sys
from across import Connection
conn = Connection.from_command(['sh', '-c', 'echo $$ >&2; exec sleep 60'])
print('ready', flush=True)
with conn:
    pass
"""
    with Script(source) as script:
        assert script.line() == 'ready'
        assert script.process.stderr is not None
        child = int(script.process.stderr.readline())
        wait_until_asleep(script.process.pid)
        script.interrupt()
        assert script.wait(3 * SECOND) == -signal.SIGINT
        assert not is_running(child)
        assert script.errors().strip().endswith('KeyboardInterrupt')


def test_an_interrupt_that_nobody_catches_ends_all() -> None:
    source = """
import os, sys, time
from across import Connection
with Connection.from_command(sys.argv[1:]) as conn:
    print(conn.call(os.getpid), flush=True)
    conn.call(time.sleep, 60)
"""
    with Script(source, *bare_command()) as script:
        peer = int(script.line())
        wait_until_asleep(script.process.pid)
        script.interrupt()
        # The handler over there is let alone for the timeout at most; a user need not wait for it.
        assert script.wait(3 * SECOND) == -signal.SIGINT
        wait_until(lambda: not is_running(peer))


def test_an_interrupt_while_forwarded_output_is_shown() -> None:
    """What is shown at that moment may be lost; what comes behind it is shown by somebody else."""
    source = """
import io, os, signal, sys, threading, time
from across import Connection, Options

real = sys.stdout

class Output(io.StringIO):
    interrupted = False

    def write(self, text):
        super().write(text)
        if not self.interrupted and threading.current_thread() is threading.main_thread():
            self.interrupted = True
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

sys.stdout = output = Output()
conn = Connection.from_command(sys.argv[1:], options=Options(forward_stdio=True))
rounds = 0
while not output.interrupted:  # usually a service thread shows it
    try:
        conn.execute('for i in range(30): print(i, end=" ", flush=True)')
        rounds += 1
    except KeyboardInterrupt:
        print('interrupted', file=real)
posts = conn._link.posts
while posts.arrived != posts.done:
    time.sleep(0.001)
print(conn.call(abs, -1), file=real)
conn.call(print, 'the end')
shown = output.getvalue()
print(shown.endswith('29 the end\\n'), shown.count('29') == rounds + 1, file=real)
conn.close()
"""
    with Script(source, *bare_command()) as script:
        assert [script.line(), script.line(), script.line()] == ['interrupted', '1', 'True True']
        assert script.wait() == 0
        assert script.errors() == ''


# -------------------------------------------------------------- at a terminal


class Terminal:
    """A script in the foreground of a terminal of its own."""

    def __init__(self, source: str, *args: str) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.execv(sys.executable, [sys.executable, '-c', source, *args])
        self._shown = b''

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self._fd)

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def wait_for(self, text: str) -> str:
        """Read until the terminal has shown a text; all that it has shown."""
        deadline = time.monotonic() + 8 * SECOND
        while text.encode() not in self._shown:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                raise TimeoutError(f'no {text!r} in {self._shown.decode()!r}')
            self._shown += os.read(self._fd, 4096)
        return self._shown.decode()


def test_ctrl_c_at_a_terminal_spares_the_peer() -> None:
    source = INTERRUPTED.format(use='ready(); conn.call(time.sleep, 60)')
    with Terminal(source, *bare_command()) as terminal:
        terminal.wait_for('ready\r\n')
        wait_until_asleep(terminal.pid)
        terminal.type(b'\x03')
        shown = terminal.wait_for('closed\r\n')
        assert 'interrupted\r\n' in shown
        assert 'True 1 2\r\n' in shown
        assert 'Traceback' not in shown


def test_ctrl_c_again_and_again() -> None:
    source = """
import sys, time
from across import Connection
conn = Connection.from_command(sys.argv[1:])
conn.call(int)
for _ in range(5):
    try:
        print('ready', _, flush=True)
        conn.call(time.sleep, 60)
    except KeyboardInterrupt:
        print('interrupted', flush=True)
print('usable', conn.call(abs, -1), flush=True)
conn.close()
"""
    with Terminal(source, *bare_command()) as terminal:
        for i in range(5):
            terminal.wait_for(f'ready {i}\r\n')
            wait_until_asleep(terminal.pid)
            terminal.type(b'\x03')
        shown = terminal.wait_for('usable 1\r\n')
        assert shown.count('interrupted') == 5
        assert 'Traceback' not in shown


def test_programs_that_the_peer_starts_are_interrupted_as_usual() -> None:
    """The peer ignores Ctrl-C for itself only: its children have the usual disposition."""
    source = """
import os, sys
from across import Connection
conn = Connection.from_command(sys.argv[1:])

def check():
    import signal, subprocess, sys
    code = 'import os, signal; os.kill(os.getpid(), signal.SIGINT)'
    return subprocess.run([sys.executable, '-S', '-c', code], stderr=subprocess.DEVNULL).returncode

print(conn.call(check), flush=True)
conn.close()
"""
    with Script(source, *bare_command()) as script:
        assert script.line() == str(-signal.SIGINT)
        assert script.wait() == 0


@pytest.mark.parametrize('by_value', [False, True], ids=['by reference', 'by value'])
@pytest.mark.parametrize('kind', ['function', 'method', 'partial', 'object'])
def test_an_error_of_a_handler_amid_pickling(pair: Pair, kind: str, by_value: bool) -> None:
    """It is that of the caller, and does not mean that the argument cannot be pickled."""

    class Handler:
        def ring(self, number: int, frame: object) -> None:
            raise TimeoutError('too long')

        __call__ = ring

    class Slow:
        def __reduce__(self) -> Any:
            signal.raise_signal(signal.SIGUSR1)
            return int, ()

    def ring(number: int, frame: object) -> None:
        raise TimeoutError('too long')

    handlers: dict[str, Callable[[int, Any], None]] = {
        'function': ring,
        'method': Handler().ring,
        'object': Handler(),
    }
    handlers['partial'] = functools.partial(ring)
    former = signal.signal(signal.SIGUSR1, handlers[kind])
    try:
        with pytest.raises(TimeoutError, match='too long'):
            pair.near.call(len, [lambda: 1] if by_value else [], Slow())
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert pair.near.call(abs, -1) == 1
