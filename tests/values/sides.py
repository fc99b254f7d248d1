"""The two sides of a connection without anything in between: what one packs, the other unpacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from across._core.payloads import Payloads
from across._core.values.memory import allocate
from across._core.values.refs import OWNED, ExportTable, ImportTable
from across._core.wire.frames import CALL, Frame, FrameDecoder, encode, encode_parts

if TYPE_CHECKING:
    from across._core.values.pickling import Packed


class Side:
    """What pickling and proxies see of a link."""

    same_python = True
    peer_name = 'looking-glass (CPython 3.11.7)'

    owner = None  # no connection keeps it alive
    streams = None

    def __init__(self) -> None:
        self.exports = ExportTable()
        self.imports = ImportTable()
        self.dropped = self.imports.dropped.append
        link: Any = self
        self.payloads = Payloads(link)
        self.drop_exports = self.payloads.drop_exports
        self.give_back = self.payloads.give_back
        self.pickling = self.payloads.pickling

    def dumps(self, value: Any) -> bytes | Packed:
        return self.pickling.dumps(value, 'the value')

    def pack(self, value: Any) -> bytes:
        """A value as the bytes of a frame."""
        return to_bytes(self.dumps(value))

    def receive(self, data: bytes) -> Frame:
        """Decode and pin, as a reader does."""
        frame = decode(data)
        self.exports.pin(ref >> 1 for ref in frame.refs if ref & OWNED)
        return frame

    def unpack(self, data: bytes) -> Any:
        return self.pickling.loads(self.receive(data))

    def take_releases(self, owner: Side) -> None:
        """Tell the other side what was dropped here."""
        owner.exports.release(self.imports.take_dropped())


def to_bytes(packed: bytes | Packed) -> bytes:
    if isinstance(packed, bytes):
        return encode(CALL, 1, 0, packed)
    parts = encode_parts(CALL, 1, 0, packed.payload, packed.buffers, packed.refs)
    return b''.join(parts)


def decode(data: bytes) -> Frame:
    decoder = FrameDecoder(allocate, None)
    while True:
        count = min(len(decoder.buffer), len(data))
        decoder.buffer[:count] = data[:count]
        data = data[count:]
        frames = decoder.received(count)
        if frames:
            assert not data
            return frames[0]


def transfer(value: Any) -> Any:
    """What arrives when a value is sent."""
    return Side().unpack(Side().pack(value))
