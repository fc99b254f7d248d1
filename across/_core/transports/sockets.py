"""Sockets as transports: TCP, Unix, and sockets that are connected already.

Layer: transports. Standard library only.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from across._core.interrupts import SIGNAL_PAUSE, came_from_handler
from across._core.transports.base import Cancelled
from across._core.transports.resolving import resolve
from across._core.transports.streams import IOV_MAX, StreamTransport, clamped

if TYPE_CHECKING:
    from typing import Any, Callable

    from across._core.transports.base import Buffer
    from across._core.transports.wakeup import Wakeup

# How long an attempt is alone before the next address is tried beside it (RFC 8305, section 5):
# a host whose IPv6 route swallows packets costs this much, and not the whole timeout.
_HEAD_START = 0.25

# With this flag a call does not wait, though the socket is in blocking mode: recv(2), send(2) of
# Linux. Other systems heed it for receiving only.
_DONT_WAIT = socket.MSG_DONTWAIT
# After this time (seconds) a recv that waits returns: a signal that comes just before it does not
# end it. One that does makes it begin anew, so it may take longer; who needs to be on time asks for
# less, and poll() is used. As a C struct timeval, see SO_RCVTIMEO in socket(7).
LONGEST_RECV = SIGNAL_PAUSE
_TIMEVAL = struct.pack('@ll', 0, int(LONGEST_RECV * 1e6))

# A Unix server whose backlog is full is asked again at this interval; poll() can't tell.
_BACKLOG_PAUSE = 0.01


class _SocketStream(StreamTransport):
    """What sockets of all kinds share."""

    # A shutdown ends the polls of a socket: an open connection has one descriptor, not two.
    _polls_wakeup = False
    _writer_waits = False

    # A wait in the very call that receives spares a poll for each message.
    _waits_in_recv = sys.platform == 'linux'

    _receive: Callable[..., int]
    _send_one: Callable[[Buffer, int], int]
    _send_many: Callable[[list[Buffer], tuple[()], int], int]

    def _use(self, sock: socket.socket) -> None:
        if self.takes_tls:  # TCP
            # Else small frames wait for the acknowledgement of the one before.
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            except OSError:
                pass  # the peer is gone already: the first read will tell
        if self._waits_in_recv:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
            except OSError:  # a 32-bit system may have another timeval
                self._waits_in_recv = False
        self._attach(sock, sock)
        sock.setblocking(self._waits_in_recv)  # also the timeout of the socket object
        self._receive = sock.recv_into
        self._send_one = sock.send
        self._send_many = sock.sendmsg
        self._wakeup.close()  # it has a descriptor if connecting needed one

    # As for pipes: what was moved is stored before any signal handler can run.
    def receive_into(self, view: memoryview) -> int:
        received = self.received = []
        try:
            received.extend(map(self._receive, (view,), (0,), (_DONT_WAIT,)))
        except BlockingIOError:
            return -1
        return received[0]

    def receive_next(self, view: memoryview, timeout: float | None = None) -> int:
        if self._waits_in_recv and (timeout is None or timeout >= LONGEST_RECV):
            received = self.received = []
            try:
                received.extend(map(self._receive, (view,)))
            except OSError as exc:
                self._check_cancelled()
                if not isinstance(exc, BlockingIOError) or came_from_handler(exc):
                    raise
                # Its time was up, unless somebody else has changed the mode of the same open file.
                if timeout is not None and os.get_blocking(self._in_fd):
                    timeout -= LONGEST_RECV
            else:
                if self._wakeup.is_set:
                    self._check_cancelled()
                return received[0]
        return super().receive_next(view, timeout)

    def send(self, buffers: list[Buffer]) -> int:
        sent = self.sent = []
        try:
            if len(buffers) == 1:
                sent.extend(map(self._send_one, buffers, (_DONT_WAIT,)))
            else:
                sent.extend(map(self._send_many, (buffers[:IOV_MAX],), ((),), (_DONT_WAIT,)))
        except BlockingIOError:
            return 0
        return sent[0]

    def wait_writable(self, timeout: float | None = None) -> bool:
        self._writer_waits = True  # first: cancel() sets its flag, and then looks at this one
        try:
            self._check_cancelled()
            return super().wait_writable(timeout)
        finally:
            self._writer_waits = False

    def cancel(self) -> None:
        super().cancel()
        # What the peer was sent before reaches it, unless a message is cut off anyway.
        self._shut_down(socket.SHUT_RDWR if self._writer_waits else socket.SHUT_RD)

    def _shut_down(self, how: int) -> None:
        with self._wakeup.lock:  # nobody closes it meanwhile
            for sock in self._files[:1]:
                assert isinstance(sock, socket.socket)
                with suppress(OSError):
                    sock.shutdown(how)

    def _close_files(self, *, shared: bool) -> None:
        if not shared:
            # A child forked by other code may hold a copy: the peer shall see the end now.
            self._shut_down(socket.SHUT_RDWR)
        super()._close_files(shared=shared)


class SocketTransport(_SocketStream):
    """A transport over a given, connected stream socket, taken over.

    Args:
        sock: The socket.
        server_side: Whether it was accepted, rather than connected from here. None: as the names
            of a Unix socket tell; what can't be told is taken for accepted, for a server that took
            either role could be made to authenticate itself on behalf of a stranger.
        server_hostname: Of the server, for TLS; then the socket was connected from here.

    Raises:
        TypeError: It is no :class:`socket.socket`, or one whose bytes are not those on its
            descriptor (TLS).
        ValueError: It is closed, listening, not connected, or no stream socket.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        server_side: bool | None = None,
        server_hostname: str | None = None,
    ) -> None:
        check_socket(sock)
        super().__init__(_socket_name(sock))
        self.takes_tls = sock.family != socket.AF_UNIX
        if server_side is None and server_hostname is None:
            self.server_side = True if self.takes_tls else _find_role(sock)
        else:
            self.server_side = bool(server_side)
        self.server_hostname = server_hostname
        self._sock = sock
        self._files = (sock,)

    def connect(self, timeout: float | None) -> None:
        self._use(self._sock)


class UnixTransport(_SocketStream):
    """A transport to a server that listens on a Unix socket.

    Args:
        path: Of the socket; an abstract one (Linux) starts with a null character.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        if not self._path:
            raise ValueError('path must name a socket, but is empty')
        super().__init__(os.fsdecode(self._path).replace('\0', '@'))

    def connect(self, timeout: float | None) -> None:
        self._check_cancelled()
        deadline = None if timeout is None else time.monotonic() + timeout
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            self._ask(sock, deadline)
            self._use(sock)
        except BaseException:
            sock.close()
            raise

    def _ask(self, sock: socket.socket, deadline: float | None) -> None:
        while True:
            try:
                code = sock.connect_ex(self._path)
            except OSError as exc:  # a path longer than the system takes
                raise OSError(errno.ENAMETOOLONG, str(exc), self.name) from exc
            if code in (0, errno.EISCONN):
                return
            if code not in (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY):
                raise OSError(code, os.strerror(code), self.name)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f'{self.name} did not accept the connection in time')
            self._wakeup.wait(_BACKLOG_PAUSE)
            self._check_cancelled()


class TcpTransport(_SocketStream):
    """A transport to a server that listens on a TCP port, over IPv4 or IPv6.

    Raises:
        TypeError: ``host`` is no string or ``port`` no integer.
        ValueError: ``host`` is empty, or ``port`` out of range.
    """

    takes_tls = True

    def __init__(self, host: str, port: int) -> None:
        if not isinstance(host, str):
            raise TypeError(f'host must be a string, not {type(host).__name__}')
        if not isinstance(port, int) or isinstance(port, bool):
            raise TypeError(f'port must be an integer, not {type(port).__name__}')
        if not host:
            raise ValueError('host must be a name or an address, but is empty')
        if not 0 < port < 65536:
            raise ValueError(f'port must be between 1 and 65535, not {port}')
        super().__init__(_address_name((host, port)))
        self._host = self.server_hostname = host
        self._port = port

    def connect(self, timeout: float | None) -> None:
        self._check_cancelled()
        deadline = None if timeout is None else time.monotonic() + timeout
        addresses = resolve(self._host, self._port, self._wakeup, deadline)
        sock = _Dialing(self.name, addresses, self._wakeup).run(deadline)
        self._files = (sock,)
        self._use(sock)


class _Dialing:
    """Attempts to connect to the addresses of one host, each started a moment after the last."""

    def __init__(self, name: str, addresses: list[tuple[int, Any]], wakeup: Wakeup) -> None:
        self._name = name
        self._untried = addresses[::-1]
        self._wakeup = wakeup
        self._pending: dict[int, tuple[socket.socket, str]] = {}
        self._failures: list[tuple[str, int]] = []

    def run(self, deadline: float | None) -> socket.socket:
        """Return the first socket to be connected, not blocking; the others are closed.

        Raises:
            OSError: All addresses failed; the text names each.
            TimeoutError: The deadline has passed.
            Cancelled: The wakeup was set.
        """
        next_start = 0.0
        try:
            while True:
                now = time.monotonic()
                if self._untried and (not self._pending or now >= next_start):
                    self._start(*self._untried.pop())
                    next_start = now + _HEAD_START
                elif not self._pending:
                    raise self._all_failed()
                elif deadline is not None and now >= deadline:
                    raise TimeoutError(f'connecting to {self._name} timed out: {self._outcomes()}')
                moments = ([next_start] if self._untried else []) + [deadline or now + 3600.0]
                winner = self._wait(min(moments) - now)
                if winner is not None:
                    return winner
        finally:
            for sock, _ in self._pending.values():
                sock.close()

    def _start(self, family: int, address: Any) -> None:
        name = _address_name(address)
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as exc:  # a system without IPv6
            self._failures.append((name, exc.errno or errno.EAFNOSUPPORT))
            return
        sock.setblocking(False)
        self._pending[sock.fileno()] = sock, name
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._fail(sock.fileno(), code)

    def _fail(self, fd: int, code: int) -> None:
        sock, name = self._pending.pop(fd)
        sock.close()
        self._failures.append((name, code))

    def _wait(self, timeout: float) -> socket.socket | None:
        """Wait for an attempt to end; take the first that was successful out of the pending."""
        if not self._pending:
            return None
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        for fd in self._pending:
            poll.register(fd, select.POLLOUT)
        ready = poll.poll(clamped(timeout))
        if self._wakeup.is_set:
            raise Cancelled(f'the connection to {self._name} was cancelled')
        for fd, _ in ready:
            sock, _ = self._pending[fd]
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return self._pending.pop(fd)[0]
            self._fail(fd, code)
        return None

    def _all_failed(self) -> OSError:
        codes = {code for _, code in self._failures}
        text = f'cannot connect to {self._name}: {self._outcomes()}'
        # With one number for all, OSError becomes ConnectionRefusedError and the like.
        return OSError(codes.pop(), text) if len(codes) == 1 else OSError(text)

    def _outcomes(self) -> str:
        outcomes = [(name, os.strerror(code)) for name, code in self._failures]
        outcomes += [(name, 'no answer') for _, name in self._pending.values()]
        # An address that was given as such need not be said twice.
        return ', '.join(
            outcome if name == self._name else f'{name}: {outcome}' for name, outcome in outcomes
        )


def _address_name(address: Any) -> str:
    host, port = address[:2]
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def check_socket(sock: socket.socket) -> None:
    """Check that a connection can be made of a socket.

    Raises:
        TypeError, ValueError: It can't.
    """
    expected = 'sock must be a connected stream socket'
    if not isinstance(sock, socket.socket):
        raise TypeError(f'{expected} (socket.socket), not {type(sock).__name__}')
    if type(sock).recv_into is not socket.socket.recv_into:
        # What poll() tells about the descriptor of an ssl.SSLSocket is not what it has to read.
        hint = '; give the plain socket, and Options(ssl_context=…)'
        name = type(sock).__name__
        raise TypeError(f'{expected} of the system, not {name}{hint if "SSL" in name else ""}')
    if sock.fileno() < 0:
        raise ValueError(f'{expected}, but is closed')
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f'{expected}, not {sock.type!r}')
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError(f'{expected}, but is listening: pass what its accept() returns')
    try:
        sock.getpeername()
    except OSError as exc:
        # A client that reset its connection before we got here has left an error behind. That is
        # its fault, and no reason for a server to stop: the first read will tell.
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            raise ValueError(f'{expected}, but is not connected') from exc


def _find_role(sock: socket.socket) -> bool | None:
    """Whether a Unix socket was accepted; None for one end of a socket pair."""
    if sock.getsockname():
        return True  # only the server's end has a name
    try:
        return False if sock.getpeername() else None
    except OSError:
        return None  # the peer has gone


def _socket_name(sock: socket.socket) -> str:
    try:
        address = sock.getpeername()
    except OSError:
        return 'a peer that has gone'
    if isinstance(address, tuple) and len(address) >= 2:
        return _address_name(address)
    if address:
        return os.fsdecode(address)
    # A client's end has no name: the server's tells them apart.
    own = os.fsdecode(sock.getsockname() or '')
    return f'a client of {own}' if own else 'a Unix socket'
