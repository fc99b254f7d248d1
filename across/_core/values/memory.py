"""Memory that received data goes to directly, without a copy in between.

Layer: values.
"""

from __future__ import annotations

import mmap

from ..wire.frames import BYTEARRAY, BYTES
from . import cpickle as pickle

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any

# From this size on, memory comes in huge pages where the system has them: half the page faults.
HUGE = 4 << 20
_OPCODES = {BYTES: b'\x8e', BYTEARRAY: b'\x96'}  # BINBYTES8 and BYTEARRAY8, see `pickletools`


class _Hole:
    """A pickle of one ``bytes`` or ``bytearray`` whose content comes later.

    An unpickler that loads a large one makes the object first, uninitialized, and has the file's
    ``readinto`` fill it (documented for :class:`pickle.Unpickler` since Python 3.8). This one
    keeps the view instead, so that the bytes can be received straight into the object. Nobody
    sees the object before they are.
    """

    def __init__(self, kind: int, size: int) -> None:
        self._head = _OPCODES[kind] + size.to_bytes(8, 'little')
        self.view = memoryview(b'')

    def read(self, size: int) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        return head or b'.'

    def readline(self) -> bytes:
        raise NotImplementedError  # wanted by the unpickler, never called for these opcodes

    def readinto(self, view: memoryview) -> int:
        self.view = view
        return len(view)


def allocate(kind: int, size: int) -> tuple[Any, memoryview]:
    """Make memory for received bytes.

    Args:
        kind: What to make: one of the constants of :mod:`.wire.frames`.
        size: In bytes.

    Returns:
        The object, and a writable view of its bytes; the view is valid as long as the object lives.

    Raises:
        MemoryError: There is not enough.
    """
    if kind in _OPCODES:
        if size == 0:
            return (b'' if kind == BYTES else bytearray()), memoryview(b'')
        hole = _Hole(kind, size)
        return pickle.Unpickler(hole).load(), hole.view
    if size >= HUGE:
        try:
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as exc:
            raise MemoryError(str(exc)) from exc
        if hasattr(mmap, 'MADV_HUGEPAGE'):
            try:
                memory.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                pass  # a kernel without them
        return memory, memoryview(memory)
    data = bytearray(size)
    return data, memoryview(data)
