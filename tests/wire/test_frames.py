"""The layout of frames, and the decoder."""

from __future__ import annotations

import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from across import ProtocolError
from across._core.wire import frames
from across._core.wire.frames import (
    BYTEARRAY,
    BYTES,
    CALL,
    HEADER,
    HEADER_SIZE,
    KINDS,
    PLAIN,
    READ_SIZE,
    RESULT,
    SMALL_READ_SIZE,
    Frame,
    FrameDecoder,
    encode,
    encode_parts,
)

LIMIT = 1 << 20  # of the frames in these tests
U64 = st.integers(0, 2**64 - 1)


class Memory:
    """Gives out memory, and remembers how much."""

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []

    def allocate(self, kind: int, size: int) -> tuple[Any, memoryview]:
        self.given.append((kind, size))
        data = bytearray(size)
        return data, memoryview(data)


def join(parts: list[Any]) -> bytes:
    return b''.join(bytes(part) for part in parts)


def feed(decoder: FrameDecoder, data: bytes, chunk_sizes: list[int] | None = None) -> list[Frame]:
    """Have a decoder take in bytes, in reads of the given sizes over and over (0: all it can)."""
    found: list[Frame] = []
    sizes = chunk_sizes or [0]
    turn = 0
    while data:
        room = decoder.buffer
        assert len(room) > 0
        count = min(sizes[turn % len(sizes)] or len(data), len(data), len(room))
        room[:count] = data[:count]
        data = data[count:]
        alone = decoder.plain(count)
        frames = decoder.received(count)
        assert alone is None or [alone] == frames
        found += frames
        turn += 1
    return found


def decode(data: bytes, chunk_sizes: list[int] | None = None) -> list[Frame]:
    return feed(FrameDecoder(Memory().allocate, LIMIT), data, chunk_sizes)


def plain(found: list[Frame]) -> list[tuple[Any, ...]]:
    """Frames without the difference between bytes and views of them."""
    return [
        (*frame[:4], bytes(frame.payload), [bytes(buffer) for buffer in frame.buffers])
        for frame in found
    ]


# What a message is made of: kind, id, parent, refs, payload chunks, buffers.
Message = tuple[int, int, int, list[int], list[bytes], list[tuple[int, bytes]]]
sized_bytes = st.one_of(
    st.binary(max_size=50),
    # Around what fits into one read, and what does not.
    st.builds(
        lambda byte, size: bytes([byte]) * size,
        st.integers(0, 255),
        st.one_of(st.integers(READ_SIZE - 100, READ_SIZE + 100), st.integers(0, 2 * READ_SIZE)),
    ),
)
messages: st.SearchStrategy[Message] = st.tuples(
    st.sampled_from(sorted(KINDS)),
    U64,
    U64,
    st.lists(U64, max_size=4),
    st.lists(sized_bytes, max_size=2),
    st.lists(st.tuples(st.sampled_from([PLAIN, BYTES, BYTEARRAY]), sized_bytes), max_size=3),
)
chunkings = st.lists(
    st.one_of(st.integers(0, 8), st.integers(30, 60), st.integers(4000, READ_SIZE)),
    min_size=1,
    max_size=6,
).filter(lambda sizes: sum(sizes) == 0 or sum(sizes) > 200)


def encode_message(message: Message) -> bytes:
    kind, id, parent, refs, payload, buffers = message
    views = [(kind_, memoryview(data)) for kind_, data in buffers]
    return join(encode_parts(kind, id, parent, payload, views, refs))


def expected(message: Message) -> tuple[Any, ...]:
    kind, id, parent, refs, payload, buffers = message
    return kind, id, parent, tuple(refs), b''.join(payload), [data for _, data in buffers]


# ------------------------------------------------------------------------------------ golden bytes


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        *[(1, 'CALL'), (2, 'RESULT'), (3, 'FAILURE'), (4, 'CANCEL')],
        *[(5, 'POST'), (6, 'RELEASE'), (7, 'IDLE'), (8, 'GOODBYE')],
        *[(9, 'ITEMS'), (10, 'CREDIT'), (11, 'END'), (12, 'STOP')],
    ],
)
def test_golden_bytes_of_each_kind(kind: int, name: str) -> None:
    golden = bytes.fromhex(
        f'{kind:02x} 000000 00000000 00000000 0300000000000000'
        '0201000000000000 ffffffffffffffff 616263'
    )
    assert getattr(frames, name) == kind
    assert encode(kind, 0x102, 2**64 - 1, b'abc') == golden
    assert join(encode_parts(kind, 0x102, 2**64 - 1, [b'abc'], [], [])) == golden
    assert decode(golden) == [Frame(kind, 0x102, 2**64 - 1, (), b'abc', ())]


def test_golden_bytes_of_an_empty_frame() -> None:
    golden = bytes.fromhex('07' + '00' * 35)
    assert encode(frames.IDLE) == golden
    assert decode(golden) == [Frame(frames.IDLE, 0, 0, (), b'', ())]


def test_golden_bytes_with_buffers_and_refs() -> None:
    golden = bytes.fromhex(
        '02 000000 03000000 02000000 3100000000000000 0500000000000000 0000000000000000'
        '0c00000000000000 0900000000000000 0600000000000000'  # three, two and one bytes
        '0e00000000000000 1300000000000000'  # ours is 7, theirs is 9
        '5041 3f'  # the payload, in two chunks
        '010203 0405 06'
    )
    buffers = [
        (PLAIN, memoryview(b'\1\2\3')),
        (BYTES, memoryview(b'\4\5')),
        (BYTEARRAY, memoryview(b'\6')),
    ]
    assert join(encode_parts(RESULT, 5, 0, [b'PA', b'?'], buffers, [14, 19])) == golden
    assert plain(decode(golden)) == [(RESULT, 5, 0, (14, 19), b'PA?', [b'\1\2\3', b'\4\5', b'\6'])]


def test_small_buffers_arrive_as_their_kind_says() -> None:
    views = [(kind, memoryview(b'xyz')) for kind in (PLAIN, BYTES, BYTEARRAY)]
    (frame,) = decode(join(encode_parts(CALL, 1, 0, [b''], views, [])))
    first, second, third = frame.buffers
    assert not memoryview(first).readonly
    assert (type(second), type(third)) == (bytes, bytearray)


# ---------------------------------------------------------------------------------------- encoding


def test_encode_parts_copies_no_large_buffer_and_no_large_payload() -> None:
    payload, data = bytes(READ_SIZE + 1), bytearray(READ_SIZE)
    view = memoryview(data)
    parts = encode_parts(CALL, 1, 0, [payload], [(PLAIN, view)], [])
    assert len(parts) == 3
    assert parts[1] is payload
    assert parts[2] is view
    chunks = [b'a' * 10, bytes(READ_SIZE)]
    assert encode_parts(CALL, 1, 0, chunks, [], [])[1:] == chunks


def test_encode_parts_joins_a_small_payload_with_the_header() -> None:
    assert encode_parts(CALL, 1, 2, [b'abc'], [], []) == [encode(CALL, 1, 2, b'abc')]


# ---------------------------------------------------------------------------------------- decoding


@given(st.lists(messages, max_size=4), chunkings)
def test_any_split_of_the_bytes_gives_the_same_frames(
    sent: list[Message], chunk_sizes: list[int]
) -> None:
    data = b''.join(map(encode_message, sent))
    assert plain(decode(data, chunk_sizes)) == [expected(message) for message in sent]


@given(st.lists(messages.map(encode_message).filter(lambda data: len(data) < 500), max_size=3))
def test_byte_at_a_time(sent: list[bytes]) -> None:
    data = b''.join(sent)
    assert plain(decode(data, [1])) == plain(decode(data))


@given(messages.map(encode_message), st.data())
def test_no_frame_before_its_last_byte(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data) - 1))
    decoder = FrameDecoder(Memory().allocate, LIMIT)
    assert feed(decoder, data[:cut]) == []
    assert len(feed(decoder, data[cut:])) == 1


@pytest.mark.parametrize('extra', [-1, 0, 1])
def test_largest_frame_of_one_read(extra: int) -> None:
    payload = bytes(READ_SIZE - HEADER_SIZE + extra)
    memory = Memory()
    decoder = FrameDecoder(memory.allocate, None)
    data = encode(CALL, 1, 0, payload) + encode(CALL, 2, 0, b'next')
    assert [frame.id for frame in feed(decoder, data)] == [1, 2]
    assert bool(memory.given) == (extra > 0)


def test_large_frame_goes_straight_into_memory_of_its_own() -> None:
    memory = Memory()
    decoder = FrameDecoder(memory.allocate, None)
    data = bytes(range(256)) * 1024
    head, *rest = encode_parts(CALL, 1, 0, [b'payload'], [(BYTES, memoryview(data))], [])
    assert feed(decoder, bytes(head)) == []
    assert memory.given == [(BYTES, len(b'payload')), (BYTES, len(data))]
    assert len(decoder.buffer) == len(data)  # one read can take it all
    (frame,) = feed(decoder, join(rest))
    assert len(decoder.buffer) == SMALL_READ_SIZE
    assert frame.buffers == [data]


def test_read_buffer_grows_when_more_comes_and_shrinks_when_told() -> None:
    decoder = FrameDecoder(Memory().allocate, None)
    frames = [encode(CALL, i, 0, b'x' * 300) for i in range(20)]
    assert len(decoder.buffer) == SMALL_READ_SIZE
    decoder.buffer[:] = b''.join(frames)[:SMALL_READ_SIZE]
    assert [frame.id for frame in decoder.received(SMALL_READ_SIZE)] == [0]
    between = [decoder.is_between_frames]
    assert len(decoder.buffer) > READ_SIZE - SMALL_READ_SIZE
    rest = b''.join(frames)[SMALL_READ_SIZE:]
    decoder.buffer[: len(rest)] = rest
    assert [frame.id for frame in decoder.received(len(rest))] == list(range(1, 20))
    assert [*between, decoder.is_between_frames] == [False, True]
    assert len(decoder.buffer) == READ_SIZE
    decoder.shrink()
    assert len(decoder.buffer) == SMALL_READ_SIZE
    assert [frame.id for frame in feed(decoder, frames[7] + frames[8])] == [7, 8]


def test_large_frame_of_tables_only() -> None:
    count = READ_SIZE // 8
    empty = [(PLAIN, memoryview(b''))] * 2
    (frame,) = decode(join(encode_parts(CALL, 1, 0, [], empty, range(count))))
    assert (frame.refs, plain([frame])[0][4:]) == (tuple(range(count)), (b'', [b'', b'']))


# ------------------------------------------------------------------------------ hostile and broken


garbage = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda kind, buffers, refs, size, tail: (
            HEADER.pack(kind, buffers, refs, size, 1, 0) + struct.pack(f'<{len(tail)}Q', *tail)
        ),
        st.integers(0, 13),
        st.sampled_from([0, 0, 1, 2, 2**32 - 1]),
        st.sampled_from([0, 0, 1, 2, 2**32 - 1]),
        st.one_of(st.integers(0, 100), st.integers(0, LIMIT), U64),
        st.lists(st.one_of(st.integers(0, 100), U64), max_size=12),
    ),
)


@given(st.lists(garbage, min_size=1, max_size=3).map(b''.join), chunkings, st.booleans())
def test_garbage_raises_only_protocol_errors(
    data: bytes, chunk_sizes: list[int], limited: bool
) -> None:
    def allocate(kind: int, size: int) -> tuple[Any, memoryview]:
        given.append(size)
        # As every allocator does in some way; the link knows what to do about it.
        return Memory().allocate(kind, size) if size <= LIMIT else no_memory(size)

    def no_memory(size: int) -> Any:
        assert not limited
        assert size <= sys.maxsize  # more would be another error
        raise MemoryError

    given: list[int] = []
    decoder = FrameDecoder(allocate, LIMIT if limited else None)
    try:
        feed(decoder, data, chunk_sizes)
    except ProtocolError:
        pass
    except MemoryError:
        assert not limited
    if limited:
        assert sum(given) <= LIMIT * (1 + len(data) // HEADER_SIZE)


def test_sizes_are_checked_before_allocating() -> None:
    memory = Memory()
    decoder = FrameDecoder(memory.allocate, LIMIT)
    with pytest.raises(ProtocolError) as caught:
        feed(decoder, HEADER.pack(CALL, 0, 0, LIMIT + 1, 1, 0))
    assert str(caught.value) == (
        'the peer announced a message of 1048577 bytes, the limit is 1048576 '
        '(option max_frame_size)'
    )
    assert memory.given == []


def test_frame_at_the_limit_is_accepted() -> None:
    assert len(decode(encode(CALL, 1, 0, bytes(LIMIT)))) == 1


def test_size_that_no_memory_can_have_is_refused_without_a_limit_too() -> None:
    memory = Memory()
    with pytest.raises(ProtocolError):
        feed(FrameDecoder(memory.allocate, None), HEADER.pack(CALL, 0, 0, sys.maxsize + 1, 1, 0))
    assert memory.given == []


@pytest.mark.parametrize('kind', [0, 13, 255])
@pytest.mark.parametrize('tables', [b'', bytes(8)])
@pytest.mark.parametrize('chunk', [0, HEADER_SIZE, 1])
def test_unknown_kind(kind: int, tables: bytes, chunk: int) -> None:
    data = HEADER.pack(kind, len(tables) // 8, 0, len(tables) + 1, 1, 0) + tables + b'x'
    with pytest.raises(ProtocolError, match=f'unknown kind {kind}'):
        decode(data, [chunk])


def test_unknown_kind_behind_a_good_frame() -> None:
    with pytest.raises(ProtocolError, match='unknown kind 77'):
        decode(encode(CALL, 1, 0, b'good') + HEADER.pack(77, 0, 0, 0, 0, 0))


@pytest.mark.parametrize('chunk', [0, HEADER_SIZE])
@pytest.mark.parametrize('size', [15, READ_SIZE])
def test_tables_longer_than_the_frame(size: int, chunk: int) -> None:
    entries = size // 8 + 1
    data = HEADER.pack(CALL, 1, entries - 1, size, 1, 0) + bytes(size)
    with pytest.raises(ProtocolError, match='tables are longer than itself'):
        decode(data, [chunk])


@pytest.mark.parametrize('size', [20, READ_SIZE])
def test_buffers_longer_than_the_frame(size: int) -> None:
    memory = Memory()
    decoder = FrameDecoder(memory.allocate, LIMIT)
    tables = struct.pack('<2Q', (size - 16) << 2, 1 << 2)
    data = HEADER.pack(CALL, 2, 0, size, 1, 0) + tables + bytes(size - 16)
    with pytest.raises(ProtocolError, match='buffers are longer than itself'):
        feed(decoder, data)
    assert memory.given == []
