"""Connection handlers: they take accepted sockets, and look after the connections made of them.

Layer: servers.
"""

from __future__ import annotations

import abc
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from across import AcrossError, Connection, Options
from across._core.interrupts import shield

from . import lifetime
from .admission import check_admission, pack
from .children import start_bare_child, start_child
from .refusals import Refusals, refusal_of
from .sessions import Session

if TYPE_CHECKING:
    import socket
    from typing import Callable, TypeVar

    Self = TypeVar('Self', bound='ConnectionHandler')

# Seconds that connections get to end once they are cancelled, which takes them milliseconds.
CANCEL_WAIT = 5.0
# Seconds after which a wait looks for signals: one that comes just as the main thread begins to
# wait for a lock does not end that.
SIGNAL_DELAY = 0.5


class ConnectionHandler(abc.ABC):
    """Makes connections of accepted sockets, and manages those that are running.

    ::

        with LocalConnectionHandler() as handler:
            sock = socket.create_server(('localhost', 1865))
            while True:
                handler.handle_socket(sock.accept()[0])

    Threads: all methods may be called from any thread.
    """

    @abc.abstractmethod
    def handle_socket(self, sock: socket.socket) -> None:
        """Make a connection of a socket, which then belongs to the handler.

        Returns at once: the handshake takes place in the background, and a client that is slow or
        talks nonsense holds up nobody.

        Args:
            sock: A connected stream socket, TCP or Unix, as ``accept()`` returns it.

        Raises:
            OSError: There are no resources for another connection. The socket is still the
                caller's.
            RuntimeError: The handler is closed.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """Cancel all running connections, without waiting for that; then comes :meth:`close`."""

    def drain(self, timeout: float | None) -> None:  # noqa: B027
        """Let calls that are in flight finish, and end their connections, for a limited time.

        Takes no new connections; clients that call anything else get an :exc:`.OperationError`.
        Then comes :meth:`close`, for those that are left. A handler that does not know how to does
        nothing here.

        Args:
            timeout: Seconds that this may take, None for no limit. It returns earlier when all
                connections have ended, or :meth:`cancel` is called.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Close all running connections, and free what the handler holds.

        Clients are told, unless :meth:`cancel` was called before. Calls that are in flight end
        with a :exc:`.DisconnectError`. A second close does nothing.
        """

    @property
    def connection_count(self) -> int:
        """How many connections there are now, those in their handshake included."""
        raise NotImplementedError(f'{type(self).__name__} does not count its connections')

    @property
    def knows_clients(self) -> bool:
        """Whether clients have to prove who they are; a server warns where it matters."""
        return False

    @property
    def wants_tls(self) -> bool:
        """Whether clients have to use TLS, which is for TCP only."""
        return False

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Pool(ConnectionHandler):
    """A handler with a session for each client; a subclass says how to begin one."""

    def __init__(self, options: Options | None) -> None:
        if options is not None and not isinstance(options, Options):
            raise TypeError(f'options must be across.Options, not {type(options).__name__}')
        self._options = Options() if options is None else options
        self._admission = check_admission(self._options)
        self._refusals = Refusals()
        self._sessions: dict[Session, None] = {}
        self._closing = self._cancelled = False
        # Guards `_sessions` and `_closing`; notified when a session is over.
        self._changed = threading.Condition()
        lifetime.track(self)

    @abc.abstractmethod
    def _begin(self, sock: socket.socket) -> Session:
        """Begin a session; where that fails, the socket stays as it is."""

    @property
    def connection_count(self) -> int:
        return len(self._sessions)

    @property
    def knows_clients(self) -> bool:
        return self._admission.proven

    @property
    def wants_tls(self) -> bool:
        return self._admission.encrypted

    def handle_socket(self, sock: socket.socket) -> None:
        if self._closing or self._cancelled:
            raise self._closed()
        with shield:  # interrupted in between, there would be a session that nobody looks after
            session = self._begin(sock)
            added = self._add(session)
            if not added:
                session.kill()
            session.watch(partial(self._remove, session))  # keeps it until it is over
        if not added:
            raise self._closed()

    def _add(self, session: Session) -> bool:
        with self._changed:
            if self._closing:
                return False
            self._sessions[session] = None
            # cancel() sets its flag first and then looks for sessions: one of us sees the other.
            if self._cancelled:
                del self._sessions[session]
            return not self._cancelled

    def _closed(self) -> RuntimeError:
        return RuntimeError(f'this {type(self).__name__} is closed')

    def _remove(self, session: Session, refusal: str) -> None:
        try:
            if refusal:
                self._refusals.report(refusal)
        finally:
            with self._changed:
                self._sessions.pop(session, None)
                self._changed.notify_all()

    def cancel(self) -> None:
        self._cancelled = True
        for session in list(self._sessions):
            session.kill()

    def drain(self, timeout: float | None) -> None:
        check_drain(timeout)
        for session in self._stop():
            session.drain()
        self._wait_for_end(timeout)

    def _stop(self) -> list[Session]:
        with self._changed:
            self._closing = True
            return list(self._sessions)

    def close(self) -> None:
        sessions = self._stop()
        try:
            if not self._cancelled:
                for session in sessions:
                    session.end()
                self._wait_for_end(self._options.timeout)
        finally:  # also when a Ctrl-C ends the waiting
            for session in list(self._sessions):
                session.kill()
            self._wait_for_end(CANCEL_WAIT)

    def _wait_for_end(self, timeout: float | None) -> None:
        """Wait until all sessions are over, or cancelled, or the time is up."""
        cancelled = self._cancelled
        end = math.inf if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._sessions and self._cancelled == cancelled and time.monotonic() < end:
                self._changed.wait(min(end - time.monotonic(), SIGNAL_DELAY))

    def _abandon(self) -> None:
        self._closing = True
        self._changed = threading.Condition()
        for session in self._sessions:
            session.abandon()
        self._sessions = {}


class LocalConnectionHandler(Pool):
    """A handler that runs all connections in this process.

    Clients share the process, with its modules and its state. Their calls run in threads, side by
    side.

    Args:
        options: For the connections. They can't accept exported modules: those of one client would
            be seen by all.

    Raises:
        TypeError, ValueError: ``options`` is something else, or has ``accept_exported_modules``.
    """

    def __init__(self, *, options: Options | None = None) -> None:
        super().__init__(options)
        if self._options.accept_exported_modules:
            raise ValueError(
                'a process that serves many connections cannot accept exported modules, as those '
                'of one client would be imported by all (option accept_exported_modules); use a '
                'ProcessConnectionHandler, which has a process for each client'
            )

    def _begin(self, sock: socket.socket) -> Session:
        return _LocalSession(Connection.from_socket(sock, options=self._options))


class _LocalSession(Session):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def watch(self, on_end: Callable[[str], None]) -> None:
        def close(connection: Connection) -> None:
            refusal = ''
            try:
                connection.close()
            except AcrossError as exc:  # how it ended otherwise, that is the client's business
                refusal = refusal_of(exc)
            finally:
                on_end(refusal)

        self._connection.add_end_callback(close)

    def drain(self) -> None:
        self._connection.finish()

    def end(self) -> None:
        self._connection.finish(drain=False)

    def kill(self) -> None:
        self._connection.cancel()

    def abandon(self) -> None:
        pass  # the connection is dead already


class ProcessConnectionHandler(Pool):
    """A handler that starts a child process for each client.

    The child is an interpreter like this one, with the same ``sys.path``. It ends with its
    connection, and with this process, however that ends. What it prints goes where the output of
    this process goes.

    Args:
        options: For the connections. Their ``timeout`` also says how long :meth:`close` waits for
            the children to end, before it kills them. Their ``ssl_context`` has to be a function,
            which is called in each child.

    Raises:
        TypeError, ValueError: ``options`` is something else, or can't be sent to a child.
    """

    def __init__(self, *, options: Options | None = None) -> None:
        super().__init__(options)
        self._packed_options = pack(self._options)

    def _begin(self, sock: socket.socket) -> Session:
        child = start_child(sock, self._packed_options)
        sock.close()
        return child


class BIOSConnectionHandler(Pool):
    """A handler that starts a bare interpreter for each client.

    As :class:`ProcessConnectionHandler`, but the children don't import this library, or anything
    else that is installed here: the client sends it, so there can't be two versions of it. They
    accept exported modules, and take over the options of the client, its limits included: one with
    ``timeout=None`` that vanishes keeps its child until the handler is closed.

    Args:
        options: Their ``timeout`` says how long :meth:`close` waits for the children to end, before
            it kills them. Others have no effect; ``authkey`` and ``ssl_context`` are refused.

    Raises:
        TypeError, ValueError: ``options`` is something else, or has one of these two.
    """

    def __init__(self, *, options: Options | None = None) -> None:
        super().__init__(options)
        for name in ('authkey', 'ssl_context'):
            if getattr(self._options, name) is not None:
                raise ValueError(
                    f'a bare interpreter knows neither keys nor certificates (option {name}); use '
                    'a ProcessConnectionHandler, or run_unix, where only your own user can connect'
                )

    def _begin(self, sock: socket.socket) -> Session:
        child = start_bare_child(sock, self._options.timeout)
        sock.close()
        return child


def check_drain(seconds: float | None) -> None:
    """Check how long calls may go on, in seconds.

    Raises:
        TypeError, ValueError: It makes no sense.
    """
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(
            f'drain must be a number of seconds, or None for no limit, not {type(seconds).__name__}'
        )
    if not seconds >= 0:
        raise ValueError(f'drain must be 0 seconds or more, or None for no limit, not {seconds!r}')
