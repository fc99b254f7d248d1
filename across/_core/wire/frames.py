"""Frames: how messages are laid out in the byte stream, and the decoder that finds them there.

After its greeting line (:mod:`.greeting`) each side sends nothing but frames. All numbers are
little-endian and unsigned.

======  ========  ==============================================================================
offset  type      what
======  ========  ==============================================================================
0       u8        kind, one of the constants below
1       3 bytes   zero
4       u32       how many buffers travel out of band
8       u32       how many objects the payload refers to
12      u64       size of the body: all that follows this header
20      u64       id of the call or stream that the frame belongs to (0: none)
28      u64       id of the receiver's own call inside which this call is made (0: none); in frames
                  of streams a number that the kind explains
36      u64 each  sizes of the buffers, shifted left by two; the low bits are the buffer's kind
…       u64 each  ids of objects, shifted left by one; the low bit is set where the receiver
                  owns the object, and clear where the sender does
…       bytes     the payload
…       bytes     the buffers, one after the other
======  ========  ==============================================================================

====================  ============================================================================
kind                  payload
====================  ============================================================================
:data:`CALL`          pickled ``(func, args, kwargs)``; answered by a result or a failure
:data:`RESULT`        the pickled return value; empty for ``None``
:data:`FAILURE`       the pickled exception, as plain data
:data:`CANCEL`        none: the caller of this id does not wait any longer
:data:`POST`          as a call, but unanswered; posts run one at a time, in their order, and those
                      that arrived before a result are through before it is handed to its caller
:data:`RELEASE`       pairs of u64: an object's id, and how many references to it were dropped
:data:`IDLE`          none: the sender lives
:data:`GOODBYE`       none: the sender sends nothing else, and wants nothing else
:data:`ITEMS`         items of a stream. Number 0: one, pickled. Number n: n of them, as a pickled
                      list, or as a pickled pair of such a list and the positions in it of those
                      that are ``bytes`` which hold a pickle of their own
:data:`CREDIT`        two u64: how many items, and bytes of frame bodies, were taken so far. The
                      sender may be ahead of that by the window below
:data:`END`           the pickled exception that ended the stream, as plain data; empty for none.
                      The sender sends no more items. Number 1: the other end never arrived, and is
                      to be forgotten
:data:`STOP`          none: the sender takes no more items of this stream
====================  ============================================================================

The id of a stream is a number that its opener gave it, shifted left by two. The low bit is set
where the receiver opened it, and clear where the sender did. The other bit is set where the number
is the id of a call, whose items the stream carries, and clear for streams that are passed as
objects.

Layer: wire. No I/O, no clock, no thread, no pickle: memory for large buffers comes from a function
that the decoder is given.
"""

from __future__ import annotations

import struct
import sys
from collections import namedtuple

from ..errors import ProtocolError

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, NamedTuple, Sequence, Tuple, Union

CALL, RESULT, FAILURE, CANCEL, POST, RELEASE, IDLE, GOODBYE = range(1, 9)
ITEMS, CREDIT, END, STOP = range(9, 13)
KINDS = frozenset(range(1, 13))

#: What a buffer becomes at the receiver: any writable buffer, a ``bytes`` or a ``bytearray``.
PLAIN, BYTES, BYTEARRAY = range(3)

#: How much of a stream may be sent and not yet taken: items, and bytes of frame bodies. The last
#: item may go beyond that, as it may have any size.
WINDOW_ITEMS, WINDOW_BYTES = 1024, 1 << 19

#: What a post that waits takes at its receiver (bytes), beside its body; about.
POST_COST = 256

HEADER = struct.Struct('<BxxxIIQQQ')
HEADER_SIZE = HEADER.size
NUMBER = struct.Struct('<Q')

# The same for a frame without tables, as nearly all are: its first twelve bytes say so at once.
_PLAIN = struct.Struct('<12sQQQ')
_PLAIN_STARTS = {bytes([kind]) + bytes(11): kind for kind in KINDS}

# One read takes in this much. Frames that don't fit are received straight into memory of their own.
READ_SIZE = 1 << 16
# Before more has come at once, and while the connection is idle, this much.
SMALL_READ_SIZE = 512

if TYPE_CHECKING:
    Buffer = Union[bytes, bytearray, memoryview]
    # Makes memory: ``allocate(kind, size)`` gives the object and a writable view of all its bytes.
    Allocate = Callable[[int, int], Tuple[Any, memoryview]]

    class Frame(NamedTuple):
        """One message, as it was received."""

        kind: int
        id: int
        parent: int
        refs: tuple[int, ...]
        payload: bytes | bytearray | memoryview
        buffers: Sequence[Any]
else:
    Frame = namedtuple('Frame', 'kind id parent refs payload buffers')

# What Frame(…) does, less a Python call for each message.
_new_frame = tuple.__new__


def encode(kind: int, id: int = 0, parent: int = 0, payload: bytes = b'') -> bytes:
    """Lay out a frame that has neither buffers nor refs, the common case."""
    return HEADER.pack(kind, 0, 0, len(payload), id, parent) + payload


def encode_parts(
    kind: int,
    id: int,
    parent: int,
    payload: Sequence[Buffer],
    buffers: Sequence[tuple[int, memoryview]],
    refs: Sequence[int],
) -> list[Buffer]:
    """Lay out any frame, without copying what is large.

    Args:
        payload: The chunks of the payload.
        buffers: Kind and bytes (a view of format ``B``) of each buffer.
        refs: Ids, shifted and marked as the table above says.

    Returns:
        The frame, as buffers to be written one after the other.
    """
    sizes = [view.nbytes << 2 | kind_ for kind_, view in buffers]
    body = 8 * (len(sizes) + len(refs)) + sum(map(len, payload)) + sum(v.nbytes for _, v in buffers)
    head = HEADER.pack(kind, len(sizes), len(refs), body, id, parent)
    head += struct.pack(f'<{len(sizes) + len(refs)}Q', *sizes, *refs)
    if len(payload) == 1 and len(payload[0]) <= READ_SIZE:
        return [head + payload[0], *(view for _, view in buffers)]
    return [head, *payload, *(view for _, view in buffers)]


class FrameDecoder:
    """Cuts the received bytes into frames.

    Read into :attr:`buffer`, then tell :meth:`received` how many bytes were read; do so again.

    Args:
        allocate: Makes the memory for what doesn't fit into one read.
        max_size: Limit of a frame's body (bytes), checked before any memory is allocated.
            ``None``: no limit.
    """

    __slots__ = ('_allocate', '_end', '_memory', '_start', '_whole', 'buffer', 'large', 'max_size')

    def __init__(self, allocate: Allocate, max_size: int | None) -> None:
        self._allocate = allocate
        self.max_size = max_size
        self._memory = bytearray(SMALL_READ_SIZE)
        self._whole = memoryview(self._memory)
        self._start = self._end = 0  # what was read and not yet decoded
        #: Where the next bytes go.
        self.buffer = self._whole
        #: The frame that is being received into memory of its own, if any.
        self.large: _LargeFrame | None = None

    def received(self, count: int) -> list[Frame]:
        """Take in the bytes that were read.

        Args:
            count: How many bytes of :attr:`buffer` are new, at least 1.

        Returns:
            The frames that are complete now.

        Raises:
            ProtocolError: The bytes are no frame, or announce one over the limit.
        """
        if self.large is not None:
            return self._received_large(count)
        memory = self._memory
        start, end = self._start, self._end + count
        frames: list[Frame] = []
        while end - start >= HEADER_SIZE:
            kind, n_buffers, n_refs, size, id, parent = HEADER.unpack_from(memory, start)
            body = start + HEADER_SIZE
            if body + size > end:
                self._check(kind, n_buffers, n_refs, size)
                if HEADER_SIZE + size > READ_SIZE:
                    self._begin_large(
                        Frame(kind, id, parent, (), b'', ()), n_buffers, n_refs, size, body, end
                    )
                    return frames
                break
            if n_buffers or n_refs:
                self._check(kind, n_buffers, n_refs, size)
                frames.append(self._small_frame(kind, n_buffers, n_refs, size, id, parent, body))
            else:
                if kind not in KINDS:
                    self._check(kind, n_buffers, n_refs, size)
                payload = memory[body : body + size]
                frames.append(_new_frame(Frame, (kind, id, parent, (), payload, ())))
            start = body + size
        if end == len(memory) < READ_SIZE:
            self._set_memory(READ_SIZE, memory[start:end])
        elif start == end:
            self._start = self._end = 0
            self.buffer = self._whole
        else:
            if start:
                memory[: end - start] = memory[start:end]
            self._start, self._end = 0, end - start
            self.buffer = self._whole[self._end :]
        return frames

    def plain(self, count: int) -> Frame | None:
        """The frame, if the bytes that were read are one without tables, and nothing else.

        What nearly every read brings. Changes nothing: :meth:`received` gives it, too.
        """
        if count >= HEADER_SIZE and self.buffer is self._whole:
            start, size, id, parent = _PLAIN.unpack_from(self._memory)
            kind = _PLAIN_STARTS.get(start)
            if kind and size == count - HEADER_SIZE:
                payload = self._memory[HEADER_SIZE:count] if size else b''
                return _new_frame(Frame, (kind, id, parent, (), payload, ()))
        return None

    @property
    def is_between_frames(self) -> bool:
        """Whether no frame has come in part."""
        return self.large is None and not self._end

    def shrink(self) -> None:
        """Give memory back, between frames: nothing is expected for a while."""
        if len(self._memory) > SMALL_READ_SIZE:
            self._set_memory(SMALL_READ_SIZE, b'')

    def _set_memory(self, size: int, head: bytes | bytearray) -> None:
        """Replace the read buffer by one that begins with what is not yet decoded."""
        self._memory = bytearray(size)
        self._memory[: len(head)] = head
        self._whole = memoryview(self._memory)
        self._start, self._end = 0, len(head)
        self.buffer = self._whole[len(head) :] if head else self._whole

    def _check(self, kind: int, n_buffers: int, n_refs: int, size: int) -> None:
        if kind not in KINDS:
            raise ProtocolError(f'the peer sent a message of unknown kind {kind}')
        # Beyond sys.maxsize, making memory is an OverflowError and no mere lack of it.
        limit = sys.maxsize if self.max_size is None else self.max_size
        if size > limit:
            raise ProtocolError(
                f'the peer announced a message of {size} bytes, the limit is {limit} '
                '(option max_frame_size)'
            )
        if 8 * (n_buffers + n_refs) > size:
            raise ProtocolError('the peer sent a message whose tables are longer than itself')

    def _small_frame(
        self, kind: int, n_buffers: int, n_refs: int, size: int, id: int, parent: int, body: int
    ) -> Frame:
        """Make a frame that lies whole in the read buffer and has tables."""
        sizes, refs = _parse_tables(self._memory, body, n_buffers, n_refs)
        position = body + 8 * (n_buffers + n_refs)
        end = body + size
        first_buffer = end - sum(size_ >> 2 for size_ in sizes)
        if first_buffer < position:
            raise ProtocolError('the peer sent a message whose buffers are longer than itself')
        payload = self._memory[position:first_buffer]
        buffers = []
        for size_ in sizes:
            stop = first_buffer + (size_ >> 2)
            data = self._memory[first_buffer:stop]
            buffers.append(bytes(data) if size_ & 3 == BYTES else data)
            first_buffer = stop
        return Frame(kind, id, parent, refs, payload, buffers)

    def _begin_large(
        self, frame: Frame, n_buffers: int, n_refs: int, size: int, body: int, end: int
    ) -> None:
        large = self.large = _LargeFrame(frame, n_buffers, n_refs, size, self._allocate)
        rest = self._whole[body:end]
        self._start = self._end = 0
        while rest:
            room = large.buffer
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            rest = rest[count:]
            large.received(count)  # can't be complete: the frame is longer than what was read
        self.buffer = large.buffer

    def _received_large(self, count: int) -> list[Frame]:
        large = self.large
        assert large is not None
        if not large.received(count):
            self.buffer = large.buffer
            return []
        self.large = None
        self.buffer = self._whole
        return [large.frame()]


class _LargeFrame:
    """A frame on its way into memory of its own: the tables, then the payload, then the buffers."""

    __slots__ = (
        '_allocate',
        '_frame',
        '_n_buffers',
        '_parts',
        '_size',
        '_tables',
        '_views',
        'buffer',
    )

    def __init__(
        self, frame: Frame, n_buffers: int, n_refs: int, size: int, allocate: Allocate
    ) -> None:
        self._frame = frame
        self._allocate = allocate
        self._size = size
        self._n_buffers = n_buffers
        self._parts: list[Any] = []  # the payload, then the buffers
        self._views: list[memoryview] = []  # what is still to be filled, last one first
        self._tables: bytearray | None = bytearray(8 * (n_buffers + n_refs))
        self.buffer = memoryview(self._tables)
        if not self._tables:
            self._begin_parts()

    def received(self, count: int) -> bool:
        """Take in bytes that were read into :attr:`buffer`; say whether the frame is complete."""
        self.buffer = self.buffer[count:]
        if self.buffer:
            return False
        if self._tables is not None:
            self._begin_parts()
            return not self.buffer
        return self._next_view()

    def _begin_parts(self) -> None:
        tables = self._tables
        assert tables is not None
        self._tables = None
        n_refs = len(tables) // 8 - self._n_buffers
        sizes, refs = _parse_tables(tables, 0, self._n_buffers, n_refs)
        payload_size = self._size - len(tables) - sum(size >> 2 for size in sizes)
        if payload_size < 0:
            raise ProtocolError('the peer sent a message whose buffers are longer than itself')
        for size in (payload_size << 2 | BYTES, *sizes):
            part, view = self._allocate(size & 3, size >> 2)
            self._parts.append(part)
            self._views.append(view)
        self._views.reverse()
        self._frame = self._frame._replace(refs=refs)
        self._next_view()

    def _next_view(self) -> bool:
        while self._views:
            self.buffer = self._views.pop()
            if self.buffer:
                return False
        return True

    def frame(self) -> Frame:
        return self._frame._replace(payload=self._parts[0], buffers=self._parts[1:])


def _parse_tables(
    data: bytearray, offset: int, n_buffers: int, n_refs: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    numbers = struct.unpack_from(f'<{n_buffers + n_refs}Q', data, offset)
    return numbers[:n_buffers], numbers[n_buffers:]
