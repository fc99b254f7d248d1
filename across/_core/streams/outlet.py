"""The half of a stream's end that sends.

Items are pickled when they are sent. Small ones that come fast travel together; one that comes
after a pause leaves at once, and none waits for others longer than a tick of the :mod:`.flusher`.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

import time
from threading import RLock

from ..errors import DisconnectError, OperationError
from ..states import OPEN
from ..threads.context import context
from ..values import cpickle as pickle
from ..values.pickling import Packed
from ..wire.frames import END, ITEMS, WINDOW_BYTES, WINDOW_ITEMS, encode, encode_parts
from .flusher import TICK, flusher
from .waiting import Waiters, deadline_of, refuse_in_critical_section

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..link import Link

# An item that comes so long (seconds) after the one before it has no company to wait for.
GAP = 100e-6
# A batch leaves when it has so many items, or bytes. Small enough for the limit that a peer may set
# for frames, and for the window to hold several.
BATCH_ITEMS = 256
BATCH_SIZE = 1 << 14

# What cannot change, and is small, is pickled together with the rest of its batch: the size of each
# pickle, about.
_SIZES: dict[type, int] = {float: 9, bool: 1, type(None): 1}
_SMALL_INT = 1 << 63
_SHORT = 1 << 10

_now = time.monotonic
_SENT: list[Any] = []  # in place of the END


class Outlet:
    """Sends items, as far as there is credit.

    Args:
        id: Of the stream, as it stands in frames that are sent.
        on_end: Called when the END was sent, with the lock of this outlet: must not wait.
    """

    def __init__(self, link: Link, id: int, on_end: Callable[[], None]) -> None:
        self._link = link
        self._id = id
        self._on_end = on_end
        # Guards all but `_taken`, `stopped` and the waiters, which the reader of the connection
        # writes: it must not wait for a write. Reentrant, as a finalizer may send at any moment.
        self._lock = RLock()
        self._batch: list[Any] = []
        self._pickled: list[int] = []  # positions in the batch of what is pickled already
        self._size = 0  # of the batch, about
        self._began = self._last = 0.0  # when the batch was begun, and the last item sent
        self._items = self._bytes = 0  # sent so far
        self._taken = 0, 0  # of those, as the other side says
        self._item_limit, self._byte_limit = WINDOW_ITEMS, WINDOW_BYTES  # from when on to wait
        self._waiters = Waiters(link)
        self._end: Any = None  # the frame to end with, once the end is wanted
        self.ended = False  # the END was sent
        #: The other side takes no more items: why.
        self.stopped = ''

    # ------------------------------------------------------------------------------ sending

    def send(self, item: Any, timeout: float | None = None) -> None:
        """Send an item; see :meth:`.stream.Stream.send`."""
        kind = type(item)
        size = _SIZES.get(kind)
        if size is None:
            if kind is int and -_SMALL_INT <= item < _SMALL_INT:
                size = 5
            elif (kind is str or kind is bytes) and len(item) <= _SHORT:
                size = 3 + 3 * len(item)
            else:
                self._send_pickled(item, timeout)
                return
        self._put(item, size, False, timeout)

    def _send_pickled(self, item: Any, timeout: float | None) -> None:
        link = self._link
        self._check_open()
        thread = context.thread
        outer, thread.connection = thread.connection, link
        try:
            packed = link.payloads.pickling.dumps(item, f'item {self._items + 1}')
            link.payloads.check_size(packed, 'item takes')
        finally:
            thread.connection = outer
        try:
            self._put(packed, len(packed) if type(packed) is bytes else 0, True, timeout)
        except BaseException:
            if isinstance(packed, Packed):
                link.payloads.drop_exports(packed.exported)
            raise

    def _put(self, entry: Any, size: int, is_pickled: bool, timeout: float | None) -> None:
        """Add an item to the batch, once there is credit."""
        if context.thread.critical:
            refuse_in_critical_section()
        deadline = deadline_of(timeout)
        while True:
            with self._lock:
                if (
                    self._items < self._item_limit and self._bytes < self._byte_limit
                ) or self._may_go_on():
                    if self._end is not None or self.stopped or self._link.state != OPEN:
                        self._check_open()
                    if is_pickled and type(entry) is not bytes:
                        self._send_alone(entry)
                        return
                    batch, pickled = self._batch, self._pickled
                    if pickled and pickled[-1] == len(batch):
                        pickled.pop()  # an exception of a signal handler came right behind it
                    if is_pickled:
                        pickled.append(len(batch))
                    self._items += 1
                    batch.append(entry)
                    self._size += size
                    now = _now()
                    gap, self._last = now - self._last, now
                    if (
                        gap > GAP
                        or self._size > BATCH_SIZE
                        or len(batch) >= BATCH_ITEMS
                        or (len(batch) > 1 and now - self._began > TICK)
                    ):
                        self._flush(True)
                    elif len(batch) == 1:
                        self._began = now
                        flusher.soon(self)
                    return
                self._check_open()
                self._flush(True)
            if not self._waiters.wait(self._is_news, deadline):
                raise TimeoutError(
                    f'the other side of the stream made no room for an item within {timeout:g} s'
                )

    def _may_go_on(self) -> bool:
        """With the lock: whether there is credit, now that the other side has taken so much."""
        items, size = self._taken
        self._item_limit, self._byte_limit = WINDOW_ITEMS + items, WINDOW_BYTES + size
        return self._items < self._item_limit and self._bytes < self._byte_limit

    def _is_news(self) -> bool:
        if self.stopped or self._end is not None or self._link.state != OPEN:
            return True
        items, size = self._taken
        return self._items < WINDOW_ITEMS + items and self._bytes < WINDOW_BYTES + size

    def _check_open(self) -> None:
        if self._link.state != OPEN:
            raise self._link.disconnected()
        if self.stopped:
            raise OperationError(self.stopped)
        if self._end is not None:
            raise OperationError('this side has ended the stream, and can send nothing else')

    def _send_alone(self, packed: Packed) -> None:
        """With the lock: send an item that has large buffers, or refers to something."""
        self._flush(True)
        parts = encode_parts(ITEMS, self._id, 0, packed.payload, packed.buffers, packed.refs)
        self._last = _now()
        thread = context.thread
        outer_critical, thread.critical = thread.critical, True
        try:
            # Buffers must not change under way: this returns once they are written.
            self._link.sender.send(parts)
        finally:
            thread.critical = outer_critical
        self._items += 1  # not before: one that was not sent must not take credit
        self._bytes += packed.size

    # ----------------------------------------------------------------------------- flushing

    def flush(self) -> None:
        """Send what waits for company: this thread is about to wait for the other side."""
        if self._batch and not context.thread.critical:
            try:
                with self._lock:
                    self._flush(True)
            except DisconnectError:
                pass  # what was received before comes first

    def flush_late(self) -> None:
        """The same, and the END if it is due, without ever waiting."""
        if not self._lock.acquire(False):
            flusher.soon(self)
            return
        try:
            self._finish(False)
        except DisconnectError:
            pass
        finally:
            self._lock.release()

    def _flush(self, may_block: bool) -> None:
        """With the lock: send the batch."""
        if self._batch:
            self._write(self._take_batch, may_block)

    def _take_batch(self) -> bytes:
        """With the lock: make a frame of the batch."""
        batch, pickled = self._batch, self._pickled
        self._batch, self._pickled, self._size = [], [], 0
        count = len(batch)
        if pickled and pickled[-1] == count:
            pickled.pop()
        if count == 1:
            count = 0
            payload = batch[0] if pickled else pickle.dumps(batch[0], 5)
        else:
            payload = pickle.dumps((batch, pickled) if pickled else batch, 5)
        self._bytes += len(payload)
        return encode(ITEMS, self._id, count, payload)

    def _write(self, take: Callable[[], Any], may_block: bool) -> None:
        thread = context.thread
        outer_critical, thread.critical = thread.critical, True
        try:
            self._link.sender.send_taken(take, may_block)
        finally:
            thread.critical = outer_critical

    # ------------------------------------------------------------------------------- ending

    def end(self, packed: bytes | Packed | None = None) -> None:
        """Send no more items; in an orderly way, so it may wait for the connection.

        Args:
            packed: The exception that the other side is to get.
        """
        with self._lock:
            if not self._begin_end(packed):
                return
            try:
                self._finish(True)
            except DisconnectError:
                pass

    def end_soon(self, number: int = 0) -> None:
        """The same from a thread that must not wait.

        Args:
            number: Of the END.
        """
        if self._end is None:
            self._want_end([encode(END, self._id, number)])
        self.flush_late()

    def _begin_end(self, packed: bytes | Packed | None) -> bool:
        """With the lock: whether the end was not wanted before."""
        if self._end is not None:
            if isinstance(packed, Packed):
                self._link.payloads.drop_exports(packed.exported)
            return False
        if isinstance(packed, Packed):
            parts = encode_parts(END, self._id, 0, packed.payload, packed.buffers, packed.refs)
            self._want_end(parts)
        else:
            self._want_end([encode(END, self._id, 0, packed or b'')])
        return True

    def _want_end(self, frame: list[Any]) -> None:
        """Take note of the END that is to be sent."""
        # Items may be lost when the link ends: the other side must not take that for the end.
        self._end = frame if self._link.state == OPEN else _SENT
        self._waiters.wake()

    def _finish(self, may_block: bool) -> None:
        """With the lock: send what there is, and the END if it is wanted."""
        if self._end is None:
            self._flush(may_block)
        elif self._end is not _SENT:
            try:
                self._write(self._take_end, may_block)
            finally:
                self.ended = True  # only now: the other side must not hear of that before
                self._on_end()

    def _take_end(self) -> Any:
        """With the lock: make a frame of the batch and the END."""
        end, self._end = self._end, _SENT
        if self._batch and not self.stopped:
            end = [self._take_batch(), *end]
        self._batch = []
        return end if len(end) > 1 else end[0]

    # -------------------------------------------------------------- what the reader calls

    def grant(self, items: int, size: int) -> bool:
        """The other side has taken so much in all; whether a sleeping thread was woken."""
        self._taken = items, size
        return self._waiters.wake()

    def stop(self, why: str) -> bool:
        """The other side takes no more items; whether a sleeping thread was woken."""
        if not self.stopped:
            self.stopped = why
        return self._waiters.wake()

    def wake(self) -> None:
        """The link has ended."""
        self._waiters.wake()

    def forget(self) -> None:
        """In a forked child: a thread that held the lock does not exist here."""
        self._lock = RLock()
        self._waiters.forget()
