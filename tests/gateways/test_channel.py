"""Channels: exchanging, ending, failing."""

from __future__ import annotations

import os
import signal
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from across import OperationError
from across.gateways import (
    Channel,
    ClosedError,
    Gateway,
    GatewayGoneError,
    Group,
    RemoteError,
    TimeoutError,
)
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

ECHO = """
for item in channel:
    channel.send(item)
"""
LIMIT = 10 * SECOND
END = 'the end'


def test_items_go_both_ways(gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    for item in (1, 'two', [3.0], {'four': b'4'}, None, ValueError):
        channel.send(item)
        assert channel.receive(LIMIT) == item


def test_end_of_the_code_ends_the_channel(gateway: Gateway) -> None:
    channel = gateway.remote_exec('channel.send(1); channel.send(2)')
    channel.waitclose(LIMIT)
    assert channel.isclosed()
    assert list(channel) == [1, 2]  # what was sent can still be received
    with pytest.raises(EOFError, match='the other side has closed <Channel of gw0, closed>'):
        channel.receive()
    channel.waitclose(LIMIT)


def test_closing_ends_the_receiver_over_there(gateway: Gateway) -> None:
    told = gateway.remote_exec("""
        inner = channel.receive()
        channel.send(list(inner))
        try:
            inner.send(1)
        except OSError as exc:
            channel.send(str(exc))
    """)
    inner = gateway.newchannel()
    told.send(inner)
    inner.send('a')
    inner.close()
    assert told.receive(LIMIT) == ['a']
    reason = 'cannot send, the other side has closed <Channel of gw0-worker, closed>'
    assert told.receive(LIMIT) == reason
    assert inner.isclosed()
    inner.close()


def test_sending_over_a_closed_channel(gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    channel.close()
    with pytest.raises(ClosedError, match='cannot send, this side has closed <Channel of gw0, cl'):
        channel.send(1)
    ended = gateway.remote_exec('pass')
    ended.waitclose(LIMIT)
    with pytest.raises(OSError, match='cannot send, the other side has closed'):
        ended.send(1)


def test_what_cannot_be_sent(gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    with pytest.raises(OperationError, match="lock' object: item 2, key 'lock'") as caught:
        channel.send({'lock': threading.Lock()})
    assert not isinstance(caught.value, ClosedError)
    channel.send('goes on')
    assert channel.receive(LIMIT) == 'goes on'


def test_timeouts(gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    with pytest.raises(TimeoutError, match=r'no item came within 0\.001 s'):
        channel.receive(0.001)
    with pytest.raises(channel.TimeoutError, match=r'was not closed within 0\.001 s'):
        channel.waitclose(0.001)
    for wait in (channel.receive, channel.waitclose):
        with pytest.raises(TypeError, match='the timeout must be seconds, or None, not str'):
            wait('1')  # type: ignore[arg-type]
    channel.send(1)
    assert channel.receive(LIMIT) == 1


def test_exception_over_there(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        channel.send('before')
        def divide(value):
            return 1 / value
        divide(0)
    """)
    assert channel.receive(LIMIT) == 'before'
    with pytest.raises(RemoteError) as caught:
        channel.receive(LIMIT)
    text = str(caught.value)
    assert text == caught.value.formatted
    assert 'line 5, in <module>\n    divide(0)\n' in text
    assert 'line 4, in divide\n    return 1 / value\n' in text
    assert text.endswith('ZeroDivisionError: division by zero\n')
    assert 'across' not in text
    with pytest.raises(channel.RemoteError):  # whoever asks is told
        channel.waitclose(LIMIT)


def test_closing_with_an_error(gateway: Gateway) -> None:
    with pytest.raises(RemoteError, match=r'^out of cheese$'):
        gateway.remote_exec('channel.close("out of cheese")').receive(LIMIT)
    channel = gateway.remote_exec("""
        try:
            channel.receive()
        except channel.RemoteError as exc:
            outer = str(exc)
        channel.gateway.told = outer
    """)
    channel.close('too late')
    answer = gateway.remote_exec("""
        import time
        while not hasattr(channel.gateway, 'told'):
            time.sleep(0.001)
        channel.send(channel.gateway.told)
    """)
    assert answer.receive(LIMIT) == 'too late'


def test_channel_that_nobody_reads(gateway: Gateway) -> None:
    """The other side is far ahead of us, until we wait for its end: then all of it is there."""
    channel = gateway.remote_exec('for i in range(5000): channel.send(i)')
    channel.waitclose(LIMIT)
    assert list(channel) == list(range(5000))


def test_channel_that_nobody_reads_while_it_closes(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        try:
            while True:
                channel.send(bytes(1000))
        except OSError as exc:
            channel.gateway.told = type(exc).__name__
    """)
    channel.receive(LIMIT)
    channel.close()
    answer = gateway.remote_exec("""
        import time
        while not hasattr(channel.gateway, 'told'):
            time.sleep(0.001)
        channel.send(channel.gateway.told)
    """)
    assert answer.receive(LIMIT) == 'ClosedError'


def test_receiver_and_waiter_at_once(gateway: Gateway) -> None:
    """Whoever waits for the end takes no item away from whoever receives."""
    channel = gateway.remote_exec('channel.receive(); [channel.send(i) for i in range(3000)]')
    got: list[Any] = []
    receiver = threading.Thread(target=lambda: got.extend(channel))
    receiver.start()
    channel.send(None)
    channel.waitclose(LIMIT)
    receiver.join()
    assert sorted(got) == list(range(3000))


# ------------------------------------------------------------------------------------- callbacks


def collect(channel: Channel) -> Callable[[], Any]:
    """Have items put in a queue; returns what waits for the next."""
    queue: SimpleQueue[Any] = SimpleQueue()
    channel.setcallback(queue.put, END)
    return lambda: queue.get(timeout=LIMIT)


def test_callback(gateway: Gateway) -> None:
    channel = gateway.remote_exec('[channel.send(i) for i in range(3)]; channel.receive()')
    assert channel.receive(LIMIT) == 0
    following = collect(channel)
    assert (following(), following()) == (1, 2)
    for use in (channel.receive, lambda: channel.setcallback(print)):
        with pytest.raises(ClosedError, match='a callback'):
            use()
    channel.send('go on')
    assert following() == END
    channel.waitclose(LIMIT)


def test_callback_that_is_no_function(gateway: Gateway) -> None:
    channel = gateway.remote_exec('channel.send(1)')
    with pytest.raises(TypeError, match="expected a function to call, not 'int'"):
        channel.setcallback(5)  # type: ignore[arg-type]
    assert channel.receive(LIMIT) == 1


def test_callback_gets_what_waitclose_has_held(gateway: Gateway) -> None:
    channel = gateway.remote_exec('[channel.send(i) for i in range(3)]')
    channel.waitclose(LIMIT)
    following = collect(channel)
    assert [following() for _ in range(4)] == [0, 1, 2, END]


def test_callback_while_somebody_receives(gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    got: list[Any] = []
    receiver = threading.Thread(target=lambda: got.append(channel.receive()))
    receiver.start()
    wait_until(channel._taking.locked)
    with pytest.raises(ClosedError, match='can have no callback, another thread is receiving'):
        channel.setcallback(print)
    with pytest.raises(TimeoutError, match=r'no item came within 0\.001 s'):
        channel.receive(0.001)
    with pytest.raises(TimeoutError, match='was not closed within'):
        channel.waitclose(0.001)
    channel.send(1)
    receiver.join()
    assert got == [1]


def test_callback_keeps_its_channel(gateway: Gateway) -> None:
    queue: SimpleQueue[Any] = SimpleQueue()
    gateway.remote_exec('channel.receive(); channel.send(5)').setcallback(queue.put, END)
    (channel,) = gateway._kept
    channel.send(None)
    del channel
    assert (queue.get(timeout=LIMIT), queue.get(timeout=LIMIT)) == (5, END)


def test_callback_sees_the_end_of_the_gateway(gateway: Gateway) -> None:
    channel = gateway.remote_exec('import os; channel.receive(); os._exit(3)')
    following = collect(channel)
    channel.send(None)
    assert following() == END
    with pytest.raises(GatewayGoneError, match='ended with status 3'):
        channel.waitclose(LIMIT)


def test_callback_that_fails(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    channel = gateway.remote_exec("""
        channel.send(0)
        try:
            channel.receive()
        except channel.RemoteError as exc:
            channel.gateway.told = str(exc)
    """)
    ended = threading.Event()
    channel.setcallback(lambda item: ended.set() if item == END else 1 / item, END)
    assert ended.wait(LIMIT)
    answer = gateway.remote_exec("""
        import time
        while not hasattr(channel.gateway, 'told'):
            time.sleep(0.001)
        channel.send(channel.gateway.told)
    """)
    assert 'ZeroDivisionError' in answer.receive(LIMIT)
    assert 'the callback of <Channel of gw0' in caplog.text
    assert 'ZeroDivisionError' in caplog.text


def test_callback_over_there(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        import threading
        ended = threading.Event()
        def double(item):
            if item is None:
                ended.set()
            else:
                total.append(item)
        total = []
        inner = channel.receive()
        inner.setcallback(double, endmarker=None)
        ended.wait()
        channel.send(total)
    """)
    inner = gateway.newchannel()
    channel.send(inner)
    inner.send(1)
    inner.send(2)
    inner.close()
    assert channel.receive(LIMIT) == [1, 2]


# --------------------------------------------------------------------------- channels in channels


def test_channel_through_a_channel(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        made = channel.gateway.newchannel()
        channel.send({'made': made})
        made.send('hello')
        channel.send(made.receive())
    """)
    made = channel.receive(LIMIT)['made']
    assert isinstance(made, Channel)
    assert made.gateway is gateway
    assert made.receive(LIMIT) == 'hello'
    made.send('and back')
    assert channel.receive(LIMIT) == 'and back'


def test_channel_of_another_gateway(group: Group, gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    other = group.makegateway()
    with pytest.raises(OperationError, match='another connection'):
        channel.send(other.newchannel())


def test_connection_without_a_gateway(gateway: Gateway) -> None:
    from across import Connection
    from across.gateways.ends import end_of
    from support.interpreters import bare_command

    with (
        Connection.from_command(bare_command()) as conn,
        pytest.raises(OperationError, match='belongs to no gateway'),
    ):
        end_of(conn)


# ----------------------------------------------------------------------------------------- files


def test_writing_a_file(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        file = channel.makefile('w', proxyclose=True)
        print('a', 1, file=file)
        file.write('b')
        file.flush()
        file.close()
    """)
    channel.waitclose(LIMIT)
    assert ''.join(channel) == 'a 1\nb'


def test_reading_a_file(gateway: Gateway) -> None:
    channel = gateway.remote_exec("""
        for text in ('first li', 'ne\\nsec', 'ond line\\nthird', ' line'):
            channel.send(text)
    """)
    file = channel.makefile('r')
    assert file.readline(3) == 'fir'
    assert file.readline() == 'st line\n'
    assert file.read(3) == 'sec'
    assert list(file) == ['ond line\n', 'third line']
    assert (file.read(), file.readline(), file.read(1)) == ('', '', '')


def test_file_of_a_gateway_that_is_gone(gateway: Gateway) -> None:
    """Half of it is not all of it."""
    file = gateway.remote_exec('channel.send("half of the"); channel.receive()').makefile('r')
    assert file.read(4) == 'half'
    os.kill(gateway.info['pid'], signal.SIGKILL)
    for read in (file.read, file.readline, lambda: list(file)):
        with pytest.raises(GatewayGoneError, match='was killed by SIGKILL'):
            read()
    assert file.read(7) == ' of the'  # what came is there


def test_closing_files(gateway: Gateway) -> None:
    channel = gateway.remote_exec(ECHO)
    channel.makefile('w').close()
    assert not channel.isclosed()
    file = channel.makefile('w', proxyclose=True)
    file.close()
    assert channel.isclosed()
    with pytest.raises(ValueError, match='closed'):
        file.write('x')
    with pytest.raises(ValueError, match="is 'w' or 'r', not 'rb'"):
        channel.makefile('rb')
