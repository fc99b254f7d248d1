"""Functions that serve until they are interrupted.

Layer: servers.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .handlers import check_drain
from .listeners import Server
from .systemd import notify

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import Callable

    from .handlers import ConnectionHandler

# Seconds that calls get to finish when a server is told to end. Service managers wait longer.
DRAIN_TIME = 5.0


def run_tcp(
    host: str,
    port: int,
    *,
    handler: ConnectionHandler | None = None,
    max_connections: int | None = None,
    drain: float | None = DRAIN_TIME,
) -> None:
    """Accept connections on a TCP port until :exc:`KeyboardInterrupt`, or SIGTERM, comes.

    Then calls that are in flight may finish, for a time; clients are told, connections are closed,
    and the function returns. A second interrupt, or SIGTERM, cuts that short.

    Args:
        host: Name or address (IPv4 or IPv6); empty for all interfaces.
        port: Port number.
        handler: Is given each connection, and closed in the end. A
            :class:`LocalConnectionHandler` unless given.
        max_connections: While there are that many, further clients are turned away; see
            :class:`Server`.
        drain: For how many seconds calls may go on in the end; see :meth:`Server.close`.

    Raises:
        OSError: The port is in use, say.

    Threads: SIGTERM is only seen to in the main thread, and where nobody else does.
    """
    _run(
        lambda: Server.listen_tcp(host, port, handler=handler, max_connections=max_connections),
        drain,
    )


def run_unix(
    path: str | os.PathLike[str],
    *,
    handler: ConnectionHandler | None = None,
    max_connections: int | None = None,
    drain: float | None = DRAIN_TIME,
) -> None:
    """Make a Unix socket, with mode 0600, and accept connections like :func:`run_tcp`.

    Args:
        path: Of the socket. What an earlier server left there is removed.
        handler: Is given each connection, and closed in the end. A
            :class:`LocalConnectionHandler` unless given.
        max_connections: While there are that many, further clients are turned away; see
            :class:`Server`.
        drain: For how many seconds calls may go on in the end; see :meth:`Server.close`.

    Raises:
        OSError: Another server listens there, or there is a file that is no socket.
    """
    _run(
        lambda: Server.listen_unix(path, handler=handler, max_connections=max_connections),
        drain,
    )


def run_systemd(
    name: str | None = None,
    *,
    handler: ConnectionHandler | None = None,
    max_connections: int | None = None,
    drain: float | None = DRAIN_TIME,
) -> None:
    """Accept connections on sockets that systemd listens on, like :func:`run_tcp`.

    Args:
        name: Only on those of the socket units with this ``FileDescriptorName=``.
        handler: Is given each connection, and closed in the end. A
            :class:`LocalConnectionHandler` unless given.
        max_connections: While there are that many, further clients are turned away; see
            :class:`Server`.
        drain: For how many seconds calls may go on in the end; see :meth:`Server.close`.

    Raises:
        OSError: systemd passed no such socket.
    """
    _run(
        lambda: Server.listen_systemd(name, handler=handler, max_connections=max_connections),
        drain,
    )


def _run(listen: Callable[[], Server], drain: float | None) -> None:
    check_drain(drain)
    server = None
    with _terminated_like_interrupted():
        try:
            server = listen()
            notify('READY=1')
            server.wait()
        except KeyboardInterrupt:
            pass
        if server is None:
            return
        notify('STOPPING=1')
        try:
            server.close(drain)
        except KeyboardInterrupt:
            server.cancel()
            server.close()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if not ours:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
