"""What is particular to pairs of pipes, and waits interrupted by signals."""

from __future__ import annotations

import io
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from across._core.transports.base import Cancelled
from across._core.transports.streams import PipeTransport
from support.waiting import SECOND
from transports.sleeping import signal_during

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pipes:
    """A transport over a pair of pipes and the descriptors at their other ends."""

    def __init__(self, in_mode: str = 'rb', **options: Any) -> None:
        in_fd, self.write_fd = os.pipe()
        self.read_fd, out_fd = os.pipe()
        self.in_file = os.fdopen(in_fd, in_mode, **options)
        self.out_file = os.fdopen(out_fd, 'wb')

    def transport(self) -> PipeTransport:
        return PipeTransport(self.in_file, self.out_file)

    def close(self) -> None:
        self.in_file.close()
        self.out_file.close()
        os.close(self.write_fd)
        os.close(self.read_fd)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


def received(transport: PipeTransport, size: int) -> bytes:
    data = b''
    while len(data) < size:
        assert transport.wait_readable(5 * SECOND)
        transport.wait_either(5 * SECOND)
        buffer = bytearray(4)
        count = transport.receive_into(memoryview(buffer))
        assert count > 0
        data += buffer[:count]
    return data


@pytest.mark.parametrize(
    ('mode', 'options'), [('rb', {}), ('rb', {'buffering': 0}), ('r', {'encoding': 'ascii'})]
)
def test_every_way_to_open_the_reader(mode: str, options: dict[str, Any]) -> None:
    pipes = Pipes(mode, **options)
    transport = pipes.transport()
    transport.connect(None)
    assert not transport.wait_readable(0)
    os.write(pipes.write_fd, b'some bytes')
    assert received(transport, 10) == b'some bytes'
    transport.close(None)
    pipes.close()


def test_what_the_reader_has_buffered_comes_first(pipes: Pipes) -> None:
    os.write(pipes.write_fd, b'a line\nread ahead ')
    assert pipes.in_file.readline() == b'a line\n'
    transport = pipes.transport()
    transport.connect(None)
    os.write(pipes.write_fd, b'and then the rest')
    assert received(transport, 28) == b'read ahead and then the rest'
    assert not transport.wait_readable(0)
    assert transport.receive_into(memoryview(bytearray(1))) == -1
    transport.close(None)


def test_what_is_buffered_does_not_hide_a_cancel(pipes: Pipes) -> None:
    os.write(pipes.write_fd, b'a line\nread ahead ')
    pipes.in_file.readline()
    transport = pipes.transport()
    transport.connect(None)
    transport.cancel()
    with pytest.raises(Cancelled):
        transport.wait_readable()
    transport.close(None)


def test_what_the_writer_has_buffered_goes_first(pipes: Pipes) -> None:
    pipes.out_file.write(b'written before, ')
    transport = pipes.transport()
    transport.connect(None)
    transport.send([b'sent after'])
    assert os.read(pipes.read_fd, 100) == b'written before, sent after'
    transport.close(None)


def test_close_closes_the_file_objects(pipes: Pipes) -> None:
    transport = pipes.transport()
    transport.connect(None)
    transport.close(None)
    assert pipes.in_file.closed
    assert pipes.out_file.closed


@pytest.mark.parametrize('fork', [False, True])
def test_the_blocking_mode_is_put_back_for_those_who_share_the_pipe(
    pipes: Pipes, fork: bool
) -> None:
    copies = [os.dup(pipes.in_file.fileno()), os.dup(pipes.out_file.fileno())]
    transport = pipes.transport()
    transport.connect(None)
    assert not any(map(os.get_blocking, copies))
    if fork:
        transport.abandon()  # the parent goes on using it
    else:
        transport.close(None)
    assert all(os.get_blocking(fd) != fork for fd in copies)
    for fd in copies:
        os.close(fd)


def test_what_did_not_block_before_does_not_afterwards(pipes: Pipes) -> None:
    copy = os.dup(pipes.in_file.fileno())
    os.set_blocking(copy, False)
    transport = pipes.transport()
    transport.connect(None)
    transport.close(None)
    assert not os.get_blocking(copy)
    os.close(copy)


def test_one_file_for_both_directions() -> None:
    ours, theirs = socket.socketpair()
    transport = PipeTransport(ours, ours)
    transport.connect(None)
    theirs.send(b'in')
    assert received(transport, 2) == b'in'
    transport.wait_either()
    transport.send([b'out'])
    assert theirs.recv(10) == b'out'
    transport.close(None)
    theirs.close()


def test_wrong_arguments(pipes: Pipes) -> None:
    with pytest.raises(TypeError, match=r'in_pipe must be a file object, .*, not int'):
        PipeTransport(0, pipes.out_file)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='in_pipe is not open for reading'):
        PipeTransport(pipes.out_file, pipes.in_file)
    with pytest.raises(ValueError, match='out_pipe is not open for writing'):
        PipeTransport(pipes.in_file, pipes.in_file)
    with pytest.raises(ValueError, match=r'out_pipe has no open descriptor: .*fileno'):
        PipeTransport(pipes.in_file, io.BytesIO())
    pipes.in_file.close()
    with pytest.raises(ValueError, match=r'in_pipe has no open descriptor: .*closed'):
        PipeTransport(pipes.in_file, pipes.out_file)


def test_a_signal_handler_may_cancel(pipes: Pipes) -> None:
    transport = pipes.transport()
    transport.connect(None)
    previous = signal.signal(signal.SIGUSR1, lambda *_: transport.cancel())
    try:
        with pytest.raises(Cancelled), signal_during(signal.SIGUSR1):
            transport.wait_readable()
    finally:
        signal.signal(signal.SIGUSR1, previous)
    transport.close(None)


def test_ctrl_c_ends_a_wait_and_harms_nothing(pipes: Pipes) -> None:
    transport = pipes.transport()
    transport.connect(None)
    with pytest.raises(KeyboardInterrupt), signal_during(signal.SIGINT):
        transport.wait_readable()
    os.write(pipes.write_fd, b'still there')
    assert received(transport, 11) == b'still there'
    transport.close(None)
