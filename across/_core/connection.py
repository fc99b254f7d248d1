"""Connections: the public face of the core.

Layer: the top of the core. All the work is done by the :class:`.link.Link`.
"""

from __future__ import annotations

from _warnings import warn  # what `warnings` has, without importing that

from . import lifetime
from .errors import DisconnectError, ProtocolError
from .handshake import describe_process, shake_hands
from .link import Link
from .operations import check_callable, export
from .options import Options
from .options import check_options as _check_options
from .spawning import Spawning
from .threads.context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    import socket
    from concurrent.futures import Future
    from types import ModuleType
    from typing import Any, Callable

    from .streams.iterating import RemoteIterator
    from .streams.stream import Stream
    from .transports.base import Transport


class Connection(Spawning):
    """A connection to another Python process, for running code there, and vice versa.

    Made by one of the ``from_…`` methods, which connect in the background: :meth:`call` and the
    like wait for that, and so does the ``with`` statement, which also closes the connection at its
    end::

        with Connection.from_tcp('wonderland', 1865) as conn:
            conn.call(os.mkdir, '/home/alice')

    One that is garbage without having been closed is cancelled, with a :exc:`ResourceWarning`. Its
    proxies, and futures that are not done, keep it alive.

    Threads: any number of threads may use a connection at the same time, on both sides, and calls
    may be nested to any depth.
    """

    __module__ = 'across'

    def __init__(
        self, transport: Transport, options: Options | None, accepted: tuple[str, ...] = ()
    ) -> None:
        options = _check_options(options, tls=transport.takes_tls)
        if options.ssl_context is not None:
            # Here, and nowhere else: no way to make a connection can forget it.
            from .transports.tls import TlsTransport

            transport = TlsTransport(transport, options.ssl_context)
        self._link = Link(self, transport, options, describe_process(options))
        if accepted:
            self._link.importer.accept(accepted)  # before the peer can ask for anything
        self._link.start(shake_hands)
        lifetime.register(self._link)

    # ------------------------------------------------------------------------------- making one

    @classmethod
    def from_tcp(cls, host: str, port: int, *, options: Options | None = None) -> Connection:
        """Connect over TCP, to each address of a host in turn.

        Args:
            host: Name or address (IPv4 or IPv6).
            port: Port number, 1 to 65535.
            options: What to tune; see :class:`Options`.

        Raises:
            TypeError, ValueError: ``host`` or ``port`` makes no sense.
        """
        from .transports.sockets import TcpTransport

        _check_options(options, tls=True)
        return cls(TcpTransport(host, port), options)

    @classmethod
    def from_unix(cls, path: str, *, options: Options | None = None) -> Connection:
        """Connect over a Unix domain socket.

        Args:
            path: Of the socket.
            options: What to tune; see :class:`Options`.
        """
        from .transports.sockets import UnixTransport

        _check_options(options)
        return cls(UnixTransport(path), options)

    @classmethod
    def from_socket(
        cls,
        sock: socket.socket,
        *,
        server_side: bool | None = None,
        server_hostname: str | None = None,
        options: Options | None = None,
    ) -> Connection:
        """Use a connected stream socket, which the connection then owns.

        Args:
            sock: TCP or Unix, as a server's ``accept()`` returns it.
            server_side: Whether it was accepted, rather than connected from here. Matters only
                with an ``authkey`` or ``ssl_context``, and has to be said only for a TCP socket
                that was connected from here: others are recognized.
            server_hostname: The name of the server, where its certificate has to show it. A
                socket with one was connected from here.
            options: What to tune; see :class:`Options`.

        Raises:
            TypeError, ValueError: ``sock`` is something else.
        """
        from .transports.sockets import SocketTransport

        transport = SocketTransport(sock, server_side=server_side, server_hostname=server_hostname)
        _check_options(options, tls=transport.takes_tls)
        return cls(transport, options)

    @classmethod
    def from_pipes(
        cls,
        in_pipe: Any,
        out_pipe: Any,
        *,
        server_side: bool | None = None,
        options: Options | None = None,
    ) -> Connection:
        """Use a pair of pipes, which the connection then owns.

        Args:
            in_pipe: File object to read from, as of ``os.fdopen(fd, 'rb')``.
            out_pipe: File object to write to, as of ``os.fdopen(fd, 'wb')``.
            server_side: As for :meth:`from_socket`; None leaves it to the other side.
            options: What to tune; see :class:`Options`.
        """
        from .transports.streams import PipeTransport

        _check_options(options)
        return cls(PipeTransport(in_pipe, out_pipe, server_side=server_side), options)

    @classmethod
    def from_stdio(cls, *, options: Options | None = None) -> Connection:
        """Use this process's standard input and output, which the connection then owns.

        From then on ``sys.stdin`` is empty, and what is printed, by this process or its children,
        goes to standard error: nothing can get into the stream of the connection.

        Args:
            options: What to tune; see :class:`Options`.

        Raises:
            ValueError: A connection has them already.
        """
        from .transports.stdio import StdioTransport

        _check_options(options)
        return cls(StdioTransport(), options)

    # ------------------------------------------------------------------------------- using it

    def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the remote process, and return its result.

        Functions and classes of importable modules travel by reference, those of ``__main__``,
        lambdas and closures by value; arguments and results are pickled. An ``async def``
        function is awaited over there.

        Args:
            func: What to call.
            *args: Its arguments.
            **kwargs: Its keyword arguments.

        Raises:
            OperationError: The call could not be made, or its result not be brought back.
            DisconnectError: The connection is gone.
            Exception: Whatever the function raised, with the remote traceback.
        """
        check_callable(func)
        return self._link.calls.request(func, args, kwargs)

    def call_ref(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the remote process, and return a :class:`Proxy` of its result.

        For what can't be pickled, or should stay over there::

            fh = conn.call_ref(open, 'extinct_species', 'w')
            fh.write('dinosaurs')
            fh.close()

        Args and errors are those of :meth:`call`.
        """
        check_callable(func)
        return self._link.calls.operation('call_ref', func, args, kwargs)

    def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin a call, and return a :class:`concurrent.futures.Future` for its result.

        ``Future.cancel()`` drops the result and tells the remote process: there
        ``current_call().cancelled`` turns true and :func:`check_cancelled` raises.

        Args and errors are those of :meth:`call`; what goes wrong over there is in the future.
        """
        check_callable(func)
        return self._link.calls.submit(func, args, kwargs)

    def iterate(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> RemoteIterator:
        """Call a function in the remote process, and iterate over what it yields or returns.

        Items travel ahead of the loop as far as a window allows, then the remote side waits.
        Leaving the loop early, or ``close()``, closes the remote generator, so that its ``finally``
        runs::

            for line in conn.iterate(follow, '/var/log/syslog'):
                if 'dinosaur' in line:
                    break

        Args and errors are those of :meth:`call`; an error is raised behind the items before it.
        """
        check_callable(func)
        from .streams.iterating import iterate

        return iterate(self._link, func, args, kwargs)

    def open_stream(self) -> Stream:
        """Open a :class:`Stream` of items to the remote process, and back.

        Pass it as an argument, or in a result: what arrives over there is its other end.
        """
        from .streams.stream import open_stream

        return open_stream(self._link)

    def replicate(self, obj: Any) -> Any:
        """Make a copy of an object in the remote process, and return a :class:`Proxy` of it.

        Raises:
            OperationError: The object can't be pickled here or unpickled there.
        """
        return self._link.calls.operation('replicate', obj)

    def execute(self, source: str, /, **vars: Any) -> Any:
        """Run a piece of source code in the remote process.

        ::

            conn.execute('2 + 2')
            conn.execute('two = 2; two + two')
            conn.execute('x + x', x=2)

        Args:
            source: Statements. Each execution has a namespace of its own.
            **vars: Variables for it.

        Returns:
            The value of the last statement if that is an expression, else None.

        Raises:
            SyntaxError: As the remote Python sees it.
            Exception: Whatever the code raised.
        """
        if not isinstance(source, str):
            raise TypeError(f'the source must be a str, not {type(source).__name__}')
        return self._link.calls.operation('execute', source, vars)

    def export(self, *modules: str | ModuleType) -> None:
        """Make local modules importable in the remote process.

        Submodules come with their package. Over there these modules come ahead of installed ones.
        With ``'__main__'`` exported, what is defined there travels by reference.

        Args:
            *modules: Names of top-level modules, or the modules.

        Raises:
            ValueError: A name is not that of a top-level module, or its module can't travel.
            OperationError: The remote connection was not made with
                ``Options(accept_exported_modules=True)``.
        """
        export(self._link, modules)

    # -------------------------------------------------------------------------------- ending it

    def is_connected(self) -> bool:
        """Tell whether calls can be made: the handshake succeeded, and nothing ended it since."""
        return self._link.is_up and self._link.cancel_reason is None

    def wait(self) -> None:
        """Wait until the remote process closes the connection, or something breaks it.

        Raises:
            DisconnectError: It was broken.
        """
        self._link.wait_ended()
        if not self._link.clean:
            raise self._link.broken()

    def add_end_callback(self, callback: Callable[[Connection], object]) -> None:
        """Have a function called when the connection has ended, or soon if it has already.

        Args:
            callback: Called with this connection, in a thread of the library that holds no lock.
        """
        from .ending import add_end_callback

        add_end_callback(self._link, callback)

    def finish(self, *, drain: bool = True) -> None:
        """Begin to close the connection, and return at once.

        It ends when the peer has answered. :meth:`close` still has to be called then.

        Args:
            drain: First let calls of the peer that run here have their answers; it can make new
                ones on behalf of these only. Other calls end with a :exc:`DisconnectError`.
        """
        self._link.finish(drain)

    def cancel(self) -> None:
        """Abort everything, now: whatever waits on this connection gets a :exc:`DisconnectError`.

        A child process is killed. :meth:`close` still has to be called, and then says nothing to
        the peer.

        Threads: any; never blocks, takes no lock: may be called in a signal handler.
        """
        self._link.cancel('it was cancelled')

    def close(self) -> None:
        """End the connection, and free all that it holds; waits for a child process to end.

        Calls that are in flight, in either direction, end with a :exc:`DisconnectError`. A second
        close does nothing; it waits for the first, unless it is made in a call over this connection
        or in a signal handler that interrupts the first.

        Raises:
            ProtocolError: The peer did not speak the protocol.
            DisconnectError: The connection had been broken, or cancelled, before.
        """
        if self._link.close() and not self._link.clean:
            raise self._link.broken()

    def __enter__(self) -> Connection:
        """Wait until the connection is made."""
        link = self._link
        try:
            link.wait_open()
            if not link.is_up:
                raise self._link.broken()
        except BaseException:
            link.cancel('the connection could not be made')
            link.close()
            raise
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        try:
            self.close()
        except (DisconnectError, ProtocolError):
            if exc is None:
                raise  # else the block's own exception says more

    def __del__(self) -> None:
        link: Link | None = getattr(self, '_link', None)
        if link is not None and link.drop():
            warn(
                f'the connection to {link.name} was dropped without close()',
                ResourceWarning,
                source=self,
            )

    def __repr__(self) -> str:
        link = self._link
        states = ('new', 'connecting', 'connected', 'closing', 'closed')
        return f'<Connection to {link.name}, {states[link.state]}>'


def get_connection() -> Connection:
    """Return the connection that the current thread packs, unpacks or runs a call for.

    Raises:
        ValueError: It does none of these.
    """
    link = context.thread.connection
    if link is None:
        raise ValueError('this thread works for no connection')
    return link.owner  # type: ignore[no-any-return]


get_connection.__module__ = 'across'
