"""The half of a stream's end that receives.

The reader of the connection adds frames as they come. The thread that takes an item unpickles it,
with all others of its frame: that is user code, and not for the reader.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

import _thread
from collections import deque

from ..errors import OperationError
from ..states import OPEN
from ..threads.context import context
from ..values import cpickle as pickle
from ..wire.frames import CREDIT, ITEMS, NUMBER, WINDOW_BYTES, WINDOW_ITEMS, Frame, encode
from .waiting import Waiters

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from ..link import Link

#: What `Inlet.take` returns behind the last item.
OVER: Any = object()
#: What `Inlet.poll` returns if no item is there.
NOTHING: Any = object()

_NOT_BLOCKING = (False,)
_NOTHING: tuple[Any, ...] = ()


class _Broken:
    """What remains of a frame behind an item that can't be unpickled."""

    kind = ITEMS

    def __init__(self, error: OperationError, values: list[Any], pickled: list[int]) -> None:
        self.error: OperationError | None = error
        self.values = values
        self.pickled = pickled

    @property
    def parent(self) -> int:
        """How many items it stands for, as in a frame."""
        return len(self.values) + (self.error is not None)


class Inlet:
    """Receives items, and grants credit for those that were taken.

    Args:
        id: Of the stream, as it stands in frames that are sent.
    """

    def __init__(self, link: Link, id: int) -> None:
        self._link = link
        self._id = id
        #: The items that come next, unpickled. A ``for`` that returns at once takes one, in a way
        #: that neither another thread nor an exception of a signal handler can come between.
        self.ready: Iterator[Any] = iter(_NOTHING)
        # What is behind them. Appended by the reader; taken by who has the token; the frame that
        # ended the stream stays at its front.
        self._chunks: deque[Any] = deque()
        # Held by the thread that unpickles a frame, which is user code; nobody ever waits for it.
        self._token = _thread.allocate_lock()
        # How many items and bytes were taken, in all, and what the sender was told; belong to the
        # token.
        self._items = self._bytes = self._told_items = self._told_bytes = 0
        self._received = 0  # items, in all; belongs to the reader
        #: Called after anything has changed.
        self.on_change: Callable[[], None] | None = None
        self.waiters = Waiters(link)
        self.ended = False  # the other side's END has arrived
        self.closed = False  # nobody takes items any more
        #: What the other side ended with, once it is unpickled.
        self.error: BaseException | None = None
        self._traceback: Any = None
        self.raised = False  # that was raised to somebody

    # ------------------------------------------------------------------------------- taking

    def take(self, deadline: float | None) -> Any:
        """Wait for the next item.

        Args:
            deadline: In monotonic time; None for none.

        Returns:
            The item; `OVER` behind the last one.

        Raises:
            TimeoutError: There was none in time.
            DisconnectError: There is none, and the connection has ended.
            OperationError: The next item can't be unpickled.
            BaseException: What the other side ended the stream with.
        """
        while True:
            item = self.poll()
            if item is not NOTHING:
                return item
            if self._must_tell():
                self._use_token(self._tell)
            if not self.waiters.wait(self._may_go_on, deadline):
                raise TimeoutError

    def poll(self) -> Any:
        """The same without waiting: `NOTHING` if there is nothing."""
        while True:
            for item in self.ready:
                return item
            if self.closed:
                return OVER
            up = self._link.state == OPEN  # looked at first: what came before the end counts
            if not self._chunks:
                if up:
                    return NOTHING
                raise self._link.disconnected()
            if not self._use_token(self._open):
                return NOTHING
            if self._chunks and self._chunks[0].kind != ITEMS and not self._left():
                self._raise_error()
                return OVER

    def read_end(self) -> bool:
        """Raise what the other side ended with, though items may lie before it.

        Returns:
            False if it can't be told yet, as another thread is taking items.
        """
        if not self._use_token(self._unpack_end):
            return False
        self._raise_error()
        return True

    def _raise_error(self) -> None:
        error = self.error
        self.raised = error is not None
        if isinstance(error, StopIteration):  # would end a loop without a word
            raise RuntimeError('the other side raised StopIteration') from error
        if error is not None:
            raise error.with_traceback(self._traceback)

    def _left(self) -> int:
        return self.ready.__length_hint__()  # type: ignore[attr-defined,no-any-return]

    @property
    def queued(self) -> int:
        """How many items have arrived and were not taken."""
        chunks = self._chunks.copy()
        return self._left() + sum(each.parent or 1 for each in chunks if each.kind == ITEMS)

    def _may_go_on(self) -> bool:
        if self._chunks:
            return not self._token.locked()
        return self.closed or self._link.state != OPEN

    def _use_token(self, func: Callable[[], None]) -> bool:
        """Call a function that unpickles, unless another thread does so: then False."""
        locked: list[bool] = []
        thread = context.thread
        outer, thread.connection = thread.connection, self._link
        try:
            # Not `if acquire():`, as an exception of a signal handler may come in between.
            locked.extend(map(self._token.acquire, _NOT_BLOCKING))
            if locked[0]:
                func()
            return locked[0]
        finally:
            thread.connection = outer
            if locked and locked[0]:
                self._token.release()
                self.waiters.wake()

    def _unpack_end(self) -> None:
        """With the token: unpickle what the other side ended with."""
        chunks = self._chunks.copy()
        if chunks and chunks[-1].kind != ITEMS and chunks[-1].payload and self.error is None:
            self.error = self._link.payloads.unpack_failure(chunks[-1])
            self._traceback = self.error.__traceback__

    def _open(self) -> None:
        """With the token: make the next items ready, unless some are."""
        if not self._chunks or self._left():
            return
        chunk = self._chunks[0]
        broken: _Broken | None = None
        if type(chunk) is _Broken:
            if chunk.error is not None:
                error, chunk.error = chunk.error, None
                raise error
            values, broken = self._unpickle(chunk.values, chunk.pickled)
        elif chunk.kind != ITEMS:
            self._unpack_end()
            return
        elif chunk.refs:
            # They are given back, whatever comes: it can't be unpickled a second time.
            self._chunks.popleft()
            self._grant(chunk)
            self.ready = iter([self._link.payloads.unpack(chunk)])
            return
        elif chunk.parent:
            values = pickle.loads(chunk.payload)
            if type(values) is tuple:
                values, broken = self._unpickle(*values)
        else:
            values, broken = self._unpickle([chunk], [0])
        ready = iter(values)
        try:
            # Nothing that a signal handler could interrupt lies between the two.
            self.ready = ready
            if broken is None:
                del self._chunks[0]
            else:
                self._chunks[0] = broken
        except IndexError:
            pass  # closed this moment
        if type(chunk) is not _Broken:
            self._grant(chunk)

    def _unpickle(self, values: list[Any], pickled: list[int]) -> tuple[list[Any], _Broken | None]:
        """Unpickle some of the values, until one fails: those before it, and what remains."""
        for turn, i in enumerate(pickled):
            value = values[i]
            frame = value if isinstance(value, Frame) else _frame(value)
            try:
                values[i] = self._link.payloads.unpack(frame)
            except OperationError as exc:
                later = [position - i - 1 for position in pickled[turn + 1 :]]
                return values[:i], _Broken(exc, values[i + 1 :], later)
        return values, None

    # ------------------------------------------------------------------------------ credit

    def _grant(self, frame: Frame) -> None:
        """With the token: a frame was opened, which makes room for others."""
        self._items += frame.parent or 1
        self._bytes += _size(frame)
        self._tell()

    def _must_tell(self) -> bool:
        return (
            self._items - self._told_items >= WINDOW_ITEMS // 2
            or self._bytes - self._told_bytes >= WINDOW_BYTES // 2
        )

    def _tell(self) -> None:
        """With the token: tell the sender how much was taken, if it is worth it.

        It may be told twice: so Ctrl-C amid this, which is made good later, does no harm.
        """
        if not self._must_tell() or self.ended or self.closed or self._link.state != OPEN:
            return
        items, size = self._items, self._bytes
        thread = context.thread
        outer_critical, thread.critical = thread.critical, True
        try:
            payload = NUMBER.pack(items) + NUMBER.pack(size)
            self._link.sender.try_send(encode(CREDIT, self._id, 0, payload))
            self._told_items, self._told_bytes = items, size
        finally:
            thread.critical = outer_critical

    # ------------------------------------------------------------------- what the reader calls

    def add(self, frame: Frame) -> bool:
        """Take in a frame; whether a sleeping thread was woken."""
        if frame.kind != ITEMS:
            self.ended = True
        else:
            self._received += frame.parent or 1
            if self._received - self._items > 2 * WINDOW_ITEMS:  # Ctrl-C may make it miscount
                self._link.fail('the peer sent more items of a stream than it may')
                return False
        self._chunks.append(frame)
        if self.closed:
            self._drop()
        return self.wake()

    def wake(self) -> bool:
        """Something has changed; whether a sleeping thread was woken."""
        if self.on_change is not None:
            self.on_change()
        return self.waiters.wake()

    # ------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Take no more items, and drop what has arrived. Never blocks."""
        self.closed = True
        self.ready = iter(_NOTHING)
        self._drop()
        self.wake()

    def _drop(self) -> None:
        while self._chunks:
            try:
                chunk = self._chunks.popleft()
            except IndexError:
                return
            if chunk.kind == ITEMS and type(chunk) is not _Broken:
                self._link.payloads.give_back_unread(chunk)

    def forget(self) -> None:
        """In a forked child: a thread that held the token does not exist here."""
        self._token = _thread.allocate_lock()
        self.waiters.forget()


def _frame(payload: bytes) -> Frame:
    return Frame(ITEMS, 0, 0, (), payload, ())


def _size(frame: Frame) -> int:
    """The size of a frame's body."""
    size = len(frame.payload) + 8 * (len(frame.buffers) + len(frame.refs))
    return size + sum(memoryview(buffer).nbytes for buffer in frame.buffers)
