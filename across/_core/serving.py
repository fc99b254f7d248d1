"""Processes that are there for one connection alone: bare peers, children of servers.

Layer: the top of the core, beside :mod:`.connection`.
"""

from __future__ import annotations

from .connection import Connection
from .errors import DisconnectError
from .options import Options
from .threads.main_loop import main_loop

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    import socket
    from typing import Any, Callable

    from .link import Link
    from .transports.base import Transport


def serve(transport: Transport, options: Options, accepted: tuple[str, ...] = ()) -> None:
    """Make a connection, and serve it in this thread, the main one, until it has ended.

    Raises:
        ProtocolError: The peer did not speak the protocol.
        DisconnectError: The peer is gone, without a goodbye.
    """
    with main_loop:  # a call may come before this thread waits
        # Made in two steps: SIGTERM may end this thread while it makes the connection, which by
        # then may be in use.
        connection = Connection.__new__(Connection)
        try:
            connection.__init__(transport, options, accepted)  # type: ignore[misc]
            main_loop.only_link = connection._link
            connection.wait()
        finally:
            link: Link | None = getattr(connection, '_link', None)
            if link is not None:
                link.close()


def serve_stdio(options: dict[str, Any]) -> None:
    """What a bare Python does once it has the library: serve whoever booted it, until the end.

    Args:
        options: Those of the other side, as far as they concern this one.
    """
    from .transports.stdio import StdioTransport
    from .travel.importer import ALWAYS_EXPORTED

    settings = Options(**options).copy(accept_exported_modules=True, forward_stdio=False)
    try:
        serve(StdioTransport(), settings, ALWAYS_EXPORTED)
    except DisconnectError:
        pass  # the peer is gone; nobody is left to tell


def serve_socket(sock: socket.socket, options: Options) -> None:
    """What the child process of a server does: serve one of its clients.

    Raises:
        ProtocolError, DisconnectError: See :func:`serve`.
    """
    from .transports.sockets import SocketTransport

    transport = SocketTransport(sock)
    transport.owns_stdio = True
    serve(transport, options)


def run_in_main_thread(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a function in the main thread of this process, and return its result.

    Calls run in other threads, and some code works in the main thread only: signal handlers, event
    loops that handle signals, some C libraries. For that code, call this function::

        conn.call(across.run_in_main_thread, signal.signal, signal.SIGUSR1, handler)

    It works where the main thread waits in :meth:`Connection.wait`: that of a bare peer does, and
    that of a process which a server has started for the connection. There it runs one function at
    a time, in the order of the calls. To that function, things are as in the thread that called:
    :func:`get_connection`, :func:`current_call` and context variables. An ``async def`` function is
    awaited. In the main thread itself this is a plain call.

    Args:
        func: What to run.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Raises:
        OperationError: The main thread is not waiting for a connection.
        concurrent.futures.CancelledError: The call was cancelled before it was its turn.
        Exception: Whatever the function raised.
    """
    from .main_thread import run_job

    return run_job(func, args, kwargs)


run_in_main_thread.__module__ = 'across'
