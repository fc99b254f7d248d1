"""Links of every kind: a transport at one end, plain blocking system calls at the other."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from across._core.transports import base
from across._core.transports.processes import ProcessTransport
from across._core.transports.sockets import SocketTransport, TcpTransport, UnixTransport
from across._core.transports.streams import PipeTransport
from across._core.transports.tls import TlsTransport
from support.certificates import missing_program
from support.waiting import SECOND
from transports.stdio_host import HostedTransport, fork_and_abandon
from transports.tls_relay import TlsRelay

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.certificates import Certificates

HERE = Path(__file__).parent
PEER_CLOSED = 'the peer closed the connection'
CHUNK = 1 << 16


class Peer:
    """The plain end of a link: blocking reads and writes on descriptors that it owns."""

    def __init__(self, in_fd: int, out_fd: int) -> None:
        self._fds = [in_fd, out_fd]

    @classmethod
    def over(cls, sock: socket.socket) -> Peer:
        sock.settimeout(None)
        fd = sock.detach()
        return cls(fd, os.dup(fd))

    def read(self, size: int) -> bytes:
        """Read exactly ``size`` bytes, less only at the end of the stream."""
        chunks = []
        while size and (chunk := os.read(self._fds[0], min(size, CHUNK))):
            chunks.append(chunk)
            size -= len(chunk)
        return b''.join(chunks)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fds[1], rest) :]

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


class Link:
    """A transport that is not yet connected, and how to reach its other end.

    Attributes:
        transport: The end under test.
        peer: The other end, once :meth:`connect` has been called.
        ending: A pattern for what the transport says after the peer has closed.
        resources: What to close in the end.
    """

    peer: Peer

    def __init__(self, folder: Path, certificates: Certificates | None) -> None:
        self.folder = folder
        self.certificates = certificates
        self.transport: base.Transport
        self.ending = PEER_CLOSED
        self.resources = ExitStack()
        self._find_peer: Callable[[], Peer]

    def connect(self) -> None:
        self.transport.connect(5 * SECOND)
        self.peer = self._find_peer()
        self.resources.callback(self.peer.close)

    def fork_and_abandon(self) -> int:
        if isinstance(self.transport, HostedTransport):
            return int(self.transport.call('fork_and_abandon'))
        return fork_and_abandon(self.transport)

    def set_up_tcp(self, family: int, host: str) -> None:
        try:
            server = socket.create_server((host, 0), family=family)
        except OSError as exc:
            pytest.skip(f'no {host} on this machine: {exc}')
        self._accept_from(server)
        self.transport = TcpTransport(host, server.getsockname()[1])

    def set_up_tls(self, server_side: bool) -> None:
        if self.certificates is None:
            pytest.skip(missing_program())
        here, there = self.certificates.client_context(), self.certificates.server_context()
        with socket.create_server(('127.0.0.1', 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)  # is soon full
            ours = socket.create_connection(listener.getsockname())
            theirs, _ = listener.accept()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        if server_side:
            here, there = there, here
        inner = SocketTransport(ours, server_side=server_side, server_hostname='localhost')
        self.transport = TlsTransport(inner, here)
        plain, end = socket.socketpair()
        relay = TlsRelay(theirs, plain, there, not server_side)
        self.resources.callback(relay.join)
        self._find_peer = lambda: Peer.over(end)
        self.resources.callback(end.close)
        self.resources.callback(ours.close)

    def set_up_unix(self) -> None:
        self._accept_from(self._listen())
        self.transport = UnixTransport(self.folder / 'socket')

    def set_up_socketpair(self) -> None:
        ours, theirs = socket.socketpair()
        self._find_peer = lambda: Peer.over(theirs)
        self.resources.callback(theirs.close)
        self.transport = SocketTransport(ours)

    def set_up_polled(self) -> None:
        """A socket as on systems where recv can't wait."""
        self.set_up_socketpair()
        self.transport._waits_in_recv = False  # type: ignore[attr-defined]

    def set_up_pipes(self) -> None:
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        self.peer = Peer(their_in, their_out)
        self._find_peer = lambda: self.peer
        self.resources.callback(self.peer.close)
        self.transport = PipeTransport(os.fdopen(our_in, 'rb'), os.fdopen(our_out, 'wb'))

    def set_up_process(self) -> None:
        self._accept_from(self._listen())
        self.transport = ProcessTransport(self._relay())
        self.ending = r'process \d+ \(.*python.*\) ended with status 0'

    def set_up_shell(self) -> None:
        self._accept_from(self._listen())
        script = f'cd /\n{shlex.join(self._relay())}\nexit 7'
        self.transport = ProcessTransport(['/bin/sh', '-c', script])
        self.ending = r'process \d+ \(/bin/sh -c .*\) ended with status 7'

    def set_up_popen(self) -> None:
        self._accept_from(self._listen())
        process = subprocess.Popen(self._relay(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.transport = ProcessTransport.from_popen(process)
        self.ending = r'process \d+ \(.*python.*\) ended with status 0'

    def set_up_stdio(self) -> None:
        path = str(self.folder / 'calls')
        root = Path(base.__file__).parents[3]
        host = subprocess.Popen(
            [sys.executable, str(HERE / 'stdio_host.py'), path],
            env={**os.environ, 'PYTHONPATH': str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.resources.callback(_end, host)
        assert host.stdin is not None
        assert host.stdout is not None
        assert host.stderr is not None
        assert host.stderr.readline() == b'listening\n'
        self.peer = Peer(os.dup(host.stdout.fileno()), os.dup(host.stdin.fileno()))
        host.stdout.close()
        host.stdin.close()
        self.resources.callback(self.peer.close)
        self._find_peer = lambda: self.peer
        self.transport = HostedTransport(path)

    def _relay(self) -> list[str]:
        return [sys.executable, '-I', '-S', str(HERE / 'relay.py'), str(self.folder / 'socket')]

    def _listen(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.folder / 'socket'))
        server.listen()
        return server

    def _accept_from(self, server: socket.socket) -> None:
        server.settimeout(5 * SECOND)
        self.resources.callback(server.close)
        self._find_peer = lambda: Peer.over(server.accept()[0])


def _end(host: subprocess.Popen[bytes]) -> None:
    host.kill()
    host.wait()
    assert host.stderr is not None
    host.stderr.close()


KINDS: dict[str, Callable[[Link], None]] = {
    'tcp4': lambda link: link.set_up_tcp(socket.AF_INET, '127.0.0.1'),
    'tcp6': lambda link: link.set_up_tcp(socket.AF_INET6, '::1'),
    'tls client': lambda link: link.set_up_tls(server_side=False),
    'tls server': lambda link: link.set_up_tls(server_side=True),
    'unix': Link.set_up_unix,
    'socketpair': Link.set_up_socketpair,
    'polled': Link.set_up_polled,
    'pipes': Link.set_up_pipes,
    'stdio': Link.set_up_stdio,
    'process': Link.set_up_process,
    'popen': Link.set_up_popen,
    'shell': Link.set_up_shell,
}
