"""The stand-in for execnet: its names, what it refuses, where it is installed."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import execnet
import pytest

from across import gateways
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


def names_of_parameters(function: Any) -> list[str]:
    """Those by which it can be called, without ``*args`` and ``**kwargs``."""
    variable = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind not in variable]


def test_whatever_their_objects_have_ours_have(group: Any) -> None:
    """Inherited or not, and to be called in the same way."""
    gateway = group.makegateway()
    for ours in (
        *(gateway, gateway.newchannel(), group, stand_in.MultiChannel([]), stand_in.RSync('.')),
        *(stand_in.XSpec('popen'), stand_in.RemoteError('x'), stand_in.DumpError('x')),
    ):
        theirs = getattr(execnet, type(ours).__name__)
        for name in dir(theirs):
            if name.startswith('_'):
                continue
            found_here = hasattr(type(ours), name) or hasattr(ours, name)
            assert found_here, f'{theirs.__name__}.{name}'
            if inspect.isfunction(getattr(theirs, name)):
                expected = names_of_parameters(getattr(theirs, name))[1:]
                found = names_of_parameters(getattr(ours, name))[: len(expected)]
                assert found == expected, f'{theirs.__name__}.{name}'


@pytest.mark.parametrize(
    'name',
    [
        *('dump', 'dumps', 'load', 'loads', 'makegateway', 'set_execmodel'),
        *('Group', 'MultiChannel', 'RSync', 'XSpec', 'RemoteError'),
    ],
)
def test_functions_and_classes_are_called_as_theirs(name: str) -> None:
    expected = names_of_parameters(getattr(execnet, name))
    assert names_of_parameters(getattr(stand_in, name))[: len(expected)] == expected


def test_page_names_what_the_gateways_lack() -> None:
    page = Path(__file__).parents[2] / 'docs' / 'explanation' / 'coming-from-execnet.rst'
    sentence = re.search(r'Not there are(.*?)All\s+of these', page.read_text(), re.DOTALL)
    assert sentence
    named = set(re.findall(r'``(\w+)``', sentence[1])) - {'Spec'}
    assert named == set(execnet.__all__) - set(gateways.__all__) - {'__version__'}


def test_warning_of_an_error(capfd: pytest.CaptureFixture[str], group: Any) -> None:
    stand_in.RemoteError('out of cheese').warn()
    shown = capfd.readouterr().err
    assert shown.startswith(f'[{os.getpid()}] Warning: unhandled RemoteError: ')
    assert 'out of cheese' in shown
    channel = group.makegateway().remote_exec('raise KeyboardInterrupt')
    with pytest.raises(stand_in.RemoteError) as caught:
        channel.receive(LIMIT)
    caught.value.warn()
    assert capfd.readouterr().err == ''


def test_only_plain_arguments(group: Any) -> None:
    def answer(channel, value):  # type: ignore[no-untyped-def]
        value['over'].send(value['item'])

    gateway = group.makegateway()
    inner = gateway.newchannel()
    gateway.remote_exec(answer, value={'over': inner, 'item': 5})
    assert inner.receive(LIMIT) == 5
    for run in (gateway.remote_exec, group.remote_exec):
        with pytest.raises(stand_in.DumpError, match=r"can't dump builtins\.bytearray"):
            run(answer, value=bytearray())


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


def test_plain_gateways_have_the_real_one() -> None:
    source = 'import execnet; channel.send((execnet.__name__, execnet.__file__))'
    with gateways.makegateway() as gateway:
        assert gateway.remote_exec(source).receive(LIMIT) == ('execnet', execnet.__file__)


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
