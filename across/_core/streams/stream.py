"""Streams as their users see them.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

from _thread import get_ident

from ..errors import OperationError
from ..states import OPEN
from ..threads.context import context
from .inlet import OVER
from .table import OPENED_BY_RECEIVER, SHIFT, Handle, Route, Ticket, streams_of
from .waiting import deadline_of, refuse_in_critical_section

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..link import Link
    from .callbacks import Callback


class Stream(Handle):
    """One end of a stream: items go to the other end, in the other process, and come from there.

    Made by :meth:`Connection.open_stream`. The other end travels, once, when the stream is passed
    as an argument, in a result, or as an item of another stream of the same connection: what is
    unpickled there is the other end. Items may be sent before that.

    Each item is pickled when it is sent, and may be whatever a call takes as an argument. In each
    direction items keep their order, and about a thousand of them, or half a megabyte, may be on
    their way or wait to be received; then the sender waits. An end that is garbage collected is
    closed.

    Threads: any number may use a stream; each item goes to one of those that receive.
    """

    __module__ = 'across'
    __slots__ = ('_callback', '_inlet', '_outlet')

    def __init__(self, link: Link, route: Route) -> None:
        assert route.inlet is not None
        assert route.outlet is not None
        self._callback: Callback | None = None
        self._inlet = route.inlet
        self._outlet = route.outlet
        super().__init__(link, route)

    # ------------------------------------------------------------------------------ sending

    def send(self, item: Any, timeout: float | None = None) -> None:
        """Send an item; waits while the other side has no room for it.

        Args:
            item: Anything that can be pickled, or a :func:`ref`, or a stream.
            timeout: For how long to wait at most (seconds); None for no limit.

        Raises:
            TimeoutError: There was no room in time; the item was not sent.
            OperationError: The item can't be sent; or one of the two sides has closed the stream,
                or this one has ended it.
            DisconnectError: The connection is gone.
        """
        self._outlet.send(item, timeout)

    def end(self, error: BaseException | None = None) -> None:
        """Send no more items; receiving goes on. A second end does nothing.

        Args:
            error: An exception for the other side, which gets it behind the items sent before.
        """
        refuse_in_critical_section()
        packed = None
        if error is not None:
            if not isinstance(error, BaseException):
                raise TypeError(f'the error must be an exception, not {type(error).__name__!r}')
            packed = self._link.handlers.pack_failure(error)
        self._outlet.end(packed)

    # ---------------------------------------------------------------------------- receiving

    def receive(self, timeout: float | None = None) -> Any:
        """Wait for the next item, and return it.

        Args:
            timeout: For how long to wait at most (seconds); None for no limit.

        Raises:
            TimeoutError: There was none in time.
            EOFError: There will be none: the other side has ended the stream, or this one has
                closed it.
            OperationError: This item can't be unpickled; the next ones can be received.
            DisconnectError: There is none, and the connection is gone.
            BaseException: What the other side ended the stream with.
        """
        if self._callback is None:
            for item in self._inlet.ready:
                return item
        item = self._take(timeout)
        if item is OVER:
            raise EOFError('the stream has ended')
        return item

    def _take(self, timeout: float | None) -> Any:
        if self._callback is not None:
            raise OperationError('the items of this stream go to its callback')
        refuse_in_critical_section()
        self._outlet.flush()
        try:
            return self._inlet.take(deadline_of(timeout))
        except TimeoutError as exc:
            if exc is self._inlet.error:
                raise  # the other side ended with it
            raise TimeoutError(f'no item came within {timeout:g} s') from None

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if self._callback is None:
            for item in self._inlet.ready:
                return item
        item = self._take(None)
        if item is OVER:
            raise StopIteration
        return item

    @property
    def queued(self) -> int:
        """How many items have arrived and were not received yet."""
        return self._inlet.queued

    def set_callback(
        self,
        callback: Callable[[Any], object],
        at_end: Callable[[BaseException | None], object] | None = None,
    ) -> None:
        """Have a function called with each item, those that are queued included.

        It is called in a service thread, with one item at a time, in their order. No thread is held
        while nothing comes. The stream then lives until its end, even if nobody refers to it. If
        the callback raises an exception the stream is closed, and the other side gets it.

        Args:
            callback: Takes an item.
            at_end: Called once behind the last item: with None if the other side has ended the
                stream or this one has closed it, else with the exception that :meth:`receive`
                would raise.

        Raises:
            OperationError: The stream has a callback.
        """
        for func in (callback,) if at_end is None else (callback, at_end):
            if not callable(func):
                raise TypeError(f'expected a function to call, not {type(func).__name__!r}')
        if self._callback is not None:
            raise OperationError('the stream has a callback already')
        from .callbacks import Callback

        self._callback = Callback(self._link, self._inlet, callback, at_end, self._fail)
        self._inlet.on_change = self._callback.kick
        self._callback.kick()

    def _fail(self, error: BaseException) -> None:
        """The callback has raised an exception."""
        self.end(error)
        self.close()

    # ------------------------------------------------------------------------------- ending

    @property
    def closed(self) -> bool:
        """Whether this end was closed."""
        return self._inlet.closed

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more, beyond what is queued.

        The other side has ended the stream, or the connection is gone.
        """
        return self._inlet.ended or self._link.state != OPEN

    def wait_ended(self, timeout: float | None = None) -> None:
        """Wait for the other side to end the stream; items need not be received for that.

        But an end comes behind its items, and those need room. With a callback this returns when
        all is handed out.

        Args:
            timeout: For how long to wait at most (seconds); None for no limit.

        Raises:
            TimeoutError: It did not end in time.
            DisconnectError: The connection is gone.
            BaseException: What the other side ended the stream with.
        """
        refuse_in_critical_section()
        self._outlet.flush()
        deadline = deadline_of(timeout)
        while not self._has_ended():
            if not self._inlet.waiters.wait(self._has_ended, deadline):
                raise TimeoutError(f'the stream did not end within {timeout:g} s')
        callback = self._callback
        if callback is not None and callback.error is not None:
            raise callback.error
        while not self._inlet.closed and not self._inlet.read_end():
            self._inlet.waiters.wait(lambda: False, deadline_of(0.05))  # another thread unpickles
        if not self._inlet.ended and not self._inlet.closed:
            raise self._link.disconnected()

    def _has_ended(self) -> bool:
        callback = self._callback
        if callback is not None and callback.thread != get_ident():
            return callback.over
        return self._inlet.ended or self._inlet.closed or self._link.state != OPEN

    @property
    def stopped(self) -> bool:
        """Whether the other side has closed its end, and takes no more items."""
        return bool(self._outlet.stopped)

    def stop(self) -> None:
        """Have the other side send nothing more; what it has sent can be received. Never blocks.

        Its end comes soon, and what it sends from now on fails there.
        """
        self._route.stop()

    def close(self) -> None:
        """End the stream, and drop what is queued or still comes. Never blocks.

        What the other side sends from now on fails there. A second close does nothing.
        """
        super().close()

    def _lives_on(self) -> bool:
        return self._callback is not None

    # ---------------------------------------------------------------------------- the rest

    @property
    def connection(self) -> Any:
        """The connection that the stream belongs to."""
        return self._connection

    def __reduce_ex__(self, protocol: Any) -> Any:
        session = context.thread.session
        if session is None:
            raise TypeError('a stream cannot be copied; its other end travels over its connection')
        link, route = self._link, self._route
        if session.connection is not link:
            raise OperationError(
                f'{self!r} belongs to another connection; open one with that connection, '
                'and pass the items on'
            )
        if not route.key & OPENED_BY_RECEIVER:
            raise OperationError(
                f'{self!r} was opened by the other side, and this end stays here; to give it '
                'one more stream, open it with open_stream()'
            )
        if self.closed or not route.at_home:
            raise OperationError(
                f'the other end of {self!r} has travelled already, or was closed; a stream has two '
                'ends'
            )
        ticket_id = link.exports.export(Ticket(route))
        session.exported.append(ticket_id)
        route.ticket_id = ticket_id
        return unpack_stream, (route.key >> SHIFT, ticket_id)

    def __repr__(self) -> str:
        state = 'closed' if self.closed else 'ended' if self.ended else 'open'
        number = self._route.key >> SHIFT
        return f'<stream {number} to {self._link.peer_name}, {state}>'


def open_stream(link: Link) -> Stream:
    """Open a stream to the peer of a link."""
    refuse_in_critical_section()
    link.wait_open()
    if not link.is_up:
        raise link.disconnected()
    return Stream(link, streams_of(link).open())


def unpack_stream(number: int, ticket_id: int) -> Stream:
    """Unpickle a stream of the peer: its other end."""
    session = context.thread.session
    link = session.connection
    route = streams_of(link).arrive(number, ticket_id)
    session.taken[ticket_id] = session.taken.get(ticket_id, 0) + 1
    return Stream(link, route)


# Names inside pickles are part of the wire format: short, and no path of a module.
unpack_stream.__module__, unpack_stream.__qualname__ = 'across', '_stream'
unpack_stream.__name__ = '_stream'
