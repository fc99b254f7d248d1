"""What is particular to child processes: starting, ending, and what the terminal does to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from across._core.transports import base
from across._core.transports.processes import ProcessTransport
from support.ends import stop_process
from support.waiting import MS, SECOND, wait_until
from transports.sleeping import signal_during

ROOT = Path(base.__file__).parents[3]

# Reports that it is ready, then ignores both the end of its input and SIGTERM.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b'ready')
while True:
    time.sleep(60)
"""
# The same, but SIGTERM ends it.
DEAF = STUBBORN.replace('SIG_IGN', 'SIG_DFL')


def started(*args: str) -> ProcessTransport:
    transport = ProcessTransport(args)
    transport.connect(5 * SECOND)
    return transport


def ready(code: str) -> ProcessTransport:
    """Start a Python child and wait for the first bytes that it writes."""
    transport = started(sys.executable, '-I', '-S', '-c', code)
    assert transport.wait_readable(10 * SECOND)
    return transport


def pid_of(transport: ProcessTransport) -> int:
    assert transport._process is not None
    return transport._process.pid


def received(transport: ProcessTransport) -> bytes:
    assert transport.wait_readable(5 * SECOND)
    buffer = bytearray(100)
    return bytes(buffer[: transport.receive_into(memoryview(buffer))])


def test_a_missing_command_is_named() -> None:
    transport = ProcessTransport(['no-such-command', 'x'])
    with pytest.raises(FileNotFoundError, match='no-such-command'):
        transport.connect(5 * SECOND)
    assert transport.exit_status is None
    transport.close(None)


def test_a_command_that_may_not_be_executed_is_named(tmp_path: Path) -> None:
    command = tmp_path / 'not-executable'
    command.touch()
    transport = ProcessTransport([command])
    with pytest.raises(PermissionError, match='not-executable'):
        transport.connect(5 * SECOND)
    transport.close(None)


@pytest.mark.parametrize(
    ('args', 'error', 'text'),
    [
        ('ls -l', TypeError, 'args must be a list of the command and its arguments, not str'),
        (None, TypeError, 'args must be a list of the command and its arguments, not NoneType'),
        ([], ValueError, 'args must name a command, but is empty'),
        (['sleep', 1], TypeError, 'args must be strings or paths, but one is int'),
    ],
)
def test_senseless_commands(args: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        ProcessTransport(args)
    assert str(caught.value) == text


def test_names() -> None:
    transport = ProcessTransport(['ssh', 'wonderland', 'python3 -c "x\ny"'])
    assert transport.name == '`ssh wonderland \'python3 -c "x y"\'`'
    long = ProcessTransport(['echo', 'x' * 100])
    assert len(long.name) < 70
    assert long.name.endswith('…`')
    transport = started('cat')
    assert transport.name == f'process {pid_of(transport)} (cat)'
    transport.close(5 * SECOND)


def test_a_killed_child() -> None:
    transport = started('cat')
    os.kill(pid_of(transport), signal.SIGKILL)
    assert received(transport) == b''
    assert transport.ending() == f'{transport.name} was killed by SIGKILL'
    assert transport.exit_status == -signal.SIGKILL
    transport.close(5 * SECOND)


@pytest.mark.parametrize(
    ('script', 'ending'),
    [
        ('exit 3', "(/bin/sh -c 'exit 3') ended with status 3"),
        (
            'no-such-command 2>/dev/null',
            "(/bin/sh -c 'no-such-command 2>/dev/null') ended with status 127 (command not found)",
        ),
        (
            '/dev/null 2>/dev/null',
            "(/bin/sh -c '/dev/null 2>/dev/null') "
            'ended with status 126 (the command cannot be executed)',
        ),
    ],
)
def test_a_child_that_ends(script: str, ending: str) -> None:
    transport = started('/bin/sh', '-c', script)
    assert received(transport) == b''
    assert transport.ending().endswith(ending)
    transport.close(5 * SECOND)


def test_a_child_that_ends_by_a_signal_without_a_name() -> None:
    transport = started('/bin/sh', '-c', 'kill -40 $$')
    assert received(transport) == b''
    assert transport.ending() == f'{transport.name} was killed by signal 40'
    transport.close(5 * SECOND)


def test_a_child_that_closes_its_output_and_lives_on() -> None:
    transport = started('/bin/sh', '-c', 'exec >&-; read line')
    assert received(transport) == b''
    assert transport.ending() == f'{transport.name} closed its standard output'
    assert transport.exit_status is None
    transport.close(5 * SECOND)
    assert transport.exit_status == 1


def test_close_lets_the_child_end_by_itself() -> None:
    transport = started('/bin/sh', '-c', 'cat; exit 5')
    transport.close(10 * SECOND)
    assert transport.exit_status == 5


def test_close_after_cancel_lets_the_child_end_by_itself() -> None:
    transport = started('/bin/sh', '-c', 'cat; exit 5')
    transport.cancel()  # the reader has left, the child has not
    transport.close(10 * SECOND)
    assert transport.exit_status == 5


def test_close_terminates_a_child_that_does_not_end() -> None:
    transport = ready(DEAF)
    transport.close(20 * MS)
    assert transport.exit_status == -signal.SIGTERM


def test_close_kills_a_child_that_does_not_obey() -> None:
    transport = ready(STUBBORN)
    transport.close(0)
    assert transport.exit_status == -signal.SIGKILL


def test_close_after_kill_is_immediate() -> None:
    transport = ready(STUBBORN)
    transport.kill()
    before = time.monotonic()
    transport.close(60)
    assert time.monotonic() - before < 1 * SECOND
    assert transport.exit_status == -signal.SIGKILL


@pytest.mark.parametrize('timeout', [None, 60])
def test_kill_ends_a_close_that_waits(timeout: float | None) -> None:
    transport = ready(STUBBORN)
    killer = threading.Timer(20 * MS, transport.kill)
    killer.start()
    transport.close(timeout)
    killer.join()
    assert transport.exit_status == -signal.SIGKILL


def test_ctrl_c_ends_a_close_that_waits_and_leaves_no_child() -> None:
    transport = ready(STUBBORN)
    with pytest.raises(KeyboardInterrupt), signal_during(signal.SIGINT):
        transport.close(None)
    assert transport.exit_status == -signal.SIGKILL
    transport.close(None)


def test_a_stopped_child_can_be_killed() -> None:
    transport = ready(STUBBORN)
    stop_process(pid_of(transport))
    transport.close(0)
    assert transport.exit_status == -signal.SIGKILL


def test_no_zombie_stays() -> None:
    for end in (signal.SIGKILL, None):
        transport = started('cat')
        if end:
            os.kill(pid_of(transport), end)
        pid = pid_of(transport)
        transport.close(5 * SECOND)
        assert not psutil.pid_exists(pid)


def test_cancelled_between_spawning_and_connecting() -> None:
    transport = started('cat')
    pid = pid_of(transport)
    transport.cancel()
    with pytest.raises(base.Cancelled):
        transport.connect(None)
    transport.close(60)
    assert not psutil.pid_exists(pid)


def test_the_error_stream_is_inherited(capfd: pytest.CaptureFixture[str]) -> None:
    transport = started('/bin/sh', '-c', 'echo banner >&2')
    assert received(transport) == b''
    transport.close(5 * SECOND)
    assert capfd.readouterr().err == 'banner\n'


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='pipes have a fixed size there')
def test_pipes_are_enlarged() -> None:
    transport = started('cat')
    taken = transport.send([bytes(1 << 20)])
    assert taken > 65536
    transport.kill()
    transport.close(0)


# A process that a terminal would have in its foreground group: a child of its own, and Ctrl-C.
FOREGROUND = """
import os, signal, sys
from across._core.transports.processes import ProcessTransport

transport = ProcessTransport(['cat'])
transport.connect(5)
assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
try:
    print('ready', flush=True)
    transport.wait_readable()
except KeyboardInterrupt:
    pass
transport.send([b'alive'])
assert transport.wait_readable(5)
buffer = bytearray(100)
count = transport.receive_into(memoryview(buffer))
print(buffer[:count].decode(), flush=True)
transport.close(5)
print(transport.exit_status)
"""


def test_the_child_survives_a_ctrl_c_at_the_terminal() -> None:
    parent = subprocess.Popen(
        [sys.executable, '-c', FOREGROUND],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b'ready\n'
    os.killpg(parent.pid, signal.SIGINT)
    output, _ = parent.communicate(timeout=10 * SECOND)
    assert output == b'alive\n0\n'
    assert parent.returncode == 0


def test_a_given_process_needs_both_pipes() -> None:
    text = 'proc must have been started with stdin=PIPE and stdout=PIPE'
    for pipes in ({'stdin': subprocess.PIPE}, {'stdout': subprocess.PIPE}, {}):
        process = subprocess.Popen(['true'], **pipes)  # type: ignore[call-overload]
        with process, pytest.raises(ValueError, match=text):
            ProcessTransport.from_popen(process)
    with pytest.raises(TypeError, match=r'proc must be a subprocess\.Popen, not str'):
        ProcessTransport.from_popen('true')  # type: ignore[arg-type]


def test_a_given_process_whose_pipes_are_closed() -> None:
    with subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        with pytest.raises(ValueError, match='pipes of proc must still be open'):
            ProcessTransport.from_popen(process)


def test_a_given_process_in_text_mode() -> None:
    process = subprocess.Popen(
        ['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding='ascii'
    )
    assert process.stdin is not None
    process.stdin.write('written before, ')
    transport = ProcessTransport.from_popen(process)
    transport.connect(None)
    transport.send([b'sent \xff after'])
    data = b''
    while len(data) < 28:
        data += received(transport)
    assert data == b'written before, sent \xff after'
    transport.close(5 * SECOND)
    assert process.returncode == 0


def test_a_given_process_that_has_written_before() -> None:
    process = subprocess.Popen(
        ['/bin/sh', '-c', 'printf "banner\nframes"; cat'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b'banner\n'
    transport = ProcessTransport.from_popen(process)
    transport.connect(None)
    data = b''
    while len(data) < 6:
        data += received(transport)
    assert data == b'frames'
    transport.close(5 * SECOND)


def test_a_given_process_that_its_owner_has_waited_for() -> None:
    process = subprocess.Popen('exit 4', shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.wait()
    transport = ProcessTransport.from_popen(process)
    assert transport.name == f"process {process.pid} ('exit 4')"
    transport.connect(None)
    assert received(transport) == b''
    assert transport.ending() == f'{transport.name} ended with status 4'
    transport.close(5 * SECOND)


def test_a_forked_child_leaves_the_process_alone() -> None:
    transport = started('cat')
    pid = os.fork()
    if pid == 0:
        transport.abandon()
        transport.close(0)
        os._exit(0)
    wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0])
    assert transport.exit_status is None
    transport.send([b'alive'])
    assert received(transport) == b'alive'
    transport.close(5 * SECOND)
