"""Which host it was that prints, and everything else that gets to standard error meanwhile."""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator

from across import Connection, get_connection

if TYPE_CHECKING:
    from across.cli.hosts import Host

    from .output import Output


class Streams:
    """Hands the output of each host to the common one, under its name."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._hosts: dict[Connection, Host] = {}  # setting, getting and popping are atomic

    def write(self, host: Host, stream: str, data: bytes) -> None:
        """Print what a host printed."""
        self._output.write(host.label, stream, data)

    def end(self, host: Host) -> None:
        """Print what a host has left without an end of line."""
        self._output.end(host.label)

    def terminal(self, host: Host) -> HostTerminal:
        """What the code on a host has for its standard streams."""
        return HostTerminal(self, host)

    @contextmanager
    def belonging(self, connection: Connection, host: Host) -> Iterator[None]:
        """Take what a connection forwards for that of a host, to the end of the block."""
        self._hosts[connection] = host
        try:
            yield
        finally:
            del self._hosts[connection]

    def host_that_prints(self) -> Host | None:
        """The host on whose behalf this thread writes to `sys.stdout` or `sys.stderr`."""
        try:
            return self._hosts.get(get_connection())
        except ValueError:
            return None

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Be `sys.stdout` and `sys.stderr`, to which connections forward."""
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = Sorter(self, 'stdout'), Sorter(self, 'stderr')
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


class HostTerminal:
    """Stands for `near.Terminal` at one of many hosts."""

    def __init__(self, streams: Streams, host: Host) -> None:
        self._streams = streams
        self._host = host

    def read(self, size: int) -> bytes:
        """Nothing: one standard input can't be that of many."""
        return b''

    def write(self, stream: str, data: bytes) -> None:
        """Show what code over there printed."""
        self._streams.write(self._host, stream, data)


class Sorter:
    """A standard stream that hands on what is written to it, under the name of the host.

    What no host has written belongs to this program itself, and is passed to standard error.
    """

    def __init__(self, streams: Streams, stream: str) -> None:
        self._streams = streams
        self._stream = stream

    @property
    def buffer(self) -> Sorter:
        return self

    def write(self, data: Any) -> int:
        encoded = data.encode('utf-8', 'backslashreplace') if isinstance(data, str) else data
        host = self._streams.host_that_prints()
        if host is not None:
            self._streams.write(host, self._stream, encoded)
        elif sys.__stderr__ is not None:
            os.write(sys.__stderr__.fileno(), encoded)
        return len(data)

    def flush(self) -> None:
        pass


@contextmanager
def collected_errors(output: Output) -> Iterator[None]:
    """Print what ssh, and other children, write to our standard error; in whole lines, too.

    For the block, descriptor 2 is a pipe; its reader ends with the block.
    """
    if sys.stderr is None:
        yield
        return
    saved = os.dup(2)
    reader, writer = os.pipe()
    stop_reader, stop_writer = os.pipe()
    os.set_blocking(reader, False)
    os.dup2(writer, 2)  # children inherit it
    os.close(writer)
    pump = threading.Thread(target=_pass_on, args=(reader, stop_reader, output), daemon=True)
    pump.start()
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.write(stop_writer, b'x')
        pump.join()
        for fd in (saved, reader, stop_reader, stop_writer):
            os.close(fd)


def _pass_on(reader: int, stop: int, output: Output) -> None:
    stopping = False
    while not stopping:
        # Not only to the end of the stream: a process that ssh leaves behind may keep it open.
        stopping = stop in select.select([reader, stop], [], [])[0]
        while True:
            try:
                data = os.read(reader, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                stopping = True
                break
            output.write('', 'stderr', data)
    output.end('')
