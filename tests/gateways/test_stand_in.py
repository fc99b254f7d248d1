"""The stand-in for execnet: its names, what it refuses, where it is installed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import execnet
import pytest

from across.gateways import execnet as stand_in
from across.gateways.execnet.installing import SUBMODULES
from support.peers import environment
from support.waiting import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 10 * SECOND


@pytest.fixture
def group() -> Iterator[Any]:
    made = stand_in.Group()
    yield made
    made.terminate(LIMIT)


def run_python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=15 * SECOND,
    )
    return run.stdout + run.stderr


def test_every_public_name_is_there() -> None:
    assert set(execnet.__all__) <= {*stand_in.__all__, '__version__'}
    for name in stand_in.__all__:
        assert getattr(stand_in, name) is not None
    with pytest.raises(AttributeError, match="stand-in for execnet has no 'nonsense'"):
        stand_in.nonsense


def test_submodules_are_those_of_execnet() -> None:
    for module, names in SUBMODULES.items():
        real = importlib.import_module(f'execnet.{module}')
        assert [name for name in names if not hasattr(real, name)] == []


@pytest.mark.parametrize('name', ['Channel', 'Gateway', 'Group', 'MultiChannel', 'RSync', 'XSpec'])
def test_public_methods_are_there(name: str) -> None:
    ours, theirs = getattr(stand_in, name), getattr(execnet, name)
    public = {each for each in vars(theirs) if not each.startswith('_')}
    missing = {each for each in public if not hasattr(ours, each)}
    assert missing - {'remote_init_threads', *execnet.XSpec.__annotations__} == set()


def test_installing() -> None:
    shown = run_python("""
from across.gateways import execnet as stand_in
stand_in.install()
stand_in.install()
import execnet, execnet.gateway_base
from execnet.gateway_base import DumpError, Channel
from execnet.rsync import RSync
from execnet.xspec import XSpec
print(execnet is stand_in, execnet.DumpError is DumpError, execnet.Channel is Channel)
print(issubclass(execnet.HostNotFound, Exception), execnet.RSync is RSync)
try:
    execnet.gateway_base.nonsense
except AttributeError as exc:
    print(exc)
""")
    assert shown.splitlines() == [
        'True True True',
        'True True',
        "the stand-in for execnet.gateway_base has no 'nonsense'",
    ]


def test_installing_too_late() -> None:
    shown = run_python("""
import execnet
from across.gateways.execnet import install
install()
""")
    assert 'RuntimeError: cannot stand in for execnet: the module is imported already' in shown
    assert 'install the stand-in earlier' in shown


def test_only_plain_values_are_sent(group: Any) -> None:
    channel = group.makegateway('popen').remote_exec("""
        import execnet
        channel.send(execnet.__name__)
        channel.send(channel.gateway.execmodel.backend)
        try:
            channel.send({'value': object()})
        except execnet.DumpError as exc:
            channel.send(str(exc))
        channel.receive()
    """)
    assert channel.receive(LIMIT) == 'across.gateways.execnet'
    assert channel.receive(LIMIT) == 'thread'
    assert channel.receive(LIMIT).startswith("can't dump builtins.object: only None, bool")
    for value in (ValueError(), print, [object()], bytearray()):
        with pytest.raises(stand_in.DumpError):
            channel.send(value)
    channel.send([group[0].newchannel()])  # channels travel, too


def test_what_code_prints_is_not_shown(group: Any, capfd: pytest.CaptureFixture[str]) -> None:
    channel = group.makegateway('popen').remote_exec("""
        import os, sys
        print('out', flush=True)
        os.write(1, b'out')
        print('err', file=sys.stderr)
    """)
    channel.waitclose(LIMIT)
    assert capfd.readouterr() == ('', 'err\n')


def test_facts_about_the_other_side(group: Any) -> None:
    gateway = group.makegateway('popen//id=me')
    facts = gateway._rinfo()
    assert facts.version_info == sys.version_info[:5]
    assert repr(facts).startswith('<RemoteStatus cwd=')
    gateway.reconfigure()
    gateway.newchannel().reconfigure()
    assert gateway.execmodel.backend == 'thread'
    with pytest.raises(AttributeError, match='process on this machine'):
        gateway.remoteaddress
    channel = gateway.newchannel()
    assert channel.id != gateway.newchannel().id
    assert channel._getremoteerror() is None


def test_execution_models(group: Any) -> None:
    with pytest.raises(ValueError, match="thread or main_thread_only, not 'gevent'"):
        stand_in.Group(execmodel='gevent')
    group.set_execmodel('thread', 'main_thread_only')
    assert (group.execmodel.backend, group.remote_execmodel.backend) == (
        'thread',
        'main_thread_only',
    )
    gateway = group.makegateway()
    channel = gateway.remote_exec("""
        import threading
        model = channel.gateway.execmodel
        event, lock, queue = model.Event(), model.RLock(), model.queue.Queue()
        model.start(queue.put, (event.is_set(),))
        channel.send((queue.get(), threading.current_thread() is threading.main_thread()))
    """)
    assert channel.receive(LIMIT) == (False, True)
    with pytest.raises(ValueError, match='cannot be changed once there are gateways'):
        group.set_execmodel('thread')


def test_rsync_tells_what_it_sends(
    group: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'from').mkdir()
    (tmp_path / 'from' / 'file').write_text('x')
    rsync = stand_in.RSync(sourcedir=tmp_path / 'from')
    rsync.add_target(group.makegateway(), tmp_path / 'to')
    rsync.send()
    assert capsys.readouterr().out == 'gw0 <= file\n'
