"""What leaves a connection: frames in their order, each written by whoever has the send lock.

Layer: threads. Knows nothing of messages: a frame is one ``bytes``, or a list of buffers.
"""

from __future__ import annotations

import _thread
from collections import deque
from errno import EPIPE
from itertools import repeat, starmap

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Protocol, Union

    Buffer = Union[bytes, bytearray, memoryview]
    Frame = Union[bytes, 'list[Buffer]']

    class Sink(Protocol):
        """What the outbox needs of a transport."""

        sent: list[int]

        def send(self, buffers: list[Buffer]) -> int: ...
        def wait_writable(self) -> bool: ...


# Above this many bytes queued, whoever may block waits until they are written.
HIGH_WATER = 1 << 20
# Small frames are written together up to this size: one system call for many of them.
BATCH_SIZE = 1 << 16

_NOT_BLOCKING = (False,)
_NOTHING: list[Buffer] = []  # never changed


class Outbox:
    """A queue of frames, and the right to write.

    Args:
        sink: Takes the bytes.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink: Sink = sink
        # The send lock: guards `rest`, and calls of the sink. Whoever fails to get it leaves its
        # frame in the queue: the holder looks there again after releasing it.
        self._lock = _thread.allocate_lock()
        #: Frames that nobody has begun to write; append and popleft are atomic.
        self.backlog: deque[Frame] = deque()
        # What is left of the frame that is partly written; frames that were taken off the queue.
        self.rest: list[Any] = []
        self._writing: list[Any] = []  # what `sent` of the sink is about
        self._counter = _thread.allocate_lock()  # guards `_queued`
        self._queued = 0  # bytes in the queue

    def put(self, frame: Frame, may_block: bool) -> None:
        """Send a frame, or leave it to the thread that is sending.

        Args:
            frame: The whole frame. If it is a list, its buffers must not change until it is
                written: for a thread that may wait, this returns only then.
            may_block: Whether this thread may wait for the peer to read. Never the reader.

        Raises:
            OSError: The stream is broken.
            Cancelled: The transport was cancelled.
        """
        if may_block and not (self.backlog or self.rest or self._lock.locked()):
            # Nobody writes: the lock is had at once, or another thread was faster by a moment.
            with self._lock:
                if self.rest:
                    self.add(frame)
                    done = self._drain(True)
                else:
                    done = self._write(frame if type(frame) is list else [frame], True)  # type: ignore[list-item]
            if self.backlog and done:
                self.flush(True)
            return
        if not self.backlog:
            locked: list[bool] = []
            try:
                # Not `if acquire():`, as an exception of a signal handler may come in between.
                locked.extend(map(self._lock.acquire, _NOT_BLOCKING))
                if locked[0]:
                    if self.rest:
                        self.add(frame)
                        done = self._drain(may_block)
                    else:
                        done = self._write(frame if isinstance(frame, list) else [frame], may_block)
            finally:
                if locked and locked[0]:
                    self._lock.release()
            if locked[0]:
                if self.backlog and done:
                    self.flush(may_block)
                return
        queued = self.add(frame)
        if may_block and (type(frame) is list or queued > HIGH_WATER):
            with self._lock:
                self._drain(True)
        self.flush(may_block)

    def flush(self, may_block: bool = False) -> None:
        """Write what is queued, unless somebody else is at it."""
        while self.backlog or self.rest:
            locked: list[bool] = []
            done = False
            try:
                locked.extend(map(self._lock.acquire, _NOT_BLOCKING))
                done = locked[0] and self._drain(may_block)
            finally:
                if locked and locked[0]:
                    self._lock.release()
            if not done:
                return

    @property
    def pending(self) -> bool:
        """Whether something waits to be written and no thread is at it."""
        return bool(self.backlog or self.rest) and not self._lock.locked()

    def close(self) -> None:
        """Wait until nobody writes, and let nobody write any more. The sink must be cancelled."""
        with self._lock:
            # A goodbye may lie here that another thread, busy with an answer, had no time to send.
            try:
                self._drain(False)
            except Exception:
                pass  # the stream is broken
            self._sink = _Closed()
            self.backlog.clear()
            self.rest = []

    def add(self, frame: Frame) -> int:
        """Queue a frame only: somebody has to :meth:`flush`, or :meth:`put` more.

        Returns:
            How many bytes are queued now.
        """
        with self._counter:
            self._queued += _size(frame)
            queued = self._queued
        self.backlog.append(frame)
        return queued

    def _drain(self, may_block: bool) -> bool:
        """With the send lock: write all that is queued; False when the stream took no more."""
        self._settle()
        while True:
            if not self.rest:
                self._take_batch()
                if not self.rest:
                    return True
            if not self._write(_flatten(self.rest), may_block):
                return False

    def _take_batch(self) -> None:
        """With the send lock: take one large frame, or many small ones, off the queue."""
        backlog = self.backlog
        count = size = 0
        while count < len(backlog) and size < BATCH_SIZE:
            size += _size(backlog[count])
            count += 1
        with self._counter:
            self._queued -= size
        # In one step, done in C: an exception of a signal handler must not lose any.
        self.rest.extend(starmap(backlog.popleft, repeat((), count)))

    def _write(self, buffers: list[Buffer], may_block: bool) -> bool:
        """With the send lock: write buffers; False when some of them remain, in `rest`."""
        sink = self._sink
        while True:
            sink.sent = []
            self._writing = self.rest = buffers
            try:
                count = sink.send(buffers)
                if len(buffers) == 1 and count == len(buffers[0]):
                    self.rest = []
                    return True
            except BaseException:
                # Of a signal handler: what is left goes out later, for the stream must not break
                # off amid a frame. If another one comes here, the next to send settles it.
                self._settle()
                raise
            self._settle()
            buffers = self.rest
            if not any(buffers):
                self.rest = []
                return True
            if count == 0:
                if not may_block:
                    return False
                sink.wait_writable()

    def _settle(self) -> None:
        """With the send lock: take off the rest what was written of it."""
        sink = self._sink
        if self.rest is self._writing and sink.sent:
            self.rest = _behind(self.rest, sink.sent[0])  # another list: not done twice


class _Closed:
    """The sink of a closed outbox."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send(self, buffers: list[Buffer]) -> int:
        raise BrokenPipeError(EPIPE, 'it is closed')

    def wait_writable(self) -> bool:
        raise NotImplementedError  # send() never returns


def _flatten(frames: list[Any]) -> list[Buffer]:
    """The buffers of frames; those of small ones joined, for a single write."""
    if len(frames) == 1 and not isinstance(frames[0], list):
        return frames
    buffers: list[Buffer] = []
    for frame in frames:
        if isinstance(frame, list):
            buffers += frame
        else:
            buffers.append(frame)
    return [b''.join(buffers)] if _size(buffers) <= BATCH_SIZE else buffers


def _size(frame: Frame) -> int:
    return sum(map(len, frame)) if isinstance(frame, list) else len(frame)


def _behind(buffers: list[Buffer], count: int) -> list[Buffer]:
    """What remains of the buffers behind the first `count` bytes."""
    for i, buffer in enumerate(buffers):
        if count < len(buffer):
            return [memoryview(buffer)[count:], *buffers[i + 1 :]]
        count -= len(buffer)
    return []
