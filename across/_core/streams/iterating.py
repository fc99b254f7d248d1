"""The near side of ``Connection.iterate``: an iterator over what a remote call yields.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

from ..calls import PendingCall
from ..errors import DisconnectError
from ..threads.context import context
from ..wire.frames import END, Frame
from .inlet import OVER, Inlet
from .table import Handle, Route, streams_of

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..link import Link


class RemoteIterator(Handle):
    """Iterates over what a remote generator, or another iterable, yields.

    Made by :meth:`Connection.iterate`. Left alone, or closed, it closes the remote generator.

    Threads: several may take items; each item goes to one of them.
    """

    __module__ = 'across'
    __slots__ = ('_inlet', '_over')

    def __init__(self, link: Link, route: Route) -> None:
        assert route.inlet is not None
        super().__init__(link, route)
        self._inlet: Inlet = route.inlet
        self._over = False  # the end, or an error, was raised

    def __iter__(self) -> RemoteIterator:
        return self

    def __next__(self) -> Any:
        for item in self._inlet.ready:
            return item
        return self._next()

    def _next(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            item = self._inlet.take(None)
        except BaseException as exc:
            # Behind an item that can't be unpickled, or Ctrl-C, it goes on.
            self._over = self._inlet.raised or isinstance(exc, DisconnectError)
            raise
        if item is OVER:
            self._over = True
            self._finish_posts()
            raise StopIteration
        return item

    def _finish_posts(self) -> None:
        """What was printed over there before the end appears before it."""
        if self._link.posts is not None and context.thread.call is None:
            self._link.posts.run()

    def close(self) -> None:
        """Take no more items, and have the remote generator closed. Never blocks."""
        self._over = True
        super().close()

    def __repr__(self) -> str:
        state = 'ended' if self._over else f'{self._inlet.queued} items queued'
        return f'<iterator over items of {self._link.peer_name}, {state}>'


class _Answer:
    """In place of a future: the call of an iteration ends behind its items, or never got so far."""

    at_once = True

    def __init__(self, route: Route, call: PendingCall) -> None:
        self.route = route
        self.call = call

    def complete(self, get_result: Any) -> bool:
        """End the iteration; whether a sleeping thread was woken."""
        call, self.call.future = self.call, None  # each refers to the other
        woke = False
        frame = call.take_frame()
        if frame is not None and self.route.inlet is not None:
            woke = self.route.inlet.add(Frame(END, 0, 0, frame.refs, frame.payload, frame.buffers))
            self.route.check_over()
        return woke


def iterate(link: Link, func: Callable[..., Any], args: Any, kwargs: Any) -> RemoteIterator:
    """Begin a call at the peer that yields items."""
    routes: list[Route] = []

    def answer(_: object, call: PendingCall) -> _Answer:
        routes.append(streams_of(link).of_call(call.id, True))
        return _Answer(routes[0], call)

    try:
        link.calls.begin('iterate', (func, args, kwargs), {}, answer)
        return RemoteIterator(link, routes[0])
    except BaseException:
        for route in routes:
            route.close()
        raise
