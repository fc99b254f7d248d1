"""Hands each message that was received to whom it concerns.

Layer: just below :mod:`.reader`.
"""

from __future__ import annotations

from .posts import Posts
from .states import OPEN, UP
from .values.refs import OWNED
from .wire.frames import (
    CALL,
    CANCEL,
    FAILURE,
    GOODBYE,
    ITEMS,
    POST,
    RELEASE,
    RESULT,
    encode,
)

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .calls import PendingCall
    from .link import Link
    from .threads.baton import Baton
    from .wire.frames import Frame

_ANSWERS = frozenset([RESULT, FAILURE])


class Dispatcher:
    """Of one link. All of it is called by the holder of the baton, and never blocks."""

    __slots__ = ('_baton', '_link', 'stream_frames')  # a server has thousands of them

    def __init__(self, link: Link, baton: Baton) -> None:
        self._link = link
        self._baton = baton
        self.stream_frames: list[Frame] = []  # for the table of streams, which may come late

    def dispatch(self, received: list[Frame], mine: PendingCall | None) -> bool:
        """Hand each frame to whom it concerns.

        Args:
            mine: The call that this thread waits for.

        Returns:
            Whether a sleeping caller was woken.
        """
        woke = False
        for frame in received:
            kind = frame.kind
            if frame.refs:
                # A release may be right behind: our objects in it stay until it is unpacked.
                self._link.exports.pin(ref >> 1 for ref in frame.refs if ref & OWNED)
            if kind in _ANSWERS:
                call = self._link.calls.pending.pop(frame.id, None)
                if call is None:
                    if frame.refs:
                        self._link.payloads.give_back_unread(frame)
                    continue
                call.frame = frame
                if call is mine:
                    call.done = True  # nobody else looks at it while we read
                elif call.future is None:
                    self._baton.finish(call)
                    woke = True
                else:
                    woke = self._link.calls.deliver(call) or woke
            elif kind == CALL:
                self._dispatch_call(frame)
            else:
                woke = self._dispatch_other(frame) or woke
        return woke

    def _dispatch_call(self, frame: Frame) -> None:
        if self._link.state != OPEN:
            return  # we said goodbye: no answer is wanted
        call = self._link.handlers.add_call(frame)
        if call is None:
            return
        if frame.parent:
            # Made inside a call of ours: the thread that waits for that one runs it, as it would
            # in a single process.
            caller = self._link.calls.pending.get(frame.parent)
            if caller and caller.future is None and self._baton.give_errand(caller, call):
                return
        self._link.handlers.queue.append(call)

    def _dispatch_other(self, frame: Frame) -> bool:
        kind = frame.kind
        if kind >= ITEMS:
            self.stream_frames.append(frame)
            return self._link.streams is not None and self._link.streams.receive()
        if kind == POST and self._link.state in UP:
            if self._link.posts is None:
                self._link.posts = Posts(self._link)
            self._link.posts.add(frame)
        elif kind == CANCEL:
            self._link.handlers.cancel(frame.id)
        elif kind == RELEASE:
            self._link.payloads.release_all(frame.payload)
        elif kind == GOODBYE:
            if self._link.state == OPEN:
                self._link.peer_left = True
                self._link.sender.try_send(encode(GOODBYE))
            self._link.fail('the peer closed the connection', clean=True)
        return False
