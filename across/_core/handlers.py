"""The serving side of a connection: runs the peer's calls.

Layer: just below :mod:`.connection`; one object for each link.
"""

from __future__ import annotations

import _thread
from collections import deque

from . import operations
from .errors import OperationError, sentence
from .interrupts import owed, settle, shield
from .threads.cache import service_threads
from .threads.context import context
from .values.pickling import Packed
from .wire.frames import FAILURE, RESULT, Frame, encode, encode_parts

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from .link import Link
    from .threads.baton import Waiter


# Of an error that stands for one that is too large to be sent.
_LONGEST_TEXT = 2000

# How many refusals (ten megabytes) may wait; a peer that reads while it calls never gets so far.
MOST_REFUSALS = 100_000
# Why calls are refused; the number is that of the option.
_TOO_MANY = 'has {} calls of this connection in flight already (option max_calls over there)'
_CLOSING = 'is closing, and takes no new calls'


class CurrentCall:
    """The call that the current thread runs for a peer; see :func:`current_call`.

    Attributes:
        cancelled: Whether nobody waits for the result any more: the caller cancelled the call, or
            the connection is gone.
    """

    __slots__ = ('_frame', '_link', 'cancelled', 'done', 'id')

    def __init__(self, link: Link, frame: Frame) -> None:
        self._link = link
        self._frame = frame
        self.id = frame.id
        self.cancelled = False
        self.done = False  # it has run, and is about to be answered

    def belongs_to(self, link: Link) -> bool:
        return self._link is link

    @property
    def connection(self) -> Any:
        """The connection that the call came over."""
        return self._link.owner


def current_call() -> CurrentCall:
    """Return the call that the current thread runs for a peer.

    Raises:
        ValueError: This thread runs no such call.
    """
    call = context.thread.call
    if call is None:
        raise ValueError('this thread runs no call of a peer')
    return call  # type: ignore[no-any-return]


def check_cancelled() -> None:
    """Raise an error if the call that the current thread runs was cancelled.

    Does nothing in a thread that runs no call, so that a function may use it wherever it runs.

    Raises:
        concurrent.futures.CancelledError: The caller doesn't wait any longer.
    """
    call = context.thread.call
    if call is not None and call.cancelled:
        from concurrent.futures import CancelledError

        raise CancelledError('the caller does not wait for this call any longer')


class Handlers:
    """Calls of the peer: queued by the reader, run by service threads."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.queue: list[CurrentCall] = []  # append and pop are atomic
        self._running: dict[int, CurrentCall] = {}  # until they are answered; queued ones included
        self._drained: Callable[[], None] | None = None  # called when none run; no others begin
        self._colleague_comes = False  # a service thread is on its way to the queue
        # Calls that are not to run: their ids, each with the reason.
        self._refused: deque[tuple[int, str]] | None = None  # made by the first
        self._refusing = _thread.allocate_lock()  # held by the one thread that answers them

    # ------------------------------------------------------------------ what the reader calls

    def add_call(self, frame: Frame) -> CurrentCall | None:
        """Register a call; None if there are too many, which its caller is told."""
        link = self._link
        call = CurrentCall(link, frame)
        limit = link.options.max_calls
        if limit is not None and len(self._running) >= limit and self._count() >= limit:
            self._refuse(frame, _TOO_MANY)
            return None
        if self._drained is not None and not frame.parent:
            self._refuse(frame, _CLOSING)
            return None
        self._running[frame.id] = call
        return call

    def _count(self) -> int:
        """How many calls have no answer yet, as the peer may see it already."""
        return sum(not call.done for call in list(self._running.values()))

    def _refuse(self, frame: Frame, why: str) -> None:
        """Have a call answered by an error, in one thread for all: it waits for slow readers."""
        self._link.payloads.give_back_unread(frame)
        if self._refused is None:
            self._refused = deque()
        self._refused.append((frame.id, why))
        if len(self._refused) > MOST_REFUSALS:
            self._link.fail('the peer makes calls beyond its limit, and does not read the answers')
        elif self._refusing.acquire(False):
            service_threads.run(self._answer_refused)

    def drain(self, then: Callable[[], None]) -> None:
        """Take no new calls, but those made on behalf of running ones.

        Args:
            then: Called when all are answered, without any lock, once or more often.
        """
        self._drained = then  # first: who runs the last call looks at it later
        if not self._running:
            then()

    @property
    def busy(self) -> bool:
        """Whether calls of the peer are running or queued."""
        return bool(self._running)

    def cancel(self, call_id: int) -> None:
        call = self._running.get(call_id)
        if call is not None:
            call.cancelled = True
            if self._link.streams is not None:
                self._link.streams.stop_call(call_id)

    def cancel_all(self) -> None:
        for call in list(self._running.values()):
            call.cancelled = True

    def call_colleague(self) -> None:
        """Get one more thread to work on the queue, unless one is on its way."""
        if not self._colleague_comes:
            with shield:
                self._colleague_comes = True
                service_threads.run(self._help)

    # ----------------------------------------------------------------- what service threads call

    def _help(self) -> None:
        self._colleague_comes = False
        self.work()

    def _answer_refused(self) -> None:
        link, refused = self._link, self._refused
        packed, reason, text = b'', '', ''
        while True:
            try:
                while refused:
                    call_id, why = refused.popleft()
                    if why is not reason:
                        reason, text = why, f'{link.here} {why.format(link.options.max_calls)}'
                        failure = self.pack_failure(OperationError(text))
                        packed = b''.join(failure.payload) if isinstance(failure, Packed) else b''
                    link.log('DEBUG', f'refused a call, and told it: {text}')
                    link.sender.reply(encode(FAILURE, call_id, 0, packed), (), len(refused))
            finally:
                self._refusing.release()
            if not refused or not self._refusing.acquire(False):
                return  # none has come meanwhile, or another thread has been sent to it

    def work(self) -> None:
        """Run queued calls until there are none. A call may block: the rest goes to colleagues."""
        queue = self.queue
        while queue:
            try:
                call = queue.pop(0)
            except IndexError:
                return
            if queue:
                self.call_colleague()
            self.run(call)

    def run(self, call: CurrentCall, waiter: Waiter | None = None) -> None:
        """Run a call in this thread, and answer it.

        Args:
            waiter: Whose errand it is: with the answer, the peer may have another one for it.
        """
        link = self._link
        thread = context.thread
        outer_call, outer_connection = thread.call, thread.connection
        outer_critical = thread.critical
        value = None
        kind, packed = FAILURE, None
        try:
            try:
                thread.call, thread.connection = call, link
                thread.critical = False
                if waiter is not None:
                    waiter.errand = None  # only now: until here somebody else could do it
                if link.posts is not None and not call._frame.parent:
                    link.posts.run()  # they came first
                kind = RESULT
                try:
                    value = self._run(call)
                    packed = None if value is None else self._pack_result(value)
                except BaseException as exc:
                    kind = FAILURE
                    packed = self.pack_failure(exc)
                    value = exc
                if link.forwarding is not None:
                    link.forwarding.flush()
            finally:
                thread.call, thread.connection = outer_call, outer_connection
                thread.critical = outer_critical
                call.done = True
                if waiter is not None:
                    link.reader.baton.end_errand(waiter)
            self._answer(call, kind, packed)
        except BaseException:  # of a signal handler
            owed.append((self._answer_again, call, kind, packed))
            settle()
            raise
        finally:
            self._running.pop(call.id, None)
            if self._drained is not None and not self._running:
                self._drained()
        del value  # only now: a proxy in it must not be released ahead of the answer

    def _run(self, call: CurrentCall) -> Any:
        if call.cancelled:
            self._link.payloads.give_back_unread(call._frame)
            return None
        func, args, kwargs = self._link.payloads.unpack(call._frame)
        if type(func) is str:
            return operations.TABLE[func](self._link, *args)
        return operations.call(func, args, kwargs)

    def _pack_result(self, value: Any) -> bytes | Packed:
        packed = self._link.payloads.pickling.dumps(value, 'the result')
        self._link.payloads.check_size(packed, 'result takes')
        return packed

    def pack_failure(self, exc: BaseException) -> bytes | Packed:
        """Pack an exception; one that can't be sent must not leave the caller without an answer."""
        payloads = self._link.payloads
        try:
            packed = payloads.pack_failure(exc)
            payloads.check_size(packed, 'exception takes')
        except Exception as reason:
            if not self._link.is_up:
                return b''  # nobody will read it
            why = str(reason) if isinstance(reason, OperationError) else sentence(reason)
            text = f'{type(exc).__name__} was raised over there, and cannot be sent: {why}'
            return payloads.pack_failure(OperationError(text[:_LONGEST_TEXT]))
        return packed

    def _answer(self, call: CurrentCall, kind: int, packed: bytes | Packed | None) -> None:
        link = self._link
        exported = packed.exported if isinstance(packed, Packed) else ()
        if call.cancelled:
            link.payloads.drop_exports(exported)
        else:
            frame = _encode_answer(call.id, kind, packed)
            link.sender.reply(frame, exported, len(self.queue))

    def _answer_again(self, call: CurrentCall, kind: int, packed: bytes | Packed | None) -> None:
        """Queue an answer that may have got lost; the peer takes no notice of a second one."""
        if not self._link.is_up or call.cancelled:
            return
        if isinstance(packed, Packed) or (packed is None and kind == FAILURE):
            why = OperationError('the call was interrupted over there before it was answered')
            kind, packed = FAILURE, self.pack_failure(why)
        self._link.sender.outbox.add(_encode_answer(call.id, kind, packed))
        self._link.sender.try_flush()


def _encode_answer(call_id: int, kind: int, packed: bytes | Packed | None) -> Any:
    if packed is None or isinstance(packed, bytes):
        return encode(kind, call_id, 0, packed or b'')
    return encode_parts(kind, call_id, 0, packed.payload, packed.buffers, packed.refs)


for _public in (CurrentCall, current_call, check_cancelled):
    _public.__module__ = 'across'
del _public
