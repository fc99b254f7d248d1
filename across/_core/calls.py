"""The calling side of a connection: calls that were made and are not answered yet.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

import itertools
from _thread import get_ident
from collections import deque

from .errors import OperationError
from .interrupts import owed, settle
from .states import OPEN
from .threads.baton import Waiter
from .threads.cache import service_threads
from .threads.context import context
from .values.pickling import Packed
from .wire.frames import (
    CALL,
    CANCEL,
    FAILURE,
    HEADER,
    POST,
    encode,
    encode_parts,
)

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from .futures import CallFuture
    from .link import Link
    from .wire.frames import Frame


_NONE: list[int] = []  # never changed


class PendingCall(Waiter):
    """A call of ours: its thread waits for the answer, unless it has a future."""

    # No __init__(), which would take as long as all of these. No frame has this id.
    id = -1
    frame: Frame | None = None  # the answer; None when the link ended without one
    future: CallFuture | None = None

    def take_frame(self) -> Frame | None:
        """The answer, for the first who asks: what is in it must not be given back twice."""
        frame: Frame | None = self.__dict__.pop('frame', None)
        return frame


class Calls:
    """Makes calls, and keeps those that are in flight."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ids = itertools.count(1)
        # In flight, by id; setting, getting and popping are atomic.
        self.pending: dict[int, PendingCall] = {}
        self._answered: deque[PendingCall] = deque()  # with futures that are to be completed
        self._completing = False  # a service thread is on its way to them
        self._future: Any = None  # their class, imported for the first

    @property
    def owner(self) -> Any:
        """The connection, for user code."""
        return self._link.owner

    # ---------------------------------------------------------------------------- waiting calls

    def operation(self, name: str, *args: Any) -> Any:
        """Have one of the :mod:`.operations` run at the peer."""
        return self.request(name, args, {})

    def request(self, func: Callable[..., Any] | str, args: Any, kwargs: Any) -> Any:
        """Run a function at the peer; its result, or its exception raised."""
        link = self._link
        thread = context.thread
        if thread.critical:
            raise interrupted_critical_section()
        posts = link.posts
        unsent, call = _NONE, None
        outer, thread.connection = thread.connection, link
        try:
            if link.opening:
                link.wait_open()
            if posts is not None and type(func) is not str and posts.poster == get_ident():
                posts.poster_waits = True
            call = PendingCall()
            call.id = next(self._ids)
            frame, unsent = self._pack(CALL, call.id, func, args, kwargs)
            try:
                self.pending[call.id] = call
                thread.critical = True
                if link.state != OPEN:
                    raise link.disconnected()
                unsent = _NONE
                link.sender.send(frame)
                link.reader.wait(call)
            except BaseException:
                owed.append((self._abandon, call))
                settle()
                raise
            thread.critical = False
            if link.posts is not None and thread.call is None:
                link.posts.run()  # what came before the answer takes effect before it
            frame, call.frame = call.frame, None
            return self._unpack(frame)
        except BaseException:  # of the function, or Ctrl-C anywhere above
            thread.critical = False
            if unsent:
                link.payloads.drop_exports(unsent)
            answer = None if call is None else call.take_frame()
            if answer is not None:
                link.payloads.give_back_unread(answer)
            raise
        finally:
            thread.connection = outer
            if posts is not None and posts.poster == get_ident():
                posts.poster_waits = False

    def _pack(
        self, kind: int, call_id: int, func: Any, args: Any, kwargs: Any
    ) -> tuple[Any, list[int]]:
        """Make a frame; also the ids of our objects in it."""
        link = self._link
        outer_call = context.thread.call
        parent = 0
        if outer_call is not None and kind == CALL and outer_call.belongs_to(link):
            parent = outer_call.id
        packed: bytes | Packed = b''
        try:
            packed = link.payloads.pickling.dumps((func, args, kwargs), 'the call')
            if type(packed) is bytes and len(packed) <= link.send_limit:
                return HEADER.pack(kind, 0, 0, len(packed), call_id, parent) + packed, _NONE
            link.payloads.check_size(packed, 'arguments take')
            assert not isinstance(packed, bytes)
            payload, buffers, refs = packed.payload, packed.buffers, packed.refs
            return encode_parts(kind, call_id, parent, payload, buffers, refs), packed.exported
        except BaseException:
            link.payloads.take_back(packed)
            raise

    def _unpack(self, frame: Frame | None) -> Any:
        if frame is None:
            raise self._link.disconnected()
        if frame.kind == FAILURE:
            raise self._link.payloads.unpack_failure(frame)
        return self._link.payloads.unpack(frame) if frame.payload else None

    def _abandon(self, call: PendingCall) -> None:
        """Nobody waits for the answer any longer: it will be dropped, and the peer is told."""
        link = self._link
        if call.future is None and link.is_up:
            link.reader.leave(call)
        abandoned = self.pending.pop(call.id, None)
        frame = call.take_frame()
        if abandoned is None and frame is not None:
            link.payloads.give_back_unread(frame)
        elif link.is_up:
            link.sender.try_send(encode(CANCEL, call.id))

    # ------------------------------------------------------------------------ calls with futures

    def submit(self, func: Callable[..., Any], args: Any, kwargs: Any) -> CallFuture:
        """Begin a call; a future for its result."""
        if self._future is None:
            from .futures import CallFuture

            self._future = CallFuture
        future: CallFuture = self.begin(func, args, kwargs, self._future, unattended=True)
        return future

    def begin(
        self,
        func: Callable[..., Any] | str,
        args: Any,
        kwargs: Any,
        make: Callable[..., Any],
        unattended: bool = False,
    ) -> Any:
        """Begin a call.

        Args:
            make: Given this object and the call, returns what is to be completed with its answer,
                like a future.
            unattended: Nobody will wait for it soon: somebody else must read, and it may travel
                together with others that are begun right behind it.

        Returns:
            What ``make`` made.
        """
        link = self._link
        thread = context.thread
        if thread.critical:
            raise interrupted_critical_section()
        unsent = _NONE
        outer, thread.connection = thread.connection, link
        try:
            if link.opening:
                link.wait_open()
            call = PendingCall()
            call.id = next(self._ids)
            future = call.future = make(self, call)
            outer_call, thread.call = thread.call, None  # not part of it: it may outlive it
            try:
                frame, unsent = self._pack(CALL, call.id, func, args, kwargs)
            finally:
                thread.call = outer_call
            try:
                self.pending[call.id] = call
                thread.critical = True
                if not link.is_up:
                    raise link.disconnected()
                if unattended:
                    unsent = _NONE
                    link.sender.send_soon(frame, len(self.pending))
                    link.reader.find()
                else:
                    unsent = _NONE
                    link.sender.send(frame)
            except BaseException:
                owed.append((self._abandon, call))
                settle()
                raise
            thread.critical = False
            return future
        except BaseException:
            thread.critical = False
            if unsent:
                link.payloads.drop_exports(unsent)
            raise
        finally:
            thread.connection = outer

    def cancel(self, call: PendingCall) -> None:
        """The future of a call was cancelled."""
        self._abandon(call)

    def deliver(self, call: PendingCall) -> bool:
        """Complete a future, in a service thread: unpickling and callbacks are user code.

        What is no future is completed at once, by the reader: who waits for it may be the reader,
        and looks only at what it has read.

        Returns:
            Whether a sleeping thread was woken.
        """
        future = call.future
        if future is not None and future.at_once:
            return future.complete(lambda: None)
        self._answered.append(call)
        if not self._completing:
            self._completing = True
            service_threads.run(self._complete)
        return False

    def _complete(self) -> None:
        link = self._link
        while True:
            self._completing = False
            while self._answered:
                try:
                    call = self._answered.popleft()
                except IndexError:
                    break
                future = call.future
                assert future is not None
                if link.posts is not None:
                    link.posts.run()
                frame = call.take_frame()
                completed = future.complete(lambda frame=frame: self._result_of(frame))  # type: ignore[misc]
                if not completed and frame is not None:
                    link.payloads.give_back_unread(frame)
            if not self._answered or self._completing:
                break

    def _result_of(self, frame: Frame | None) -> Any:
        thread = context.thread
        thread.connection = self._link
        try:
            return self._unpack(frame)
        finally:
            thread.connection = None  # callbacks of the future are the user's own business

    # ---------------------------------------------------------------------------------- posts

    def post(self, func: Callable[..., Any] | str, *args: Any) -> None:
        """Have the peer run a function, in order with other posts, without an answer."""
        link = self._link
        thread = context.thread
        if thread.critical:
            raise interrupted_critical_section()
        unsent = _NONE
        outer, thread.connection = thread.connection, link
        try:
            frame, unsent = self._pack(POST, 0, func, args, {})
            if not link.is_up:
                raise link.disconnected()
            unsent = _NONE
            link.sender.send(frame)
        except BaseException:
            if unsent:
                link.payloads.drop_exports(unsent)
            raise
        finally:
            thread.connection = outer

    # ---------------------------------------------------------------------------------- ending

    def add_farewell(self) -> PendingCall:
        """What a closing thread waits with; done when the link has ended."""
        farewell = self.pending[0] = PendingCall()
        return farewell

    def fail_all(self) -> None:
        """The link has ended: wake all who wait."""
        while self.pending:
            try:
                _, call = self.pending.popitem()
            except KeyError:
                break
            if call.future is None:
                self._link.reader.baton.finish(call)
            else:
                self.deliver(call)
        if self._link.streams is not None:
            self._link.streams.fail_all()

    def forget(self) -> None:
        """In a forked child: the threads that wait don't exist here."""
        self.pending = {}
        if self._link.streams is not None:
            self._link.streams.forget()


def interrupted_critical_section() -> OperationError:
    """The error for user code that runs where none is expected, and would wait for itself."""
    return OperationError(
        'a finalizer or a signal handler cannot use a connection while it interrupts this thread '
        'in sending or receiving'
    )
