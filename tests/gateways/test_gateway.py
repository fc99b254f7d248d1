"""Gateways: what runs over there, how they start and end."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import types
from pathlib import Path

import pytest

from across import OperationError, Options
from across.gateways import (
    Channel,
    Gateway,
    GatewayGoneError,
    Group,
    HostNotFound,
    PopenGateway,
    RemoteError,
    SocketGateway,
    Source,
    makegateway,
)
from across.servers import BIOSConnectionHandler, Server
from support.interpreters import Interpreter, find_interpreter
from support.waiting import SECOND, wait_until

LIMIT = 10 * SECOND
FACTOR = 3


def scaled(value: int) -> int:
    return value * FACTOR


# --------------------------------------------------------------------------------- running code


def test_source(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        import os
        channel.send((os.getpid(), __name__))
    """)
    pid, name = channel.receive(LIMIT)
    assert pid == gateway.info['pid'] != os.getpid()
    assert name == '__channelexec__'


def test_source_in_pieces(gateway: Gateway) -> None:
    source = Source(
        """
        def double(x):
            return 2 * x
        """,
        scaled,
        'channel.send((double(4), scaled.__name__))',
    )
    assert gateway.remote_exec(source).receive(LIMIT) == (8, 'scaled')


def test_syntax_error_names_the_line(gateway: Gateway) -> None:
    channel = gateway.remote_exec('first = 1\nsecond = = 2\nthird = 3')
    with pytest.raises(RemoteError) as caught:
        channel.receive(LIMIT)
    text = str(caught.value)
    assert 'line 2\n    second = = 2\n' in text
    assert 'SyntaxError: invalid syntax' in text


def test_function_with_arguments(gateway: Gateway) -> None:
    def add(channel, first, second=2):  # type: ignore[no-untyped-def]
        channel.send(first + second)

    assert gateway.remote_exec(add, first=1).receive(LIMIT) == 3
    assert gateway.remote_exec(add, first=1, second=5).receive(LIMIT) == 6


def test_function_with_closure_and_modules(gateway: Gateway) -> None:
    offset = 10

    def answer(channel):  # type: ignore[no-untyped-def]
        channel.send((os.getpid(), offset + FACTOR))

    assert gateway.remote_exec(answer).receive(LIMIT) == (gateway.info['pid'], 13)
    assert gateway.remote_exec(lambda channel: channel.send(offset)).receive(LIMIT) == 10


def test_asynchronous_function(gateway: Gateway) -> None:
    async def answer(channel):  # type: ignore[no-untyped-def]
        import asyncio

        await asyncio.sleep(0)
        channel.send('awaited')

    assert gateway.remote_exec(answer).receive(LIMIT) == 'awaited'


def test_function_of_a_module_that_is_not_there(gateway: Gateway) -> None:
    """It travels by value, although it could be imported here."""
    module = types.ModuleType('nowhere_else')
    exec('def answer(channel): channel.send(value)\nvalue = 5', module.__dict__)
    sys.modules['nowhere_else'] = module
    try:
        assert gateway.remote_exec(module.answer).receive(LIMIT) == 5
    finally:
        del sys.modules['nowhere_else']


@pytest.mark.parametrize('minor', [sys.version_info[1], 8])
def test_function_that_calls_itself(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minor: int
) -> None:
    """By the name that it has in its module, which is not over there."""
    python = find_interpreter(minor)
    if python is None:
        pytest.skip(f'no CPython 3.{minor}')
    (tmp_path / 'calls_itself.py').write_text(
        'STEP = 1\n'
        'def walk(channel, depth):\n'
        '    if depth:\n'
        '        channel.send(depth)\n'
        '        walk(channel, depth=depth - STEP)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module('calls_itself')
    try:
        gateway = group.makegateway(f'popen//python={python} -I -S')
        assert list(gateway.remote_exec(module.walk, depth=3)) == [3, 2, 1]
    finally:
        del sys.modules['calls_itself']


def test_function_whose_helper_is_not_there(gateway: Gateway) -> None:
    module = types.ModuleType('nowhere_else')
    exec('def answer(channel): channel.send(helper())\ndef helper(): pass', module.__dict__)
    sys.modules['nowhere_else'] = module
    try:
        channel = gateway.remote_exec(module.answer)
        with pytest.raises(RemoteError, match=r"no module 'nowhere_else'.*conn\.export"):
            channel.receive(LIMIT)
    finally:
        del sys.modules['nowhere_else']


def test_function_that_uses_what_cannot_travel(gateway: Gateway, tmp_path: Path) -> None:
    def answer(channel):  # type: ignore[no-untyped-def]
        file.write('x')

    with (tmp_path / 'log').open('w') as file, pytest.raises(OperationError) as caught:
        gateway.remote_exec(answer)
    assert str(caught.value).startswith("cannot pickle '_io.TextIOWrapper' object: ")
    assert "variable 'file' of" in str(caught.value)
    assert gateway.remote_exec('channel.send(1)').receive(LIMIT) == 1


def test_module(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'shipped_by_test.py'
    path.write_text('value = 6\nif __name__ == "__channelexec__":\n    channel.send(value / 0)\n')
    monkeypatch.syspath_prepend(tmp_path)
    import shipped_by_test  # type: ignore[import-not-found]

    channel = gateway.remote_exec(shipped_by_test)
    with pytest.raises(RemoteError, match='ZeroDivisionError') as caught:
        channel.receive(LIMIT)
    assert f'File "{path}", line 3' in str(caught.value)
    del sys.modules['shipped_by_test']


@pytest.mark.parametrize(
    ('source', 'kwargs', 'message'),
    [
        (5, {}, 'expected source text, a function or a module to run, not int'),
        ('pass', {'a': 1}, 'source text takes no arguments; send a over the channel, or give a'),
        (os, {'a': 1}, 'a module takes no arguments'),
        (lambda: None, {}, r'<lambda>\(\) cannot be called with a channel and'),
        (lambda channel: None, {'b': 1}, "unexpected keyword argument 'b'"),
    ],
)
def test_what_cannot_be_run(gateway: Gateway, source: object, kwargs: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        gateway.remote_exec(source, **kwargs)  # type: ignore


def test_module_without_source(gateway: Gateway) -> None:
    with pytest.raises(ValueError, match="the source of module 'sys' cannot be found"):
        gateway.remote_exec(sys)


def test_code_runs_at_the_same_time(gateway: Gateway) -> None:
    waiting = [gateway.remote_exec('channel.send(channel.receive())') for _ in range(10)]
    wait_until(lambda: gateway.remote_status().numexecuting == 10)
    for number, channel in reversed(list(enumerate(waiting))):
        channel.send(number)
        assert channel.receive(LIMIT) == number


def test_main_thread(group: Group) -> None:
    gateway = group.makegateway('popen//execmodel=main_thread_only')
    channel = gateway.remote_exec("""
        import signal, threading
        signal.signal(signal.SIGUSR1, lambda *_: None)
        channel.send(threading.current_thread() is threading.main_thread())
    """)
    assert channel.receive(LIMIT)
    assert gateway.remote_status().execmodel == 'main_thread_only'


def test_the_main_thread_keeps_the_order(group: Group) -> None:
    gateway = group.makegateway('popen//execmodel=main_thread_only')
    gateway.remote_exec('import builtins; builtins.begun = []')
    sent = [
        gateway.remote_exec(f'import builtins; builtins.begun.append({number})')
        for number in range(30)
    ]
    for channel in sent:
        channel.waitclose(LIMIT)
    last = gateway.remote_exec('import builtins; channel.send(builtins.begun)')
    assert last.receive(LIMIT) == list(range(30))


def test_the_main_thread_does_not_wait_for_what_was_refused(group: Group) -> None:
    gateway = Gateway('popen//execmodel=main_thread_only', group, Options(max_calls=1))
    first = gateway.remote_exec('channel.receive()')
    second = gateway.remote_exec('channel.send(1)')
    with pytest.raises(RemoteError, match='calls of this connection in flight'):
        second.receive(LIMIT)
    first.send(None)
    first.waitclose(LIMIT)
    for _ in range(2):
        third = run_when_free(gateway, 'channel.send(3)')
        assert third.receive(LIMIT) == 3
        third.waitclose(LIMIT)


def run_when_free(gateway: Gateway, source: str) -> Channel:
    """Run code where one call is the limit: a channel ends a moment before its call is answered."""
    while True:
        channel = gateway.remote_exec(source)
        try:
            channel.waitclose(LIMIT)
        except RemoteError as exc:
            if 'in flight' not in str(exc):
                raise
        else:
            return channel


def test_too_much_at_once(group: Group) -> None:
    gateway = Gateway('popen', group, Options(max_calls=1))
    first = gateway.remote_exec('channel.receive()')
    second = gateway.remote_exec('channel.send(1)')
    with pytest.raises(RemoteError, match='has 1 calls of this connection in flight'):
        second.receive(LIMIT)
    first.close()


def test_a_refusal_that_comes_before_the_code_was_sent(group: Group) -> None:
    gateway = Gateway('popen', group, Options(max_calls=1))
    first = gateway.remote_exec('channel.receive()')

    class Late:
        def __reduce__(self) -> tuple[type[int], tuple[()]]:
            channels = gateway._known_channels()
            wait_until(lambda: any(channel.isclosed() for channel in channels))
            return int, ()

    second = gateway.remote_exec(lambda channel, late: channel.send(late), late=Late())
    with pytest.raises(RemoteError, match='has 1 calls of this connection in flight'):
        second.receive(LIMIT)
    first.close()


def test_bare_interpreters(group: Group, interpreter: Interpreter) -> None:
    gateway = group.makegateway(f'popen//python={interpreter} -I -S')
    assert gateway.info['version_info'][:2] == interpreter.version

    def answer(channel, factor):  # type: ignore[no-untyped-def]
        for item in channel:
            channel.send(item * factor)

    channel = gateway.remote_exec(answer, factor=3)
    channel.send('ab')
    assert channel.receive(LIMIT) == 'ababab'
    channel.close()
    with pytest.raises(RemoteError, match='NameError'):
        gateway.remote_exec('missing').receive(LIMIT)


# --------------------------------------------------------------------------------- their settings


def test_settings(group: Group, tmp_path: Path) -> None:
    gateway = group.makegateway(f'popen//chdir={tmp_path}/a/b//nice=3//env:COLOUR=red//id=me')
    channel = gateway.remote_exec("""
        import os
        channel.send((os.getcwd(), os.nice(0), os.environ['COLOUR']))
    """)
    assert channel.receive(LIMIT) == (f'{tmp_path}/a/b', os.nice(0) + 3, 'red')
    assert repr(gateway).startswith("<Gateway 'me' 'popen//chdir=")
    assert repr(gateway).endswith('connected>')


def test_variable_for_the_interpreter_itself(group: Group) -> None:
    gateway = group.makegateway('popen//env:PYTHONOPTIMIZE=2//dont_write_bytecode')
    channel = gateway.remote_exec("""
        import sys
        channel.send((sys.flags.optimize, sys.dont_write_bytecode))
    """)
    assert channel.receive(LIMIT) == (2, True)


def test_gateway_without_a_group() -> None:
    with PopenGateway(id='alone', env={'A': 'b'}) as gateway:
        assert gateway.remote_exec('import os; channel.send(os.environ["A"])').receive(LIMIT) == 'b'
    assert not gateway.hasreceiver()
    with makegateway() as gateway:
        assert gateway.spec.popen


def test_socket_gateway() -> None:
    with (
        Server.listen_tcp('localhost', 0, handler=BIOSConnectionHandler()) as server,
        SocketGateway(*server.address, env={'A': 'b'}) as gateway,
    ):
        source = 'import os; channel.send(os.environ["A"])'
        assert gateway.remote_exec(source).receive(LIMIT) == 'b'


# ------------------------------------------------------------------------------------ their end


def test_gateway_that_is_gone(gateway: Gateway) -> None:
    channel = gateway.remote_exec('channel.send(1); channel.receive()')
    assert channel.receive(LIMIT) == 1
    os.kill(gateway.info['pid'], signal.SIGKILL)
    with pytest.raises(GatewayGoneError, match='was killed by SIGKILL') as caught:
        channel.receive(LIMIT)
    assert isinstance(caught.value, EOFError)
    with pytest.raises(GatewayGoneError):  # a loop must not take it for the end
        list(channel)
    for use in (
        lambda: channel.send(1),
        lambda: gateway.remote_exec('pass'),
        gateway.newchannel,
        gateway.remote_status,
        lambda: channel.waitclose(LIMIT),
    ):
        with pytest.raises(GatewayGoneError, match='was killed by SIGKILL'):
            use()
    assert not gateway.hasreceiver()
    assert repr(gateway).endswith('gone>')


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('popen//python=missing-python', "cannot make the gateway popen.*no command 'missing-pyt"),
        ('popen//python=true', 'ended with status 0'),
        ('socket=localhost:1', 'cannot make the gateway socket=localhost:1: .*[Rr]efused'),
        ('popen//chdir=/dev/null/x', 'cannot make the gateway .*Not a directory'),
    ],
)
def test_gateway_that_cannot_be_made(group: Group, spec: str, message: str) -> None:
    with pytest.raises(HostNotFound, match=message):
        group.makegateway(spec)
    assert len(group) == 0
    assert group.makegateway('popen//id=gw0').id == 'gw0'  # the name is free again
