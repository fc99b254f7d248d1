"""The classes for each kind of gateway, and what an old interpreter does behind one."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from across.gateways import Gateway, Group, PopenGateway, RSync, SocketGateway, SshGateway
from servers.processes import running
from support.interpreters import find_interpreter
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from support.sshd import Sshd

LIMIT = 10 * SECOND
# What settings do over there.
ASK = """
import os, sys
channel.send((os.getcwd(), os.nice(0), os.environ['COLOUR'], sys.flags.dev_mode))
"""
ACROSS_SERVE = "from across.cli import main; sys.argv[1:] = ['serve', 'tcp://127.0.0.1:0']; main()"
BIOS = f"""
sys.argv = [{str(Path(__file__).parents[2] / 'bios' / 'socket.py')!r}, '0']
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture
def old_python() -> str:
    """The command line of the oldest interpreter, with nothing installed."""
    python = find_interpreter(8)
    if python is None:
        pytest.skip('no CPython 3.8 on the PATH or in ~/.pyenv/versions')
    return f'{python} -I -S'


def test_popen_gateway_of_another_interpreter(old_python: str) -> None:
    with PopenGateway(old_python) as gateway:
        assert gateway.info['version_info'][:2] == (3, 8)
        flags = gateway.remote_exec('import sys; channel.send(sys.flags.isolated)')
        assert flags.receive(LIMIT) == 1


def test_ssh_gateway(sshd: Sshd, tmp_path: Path) -> None:
    with SshGateway(
        sshd.host,
        python=f'{sys.executable} -X dev',
        ssh_config=str(sshd.config),
        chdir=str(tmp_path),
        nice=2,
        env={'COLOUR': 'red'},
    ) as gateway:
        assert gateway.info['executable'] == sys.executable
        expected = (str(tmp_path), os.nice(0) + 2, 'red', True)
        assert gateway.remote_exec(ASK).receive(LIMIT) == expected


@pytest.mark.parametrize('script', [ACROSS_SERVE, BIOS], ids=['across serve', 'bios'])
def test_socket_gateway(script: str, tmp_path: Path) -> None:
    with running(f'import runpy, sys\n{script}') as server:
        address = server.read_line()
        assert address.startswith('listening on tcp://127.0.0.1:')
        port = int(address.rpartition(':')[2])
        with SocketGateway(
            '127.0.0.1', port, chdir=str(tmp_path), nice=1, env={'COLOUR': 'red'}
        ) as gateway:
            expected = (str(tmp_path), os.nice(0) + 1, 'red', False)
            assert gateway.remote_exec(ASK).receive(LIMIT) == expected


def test_count_of_channels(gateway: Gateway) -> None:
    assert gateway.remote_status().numchannels == 0
    running_one = gateway.remote_exec('channel.receive()')
    made = gateway.newchannel()
    assert gateway.remote_status().numchannels == 2
    made.close()
    assert gateway.remote_status().numchannels == 1
    running_one.send(None)
    running_one.waitclose(LIMIT)
    wait_until(lambda: gateway.remote_status().numchannels == 0)


def test_old_interpreter_behind_another(group: Group, old_python: str, tmp_path: Path) -> None:
    master = group.makegateway(f'popen//id=master//python={old_python}')
    gateway = group.makegateway(f'popen//via=master//python={old_python}')
    channel = gateway.remote_exec("""
        with channel.makefile('w') as file:
            print('a line', 1, file=file)
        with channel.receive().makefile('r') as file:
            channel.send(list(file))
    """)
    assert channel.makefile('r').readline() == 'a line 1\n'
    lines = gateway.newchannel()
    channel.send(lines)
    lines.makefile('w').write('one\ntwo')
    lines.close()
    assert channel.receive(LIMIT) == ['one\n', 'two']

    source = tmp_path / 'source'
    (source / 'sub').mkdir(parents=True)
    (source / 'sub' / 'script').write_text('x')
    (source / 'sub' / 'script').chmod(0o750)
    (source / 'link').symlink_to('sub')
    rsync = RSync(source)
    for each in (master, gateway):
        rsync.add_target(each, tmp_path / each.id, delete=True)
    rsync.send()
    for each in (master, gateway):
        copied = tmp_path / each.id
        assert (copied / 'link' / 'script').read_text() == 'x'
        assert os.readlink(copied / 'link') == 'sub'
        assert stat.S_IMODE((copied / 'sub' / 'script').stat().st_mode) == 0o750
