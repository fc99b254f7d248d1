"""The streams of one link, and where their frames go.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

import itertools
import struct
from collections import deque
from threading import RLock

from ..errors import OperationError
from ..states import OPEN
from ..threads.context import context
from ..threads.watchdog import watchdog
from ..wire.frames import CREDIT, END, ITEMS, STOP, Frame, encode
from .inlet import Inlet
from .outlet import Outlet

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from ..link import Link

    H = TypeVar('H', bound='Handle')

# The low bits of a stream's id; see :mod:`..wire.frames`.
OPENED_BY_RECEIVER = 1
OF_CALL = 2
SHIFT = 2

STOPPED = 'the other side has closed the stream: nobody would receive the item'
LOST = 'the other end of the stream was lost: what carried it was never unpickled over there'


class Route:
    """What there is at this end of a stream: one half, or both.

    Args:
        key: The id of the stream, as it stands in frames that are received.
    """

    def __init__(self, streams: Streams, key: int, receives: bool, sends: bool) -> None:
        self.streams = streams
        self.key = key
        link = streams.link
        self.inlet = Inlet(link, key ^ OPENED_BY_RECEIVER) if receives else None
        self.outlet = Outlet(link, key ^ OPENED_BY_RECEIVER, self.check_over) if sends else None
        #: Id of the `Ticket` of the end that was opened here, or came from there; 0 for none yet.
        self.ticket_id = 0
        self.over = False  # nothing will come or go any more

    @property
    def at_home(self) -> bool:
        """Whether this is both ends: the other one has not set out."""
        opened_here = self.key & (OPENED_BY_RECEIVER | OF_CALL) == OPENED_BY_RECEIVER
        return opened_here and not self.over and self.ticket_id not in self.streams.link.exports

    def check_over(self) -> None:
        """Forget the stream if it has ended in both directions."""
        inlet, outlet = self.inlet, self.outlet
        if (not inlet or inlet.ended) and (not outlet or outlet.ended):
            self.streams.forget_route(self)

    def close(self) -> None:
        """Send and receive nothing more. Never blocks: may run in the watchdog."""
        thread = context.thread
        outer_critical, thread.critical = thread.critical, True
        try:
            self._close()
        finally:
            thread.critical = outer_critical

    def stop(self) -> None:
        """Have the other side send nothing more. Never blocks."""
        assert self.inlet is not None
        thread = context.thread
        outer_critical, thread.critical = thread.critical, True
        try:
            self._stop(self.inlet)
        finally:
            thread.critical = outer_critical

    def _stop(self, inlet: Inlet) -> None:
        if not inlet.ended and not self.key & OF_CALL and self.streams.link.state == OPEN:
            self.streams.link.sender.try_send(encode(STOP, self.key ^ OPENED_BY_RECEIVER))

    def _close(self) -> None:
        inlet, outlet = self.inlet, self.outlet
        if inlet is not None and not inlet.closed:
            inlet.close()
            self._stop(inlet)
        if outlet is not None:
            if self.at_home:
                outlet.end_soon(1)
                self.streams.forget_route(self)
                return
            outlet.end_soon()
        if self.key & OF_CALL:
            self.streams.forget_route(self)
            calls = self.streams.link.calls
            call = calls.pending.get(self.key >> SHIFT)
            if call is not None:
                calls.cancel(call)  # nobody waits for what it yields

    def lose(self) -> None:
        """The other end never arrived. Never blocks: may run in the reader."""
        assert self.inlet is not None
        assert self.outlet is not None
        self.outlet.stop(LOST)
        self.inlet.add(Frame(END, self.key, 0, (), b'', ()))
        self.outlet.end_soon(1)
        self.check_over()


class Handle:
    """What the program has of a stream: left, or garbage collected, it closes its end."""

    __slots__ = ('__weakref__', '_connection', '_link', '_route')

    def __init__(self, link: Link, route: Route) -> None:
        self._connection = link.owner  # stays alive as long as its streams
        self._link = link
        self._route = route

    def close(self) -> None:
        self._route.close()

    def __enter__(self: H) -> H:
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        self.close()

    def __del__(self) -> None:
        # May run at any bytecode of any thread: takes no lock.
        try:
            route = self._route
        except AttributeError:
            return
        if not route.over and not self._lives_on():
            route.streams.note_drop(route.key)

    def _lives_on(self) -> bool:
        """Whether the end is in use although the program has let go of it."""
        return False


class Streams:
    """All streams that have an end here, by id."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._numbers = itertools.count(1)
        # Guards everything here but `dropped`. Reentrant, as a finalizer may come at any moment.
        self._mutex = RLock()
        self._routes: dict[int, Route] = {}
        # Frames of streams whose end here has not been unpickled yet.
        self._early: dict[int, list[Frame]] = {}
        # Numbers of the peer's streams whose end has arrived, or never will: all below the lowest
        # one, and these.
        self._lowest = 1
        self._seen: set[int] = set()
        #: Keys of ends that were garbage collected; all that a finalizer does is to append.
        self.dropped: deque[int] = deque()

    # ------------------------------------------------------------------------------- making

    def open(self) -> Route:
        """A new stream, opened here."""
        key = next(self._numbers) << SHIFT | OPENED_BY_RECEIVER
        return self._add(Route(self, key, True, True))

    def arrive(self, number: int, ticket_id: int) -> Route:
        """The end of a stream that the peer opened.

        Args:
            ticket_id: Of the reference that this end holds from now on until it is over.

        Raises:
            OperationError: It has arrived before.
        """
        key = number << SHIFT
        route = Route(self, key, True, True)
        route.ticket_id = ticket_id
        with self._mutex:
            if self._was_seen(number):
                raise OperationError('this end of a stream has arrived before')
            self._see(number)
            self._add(route)
            for frame in self._early.pop(key, ()):
                self._hand_over(route, frame)
        if route.outlet is not None and route.outlet.stopped:
            route.outlet.end_soon()
        return route

    def of_call(self, number: int, receives: bool) -> Route:
        """The stream of a call that yields its result item by item.

        Args:
            number: Id of the call.
            receives: Whether the items come to here.
        """
        key = number << SHIFT | OF_CALL | (OPENED_BY_RECEIVER if receives else 0)
        return self._add(Route(self, key, receives, not receives))

    def _add(self, route: Route) -> Route:
        with self._mutex:
            self._routes[route.key] = route
        return route

    def _was_seen(self, number: int) -> bool:
        return number < self._lowest or number in self._seen

    def _see(self, number: int) -> None:
        """With the mutex: the end with this number has arrived, or never will."""
        if number >= self._lowest:
            self._seen.add(number)
        while self._lowest in self._seen:
            self._seen.remove(self._lowest)
            self._lowest += 1

    # ---------------------------------------------------------------------------- receiving

    def receive(self) -> bool:
        """Hand on the frames that the reader left; whether a sleeping thread was woken.

        Threads: the reader, and once who made this object. Waits for nobody.
        """
        woke = False
        frames = self.link.reader.dispatcher.stream_frames
        while frames:
            stopped = None
            with self._mutex:
                try:
                    frame = frames.pop(0)
                except IndexError:
                    break
                route = self._routes.get(frame.id)
                if route is None:
                    self._keep(frame)
                else:
                    woke = self._hand_over(route, frame) or woke
                    stopped = route.outlet if frame.kind == STOP else None
            if stopped is not None:
                stopped.end_soon()
        return woke

    def _keep(self, frame: Frame) -> None:
        """With the mutex: keep a frame for an end that will arrive, or drop it."""
        number = frame.id >> SHIFT
        if frame.id & (OPENED_BY_RECEIVER | OF_CALL) or self._was_seen(number):
            self.link.payloads.give_back_unread(frame)
        elif frame.kind == END and frame.parent:
            self._see(number)
            for each in self._early.pop(frame.id, ()):
                self.link.payloads.give_back_unread(each)
        else:
            self._early.setdefault(frame.id, []).append(frame)

    def _hand_over(self, route: Route, frame: Frame) -> bool:
        """With the mutex: give a frame to the half that it concerns."""
        kind, inlet, outlet = frame.kind, route.inlet, route.outlet
        if inlet is not None and kind in (ITEMS, END):
            woke = inlet.add(frame)
            if kind == END:
                if route.key & OF_CALL:
                    self.link.calls.pending.pop(frame.id >> SHIFT, None)
                route.check_over()
            return woke
        if outlet is not None and kind == CREDIT and len(frame.payload) == 16:
            return outlet.grant(*struct.unpack('<QQ', frame.payload))
        if outlet is not None and kind == STOP:
            return outlet.stop(STOPPED)
        self.link.fail('the peer sent a message of a stream that makes no sense')
        return False

    def stop_call(self, number: int) -> None:
        """The peer waits for nothing from a call any longer."""
        route = self._routes.get(number << SHIFT | OF_CALL)
        if route is not None and route.outlet is not None:
            route.outlet.stop(STOPPED)

    # ------------------------------------------------------------------------------- ending

    def forget_route(self, route: Route) -> None:
        """Nothing of this stream will come any more, or nobody wants it."""
        with self._mutex:
            if route.over:
                return
            route.over = True
            self._routes.pop(route.key, None)
        if route.ticket_id and not route.key & OPENED_BY_RECEIVER:
            self.link.dropped((route.ticket_id, 1))

    def note_drop(self, key: int) -> None:
        """What a finalizer does: takes no lock."""
        self.dropped.append(key)
        watchdog.rouse(self.link.pulse)

    def close_dropped(self) -> None:
        """Close the ends that were garbage collected."""
        while self.dropped:
            route = self._routes.get(self.dropped.popleft())
            if route is not None:
                route.close()

    def lose(self, objects: list[Any]) -> None:
        """Objects that the peer referred to, and does not any more: some may be tickets."""
        for each in objects:
            if type(each) is Ticket and not each.route.over:
                each.route.lose()

    def fail_all(self) -> None:
        """The link ends: wake all who wait."""
        with self._mutex:
            routes = list(self._routes.values())
            self._early.clear()
        for route in routes:
            if route.outlet is not None:
                route.outlet.flush_late()
                route.outlet.wake()
            if route.inlet is not None:
                route.inlet.wake()
        if self.link.state != OPEN:
            with self._mutex:
                self._routes.clear()

    def forget(self) -> None:
        """In a forked child: threads that hold locks don't exist here."""
        self._mutex = RLock()
        for route in list(self._routes.values()):
            for half in (route.inlet, route.outlet):
                if half is not None:
                    half.forget()


class Ticket:
    """What the peer's end of a stream refers to, on its way there and as long as it is in use.

    Where a value that carried it is lost, its references are given back, as all others; so this
    side knows that the other end will never arrive.
    """

    def __init__(self, route: Route) -> None:
        self.route = route


def streams_of(link: Link) -> Streams:
    """The streams of a link; the table is made when first needed."""
    if link.streams is None:
        with link.making:
            if link.streams is None:
                link.streams = Streams(link)
        link.streams.receive()  # what came before there was a table
    streams: Streams = link.streams
    return streams
