"""Listeners in the background: they accept connections, and give them to a handler.

Layer: servers.
"""

from __future__ import annotations

import errno
import selectors
import socket
import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from across._core.wire.greeting import encode_refusal

from . import lifetime
from .binding import BACKLOG, UnixSocketFile, bind_tcp, exposed_address, path_open_to_all
from .handlers import SIGNAL_DELAY, ConnectionHandler, LocalConnectionHandler, check_drain
from .systemd import inherited_sockets

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Any

# Seconds after which a listener that had no resources for a connection tries again.
RETRY_PAUSE = 0.1
# Seconds between two messages about that.
COMPLAINT_PAUSE = 60.0
# How often to read what a client that is turned away has sent; one that sends on holds up nobody.
_LAST_READS = 16
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)


class Server:
    """Accepts connections in the background, from when it is made until it is closed.

    ::

        with Server.listen_tcp('localhost', 0, handler=ProcessConnectionHandler()) as server:
            host, port = server.address
            ...

    Warns if other machines, or all users of this one by a Unix socket, may connect and the
    handler's options ask clients for no proof of who they are (``authkey``, or an ``ssl_context``
    that requires certificates), as whoever connects can run anything.

    Args:
        sockets: Bound stream sockets, TCP or Unix, which the server then owns: those that systemd
            passes, say. For others there are :meth:`listen_tcp` and :meth:`listen_unix`.
        handler: Is given each connection, and closed with the server. A
            :class:`LocalConnectionHandler` unless given.
        max_connections: While there are that many (1 or more, or None for no limit), further
            clients are turned away.

    Raises:
        TypeError, ValueError: An argument makes no sense.

    Threads: all methods may be called from any thread.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        handler: ConnectionHandler | None = None,
        max_connections: int | None = None,
    ) -> None:
        # Not above, as the children import this module, too. Nor when first needed: then there may
        # be no descriptor left to read it with.
        import logging

        _check_arguments(handler, max_connections)
        _check_sockets(sockets)
        if handler is not None and handler.wants_tls and _has_unix(sockets):
            raise ValueError('option ssl_context is for TCP only; a Unix socket needs no TLS')
        _warn_if_exposed(sockets, handler)
        self._handler = LocalConnectionHandler() if handler is None else handler
        self._limit = max_connections
        self._log = logging.getLogger('across.servers').error
        self._next_complaint = 0.0
        self._sockets = list(sockets)
        self._addresses = [_address(sock) for sock in sockets]
        self._file: UnixSocketFile | None = None
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._closing = threading.RLock()  # who comes second waits until all is closed
        self._start()

    def _start(self) -> None:
        for sock in self._sockets:
            sock.listen(BACKLOG)
            sock.setblocking(False)  # the client may be gone again before it is accepted
        self._wakeup, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for sock in (*self._sockets, self._wakeup):
            self._selector.register(sock, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name='across-listener', daemon=True)
        lifetime.track(self)
        try:
            self._thread.start()
        except BaseException:  # the system has no more threads; a Ctrl-C
            if self._thread.ident is None:
                self._stopped.set()  # should it begin after all, it ends at once
            self.close()
            raise

    @classmethod
    def listen_tcp(
        cls,
        host: str,
        port: int,
        *,
        handler: ConnectionHandler | None = None,
        max_connections: int | None = None,
    ) -> Server:
        """Listen on a TCP port, of all addresses of a host; may warn, see :class:`Server`.

        Args:
            host: Name or address (IPv4 or IPv6); empty for all interfaces.
            port: Port number; 0 lets the system choose one.
            handler: See :class:`Server`.
            max_connections: See :class:`Server`.

        Raises:
            OSError: The port is in use, say.
        """
        _check_arguments(handler, max_connections)
        return cls._open_to_others(bind_tcp(host, port), handler, max_connections)

    @classmethod
    def listen_unix(
        cls,
        path: str | os.PathLike[str],
        *,
        handler: ConnectionHandler | None = None,
        max_connections: int | None = None,
    ) -> Server:
        """Make a Unix socket, with mode 0600, and listen on it.

        What an earlier server left at that path is removed. When the server ends it removes the
        socket.

        Args:
            path: Of the socket.
            handler: See :class:`Server`.
            max_connections: See :class:`Server`.

        Raises:
            OSError: Another server listens there, or there is a file that is no socket.
        """
        _check_arguments(handler, max_connections)
        file = UnixSocketFile(path)
        try:
            server = cls([file.socket], handler=handler, max_connections=max_connections)
            server._file = file
        except BaseException:
            file.remove()
            file.socket.close()
            raise
        return server

    @classmethod
    def listen_systemd(
        cls,
        name: str | None = None,
        *,
        handler: ConnectionHandler | None = None,
        max_connections: int | None = None,
    ) -> Server:
        """Accept connections on the sockets that systemd listens on for this process.

        May warn, see :class:`Server`.

        Args:
            name: Only on those of the socket units with this ``FileDescriptorName=``.
            handler: See :class:`Server`.
            max_connections: See :class:`Server`.

        Raises:
            OSError: systemd passed no such socket.
        """
        _check_arguments(handler, max_connections)
        return cls._open_to_others(inherited_sockets(name), handler, max_connections)

    @classmethod
    def _open_to_others(
        cls,
        sockets: list[socket.socket],
        handler: ConnectionHandler | None,
        max_connections: int | None,
    ) -> Server:
        """Listen on sockets that other machines or users may reach."""
        try:
            return cls(sockets, handler=handler, max_connections=max_connections)
        except BaseException:
            for sock in sockets:
                sock.close()
            raise

    @property
    def addresses(self) -> list[Any]:
        """Where it listens: ``(host, port)`` for TCP, a path for a Unix socket."""
        return list(self._addresses)

    @property
    def address(self) -> Any:
        """The first of :attr:`addresses`, for ``Connection.from_tcp(*server.address)``."""
        return self._addresses[0]

    @property
    def connection_count(self) -> int:
        """How many connections there are now, those in their handshake included."""
        return self._handler.connection_count

    def wait(self) -> None:
        """Wait until another thread cancels or closes the server."""
        while not self._stopped.wait(SIGNAL_DELAY):
            pass

    def cancel(self) -> None:
        """Accept no more, and cancel all connections, without waiting; then comes :meth:`close`."""
        self._stop()
        self._handler.cancel()

    def close(self, drain: float | None = 0.0) -> None:
        """Accept no more, and close all connections and the handler.

        Clients are told, unless :meth:`cancel` was called before. A second close does nothing.

        Args:
            drain: For how many seconds calls that are in flight may go on: they get their answers,
                and each connection ends with its last one. None for no limit. What still runs then
                ends with a :exc:`.DisconnectError`, as all does with 0.

        Raises:
            TypeError, ValueError: ``drain`` is no such number.
        """
        check_drain(drain)
        self._stop()
        with self._closing:
            if self._thread is not threading.current_thread():
                self._stopped.wait()
            if self._file is not None:
                self._file.remove()  # first, so that nobody finds it stale
            self._selector.close()
            for sock in (*self._sockets, self._wakeup, self._alarm):
                sock.close()
            try:
                if drain != 0:
                    self._handler.drain(drain)
            except BaseException:  # a Ctrl-C, by somebody who has waited long enough
                self._handler.cancel()
                raise
            finally:
                self._handler.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _abandon(self) -> None:
        """In a forked child: the server is the parent's."""
        self._stopping, self._stopped = threading.Event(), threading.Event()
        self._stopped.set()
        self._closing = threading.RLock()
        self._file = None
        self._thread = threading.current_thread()  # nobody to wait for
        self._selector.close()
        for sock in (*self._sockets, self._wakeup, self._alarm):
            sock.close()

    def _stop(self) -> None:
        self._stopping.set()
        with suppress(OSError):  # closed, or full of such bytes
            self._alarm.send(b'\0')

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                for key, _ in self._selector.select():
                    if key.fileobj is not self._wakeup:
                        self._accept_one(key.fileobj)  # type: ignore[arg-type]
        finally:
            self._stopped.set()

    def _accept_one(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # that client is gone
        except OSError as exc:
            self._wait_for_resources(exc)
            return
        sock.setblocking(True)  # a child may have it as its standard input
        if self._limit is not None and self.connection_count >= self._limit:
            _turn_away(sock, f'this server has its {self._limit} connections already')
            return
        while not self._hand_over(sock):
            if self._stopping.is_set():
                sock.close()

    def _hand_over(self, sock: socket.socket) -> bool:
        """Give a connection to the handler; False if it lacks resources that may come free."""
        try:
            self._handler.handle_socket(sock)
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno in _EXHAUSTED and sock.fileno() >= 0:
                self._wait_for_resources(exc)
                return False
            sock.close()
            if not self._stopping.is_set():
                self._log('a connection was not handled', exc_info=exc)
        return True

    def _wait_for_resources(self, exc: OSError) -> None:
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAINT_PAUSE
            self._log('cannot take a connection, will try again and again: %s', exc)
        self._stopping.wait(RETRY_PAUSE)


def _check_arguments(handler: ConnectionHandler | None, max_connections: int | None) -> None:
    if handler is not None and not isinstance(handler, ConnectionHandler):
        raise TypeError(f'handler must be a ConnectionHandler, not {type(handler).__name__}')
    if max_connections is not None and (
        isinstance(max_connections, bool)
        or not isinstance(max_connections, int)
        or max_connections < 1
    ):
        raise ValueError(f'max_connections must be 1 or more, or None, not {max_connections!r}')


def _check_sockets(sockets: Sequence[socket.socket]) -> None:
    if not sockets:
        raise ValueError('a server needs a socket to listen on')
    for sock in sockets:
        if not isinstance(sock, socket.socket):
            raise TypeError(f'a server listens on instances of socket.socket, not {sock!r}')
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f'a server listens on stream sockets, not {sock.type!r}')


def _has_unix(sockets: Sequence[socket.socket]) -> bool:
    return any(sock.family == socket.AF_UNIX for sock in sockets)


def _warn_if_exposed(sockets: Sequence[socket.socket], handler: ConnectionHandler | None) -> None:
    if handler is not None and handler.knows_clients:
        return
    address, path = exposed_address(sockets), path_open_to_all(sockets)
    if address is not None:
        _warn(
            f'serving {address} without authentication: whoever can reach that address from '
            "another machine can run anything here, with this user's rights; give the handler "
            'Options(authkey=…), or an ssl_context that requires certificates, or serve a loopback '
            'address'
        )
    if path is not None:
        _warn(
            f'serving {path} without authentication: every user of this machine can run anything '
            "here, with this user's rights; let the socket unit set SocketMode=0600"
        )


def _warn(text: str) -> None:
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals['__name__'].startswith(__package__ or '-'):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def _address(sock: socket.socket) -> Any:
    name = sock.getsockname()
    return name[:2] if isinstance(name, tuple) else name


def _turn_away(sock: socket.socket, text: str) -> None:
    """Close a connection, and tell its client why."""
    with sock, suppress(OSError):
        sock.setblocking(False)
        sock.send(encode_refusal(text))
        sock.shutdown(socket.SHUT_WR)
        # What is unread when a socket closes makes its peer see an error, and not our text.
        for _ in range(_LAST_READS):
            if not sock.recv(4096):
                break
