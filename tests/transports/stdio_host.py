"""A process whose standard streams are taken over, and the transport over them driven from outside.

Started as ``python stdio_host.py PATH``: each connection to the Unix socket at PATH asks for one
call, in a thread of its own. :class:`HostedTransport` is the other end.
"""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.connection import Client, Connection, Listener
from typing import TYPE_CHECKING, Any

from across._core.transports.base import Transport
from across._core.transports.stdio import StdioTransport

if TYPE_CHECKING:
    from across._core.transports.base import Buffer


class HostedTransport(Transport):
    """The transport of another process."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.name = self.call('name')

    def call(self, method: str, *args: Any) -> Any:
        with Client(self._path, 'AF_UNIX') as line:
            line.send((method, args))
            is_result, value = line.recv()
        if is_result:
            return value
        raise value

    def connect(self, timeout: float | None) -> None:
        self.call('connect', timeout)

    def receive_into(self, view: memoryview) -> int:
        count, data = self.call('receive', len(view))
        view[: len(data)] = data
        return int(count)

    def send(self, buffers: list[Buffer]) -> int:
        return int(self.call('send', [bytes(buffer) for buffer in buffers]))

    def wait_readable(self, timeout: float | None = None) -> bool:
        return bool(self.call('wait_readable', timeout))

    def wait_writable(self, timeout: float | None = None) -> bool:
        return bool(self.call('wait_writable', timeout))

    def wait_either(self, timeout: float | None = None) -> None:
        self.call('wait_either', timeout)

    def cancel(self) -> None:
        self.call('cancel')

    def kill(self) -> None:
        self.call('kill')

    def close(self, timeout: float | None) -> None:
        self.call('close', timeout)

    def abandon(self) -> None:
        self.call('abandon')

    def ending(self) -> str:
        return str(self.call('ending'))


def fork_and_abandon(transport: Transport) -> int:
    """Abandon and cancel the transport in a forked child; return the child's exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            transport.abandon()
            transport.cancel()
            transport.close(0)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def perform(transport: Transport, method: str, args: tuple[Any, ...]) -> Any:
    if method == 'name':
        return transport.name
    if method == 'receive':
        buffer = bytearray(args[0])
        count = transport.receive_into(memoryview(buffer))
        return count, bytes(buffer[: max(count, 0)])
    if method == 'fork_and_abandon':
        return fork_and_abandon(transport)
    return getattr(transport, method)(*args)


def answer(transport: Transport, line: Connection) -> None:
    with line:
        method, args = line.recv()
        try:
            result = True, perform(transport, method, args)
        except Exception as exc:
            result = False, exc
        line.send(result)


def main() -> None:
    transport = StdioTransport()
    with Listener(sys.argv[1], 'AF_UNIX', backlog=16) as listener:
        os.write(2, b'listening\n')
        while True:
            line = listener.accept()
            threading.Thread(target=answer, args=(transport, line), daemon=True).start()


if __name__ == '__main__':
    main()
