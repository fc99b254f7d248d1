"""Groups: names, order, start and end; several channels at once; gateways through gateways."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from across.gateways import (
    Gateway,
    GatewayGoneError,
    Group,
    HostNotFound,
    MultiChannel,
    RemoteError,
    Spec,
    TimeoutError,
)
from servers.processes import has_ended
from support.ends import stop_process
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from support.sshd import Sshd

LIMIT = 10 * SECOND
PID = 'import os; channel.send(os.getpid())'


def test_names_and_order(group: Group) -> None:
    first, named, third = map(group.makegateway, ('popen', 'popen//id=alice', None))
    assert [gateway.id for gateway in group] == ['gw0', 'alice', 'gw1']
    assert (group['alice'], group[0], group[named]) == (named, first, named)
    assert 'gw1' in group
    assert third in group
    assert 'bob' not in group
    assert len(group) == 3
    assert repr(group) == "<Group ['gw0', 'alice', 'gw1']>"
    with pytest.raises(KeyError, match='bob'):
        group['bob']
    with pytest.raises(ValueError, match="has a gateway with the id 'alice' already"):
        group.makegateway('popen//id=alice')


def test_names_given_early(group: Group) -> None:
    specs = [Spec('popen'), Spec('popen')]
    for spec in specs:
        group.allocate_id(spec)
    assert [spec.id for spec in specs] == ['gw0', 'gw1']
    assert group.makegateway(specs[1]).id == 'gw1'
    assert group.makegateway().id == 'gw2'


def test_name_in_use_is_passed_over(group: Group) -> None:
    group.makegateway('popen//id=gw0')
    assert group.makegateway().id == 'gw1'


def test_several_at_once() -> None:
    with Group(['popen', 'popen//id=alice', 'popen//via=alice//id=bob', 'popen']) as group:
        assert [gateway.id for gateway in group] == ['gw0', 'alice', 'bob', 'gw1']
        pids = group.remote_exec(PID).receive_each()
        assert len(set(pids)) == 4
        parents = [psutil.Process(pid).ppid() for pid in pids]
        assert parents == [os.getpid(), os.getpid(), pids[1], os.getpid()]
    # The one that is no child of ours ends a moment later.
    wait_until(lambda: all(map(has_ended, pids)), 'the end of the processes')
    group.terminate()  # once more: there is nothing left


def test_several_start_at_the_same_time(tmp_path: Path) -> None:
    """Each interpreter waits until all of them have been started."""
    python = tmp_path / 'python'
    python.write_text(f"""#!/bin/sh
touch {tmp_path}/started-$$
for _ in $(seq {round(500 * SECOND)}); do
    [ $(ls {tmp_path} | grep -c started-) -ge 4 ] && exec {sys.executable} "$@"
    sleep 0.01
done
echo the others were not started >&2
exit 1
""")
    python.chmod(0o755)
    with Group([f'popen//python={python}'] * 4) as group:
        assert len(group) == 4


def test_one_of_several_that_cannot_be_made() -> None:
    with pytest.raises(HostNotFound, match="no command 'missing'"):
        Group(['popen', 'popen//python=missing', 'popen'])


def test_gateways_that_go_through_each_other() -> None:
    with pytest.raises(ValueError, match='each of these gateways goes through another'):
        Group(['popen//id=a//via=b', 'popen//id=b//via=a'])
    with pytest.raises(ValueError, match="there is no gateway with the id 'x' to go through"):
        Group(['popen//via=x'])


def test_specs_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"expected a list of specs, not one: \['popen'\]"):
        Group('popen')
    with pytest.raises(TypeError, match='a spec is a str, not int'):
        Group([5])  # type: ignore[list-item]


def test_termination_kills_what_is_stuck(group: Group) -> None:
    gateway = group.makegateway()
    channel = gateway.remote_exec('channel.send(1); import time; time.sleep(1000)')
    assert channel.receive(LIMIT) == 1
    stop_process(gateway.info['pid'])
    group.terminate(0.05 * SECOND)
    assert not psutil.pid_exists(gateway.info['pid'])


# -------------------------------------------------------------------------- several channels


def test_multichannel(group: Group) -> None:
    for _ in range(2):
        group.makegateway()
    channels = group.remote_exec('for item in channel: channel.send(item * 2)')
    channels.send_each(3)
    assert channels.receive_each() == [6, 6]
    channels.send_each('a')
    assert channels.receive_each(withchannel=True) == [(channel, 'aa') for channel in channels]
    assert len(channels) == 2
    assert channels[0] in channels
    with pytest.raises(TimeoutError):
        channels.waitclose(0.001)


def test_receive_queue(group: Group) -> None:
    for _ in range(2):
        group.makegateway()
    channels = group.remote_exec('channel.send(channel.gateway.id)')
    queue = channels.make_receive_queue(endmarker='end')
    assert channels.make_receive_queue() is queue
    found = [queue.get(timeout=LIMIT) for _ in range(4)]
    assert sorted((channel.gateway.id, item) for channel, item in found) == [
        ('gw0', 'end'),
        ('gw0', 'gw0-worker'),
        ('gw1', 'end'),
        ('gw1', 'gw1-worker'),
    ]


def test_first_error_of_several(gateway: Gateway) -> None:
    channels = MultiChannel(
        [gateway.remote_exec(source) for source in ('pass', '1 / 0', 'missing')]
    )
    with pytest.raises(RemoteError, match='ZeroDivisionError'):
        channels.waitclose(LIMIT)


# -------------------------------------------------------------------------- through a gateway


def test_bulk_through_a_gateway(group: Group) -> None:
    group.makegateway('popen//id=master')
    channel = group.makegateway('popen//via=master').remote_exec(
        'for item in channel: channel.send(item)'
    )
    data = os.urandom(1 << 20)

    def send() -> None:
        for _ in range(5):
            channel.send(data)

    sender = threading.Thread(target=send)
    sender.start()
    assert all(channel.receive(LIMIT) == data for _ in range(5))
    sender.join()


def test_end_of_the_gateway_in_between(group: Group) -> None:
    master = group.makegateway('popen//id=master')
    gateway = group.makegateway('popen//via=master')
    os.kill(master.info['pid'], signal.SIGKILL)
    channel_error = pytest.raises(GatewayGoneError)
    with channel_error:
        gateway.remote_exec('channel.receive()').receive(LIMIT)
    wait_until(lambda: has_ended(gateway.info['pid']), 'the end of the process')


def test_command_that_is_missing_over_there(group: Group) -> None:
    group.makegateway('popen//id=master')
    with pytest.raises(HostNotFound, match="No such file or directory: 'missing-python'"):
        group.makegateway('popen//via=master//python=missing-python')
    with pytest.raises(HostNotFound, match='cannot make the gateway popen//via=master'):
        group.makegateway('popen//via=master//python=true')
    with pytest.raises(ValueError, match='via has no meaning for a server that runs already'):
        group.makegateway('socket=localhost:1//via=master')


def test_over_ssh(group: Group, sshd: Sshd) -> None:
    door = f'ssh={sshd.host}//ssh_config={sshd.config}'
    direct = group.makegateway(f'{door}//id=direct//env:COLOUR=red and blue//nice=1')
    source = "import os; channel.send((os.getpid(), os.environ.get('COLOUR')))"
    assert direct.remote_exec(source).receive(LIMIT) == (direct.info['pid'], 'red and blue')
    # From there on, as a jump host would.
    beyond = group.makegateway(f'{door}//via=direct')
    assert beyond.remote_exec(source).receive(LIMIT) == (beyond.info['pid'], None)


def test_ssh_with_options(group: Group, sshd: Sshd) -> None:
    words = f'-F {sshd.config} -p {sshd.port} -l {sshd.user} {sshd.host}'
    assert group.makegateway(f'ssh={words}').remote_exec('channel.send(1)').receive(LIMIT) == 1


def test_ssh_that_fails(group: Group, sshd: Sshd) -> None:
    with pytest.raises(
        HostNotFound, match=r"make the gateway ssh=.* has no command 'missing-python'"
    ):
        group.makegateway(f'ssh={sshd.host}//ssh_config={sshd.config}//python=missing-python')
