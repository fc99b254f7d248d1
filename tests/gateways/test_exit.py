"""How gateways end, and the code that runs behind them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from across.gateways import ClosedError, Gateway, GatewayGoneError, Group
from servers.processes import has_ended
from support.waiting import SECOND, wait_until

LIMIT = 10 * SECOND


def test_exit_lets_code_finish(group: Group, tmp_path: Path) -> None:
    gateway = group.makegateway()
    gateway.remote_exec(f"""
        for item in channel:
            pass
        open({str(tmp_path / 'done')!r}, 'w').close()
    """).send(1)
    gateway.exit()
    gateway.exit()
    assert gateway.join(LIMIT)
    assert (tmp_path / 'done').exists()
    assert not psutil.pid_exists(gateway.info['pid'])
    assert gateway not in group


def test_exit_interrupts_the_main_thread(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('across.gateways.gateway._GRACE', 0.01)
    gateway = group.makegateway('popen//execmodel=main_thread_only')
    channel = gateway.remote_exec(f"""
        import time
        try:
            channel.send('running')
            time.sleep(1000)
        finally:
            open({str(tmp_path / 'done')!r}, 'w').close()
    """)
    channel.receive(LIMIT)
    gateway.exit()
    assert gateway.join(LIMIT)
    assert (tmp_path / 'done').exists()


def test_exit_ends_what_will_not_end(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('across.gateways.gateway._GRACE', 0.01)
    gateway = group.makegateway()
    gateway.remote_exec('import time; time.sleep(1000)')
    gateway.exit()
    with pytest.raises(GatewayGoneError, match='has been told to exit'):
        gateway.remote_exec('pass')
    assert gateway.join(LIMIT)
    assert not psutil.pid_exists(gateway.info['pid'])


def test_exit_wakes_code_that_waits_to_send(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads its channel, so it waits for room; killed, it could not write its file."""
    monkeypatch.setattr('across.gateways.gateway._GRACE', LIMIT)
    channel = gateway.remote_exec(f"""
        count = 0
        try:
            while True:
                channel.send(count)
                count += 1
        except OSError as exc:
            error = exc
        finally:
            with open({str(tmp_path / 'done')!r}, 'w') as file:
                file.write(f'{{type(error).__name__}} {{count}}')
    """)
    assert channel.receive(LIMIT) == 0
    inlet = channel._stream._inlet
    wait_until(lambda: inlet.queued > 0, 'more items')
    gateway.exit()
    assert gateway.join(LIMIT)
    error, count = (tmp_path / 'done').read_text().split()
    assert error == ClosedError.__name__
    # What was sent before is there; the last of it may have waited for company.
    left = list(channel)
    assert left == list(range(1, len(left) + 1))
    assert 0 < len(left) < int(count)


def test_exit_ends_the_loop_of_whoever_reads(gateway: Gateway) -> None:
    channel = gateway.remote_exec('import time; channel.send(1); time.sleep(1000)')
    assert channel.receive(LIMIT) == 1
    gateway.exit()
    assert list(channel) == []
    assert channel.isclosed()
    gateway.kill()
    assert gateway.join(LIMIT)


def test_interpreter_exit_ends_gateways(tmp_path: Path) -> None:
    script = f"""
from across.gateways import makegateway
gateway = makegateway()
gateway.remote_exec('''
for item in channel:
    pass
open({str(tmp_path / 'done')!r}, 'w').close()
''')
print(gateway.info['pid'])
"""
    run = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, timeout=15 * SECOND
    )
    assert run.stderr == ''
    assert (tmp_path / 'done').exists()
    wait_until(lambda: has_ended(int(run.stdout)), 'the end of the gateway')
