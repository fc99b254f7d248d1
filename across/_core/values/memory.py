"""Memory that received data goes to directly, without a copy in between.

Layer: values.
"""

from __future__ import annotations

import mmap

from ..wire.frames import BYTEARRAY, BYTES, PLAIN
from . import cpickle as pickle

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any

# From this size on (bytes), memory comes in huge pages where the system has them: fewer faults.
HUGE = 4 << 20
# What is no `bytes` is a `bytearray`; BINBYTES8 and BYTEARRAY8, see `pickletools`.
_OPCODES = {PLAIN: b'\x96', BYTES: b'\x8e', BYTEARRAY: b'\x96'}


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
    if size == 0:
        return (b'' if kind == BYTES else bytearray()), memoryview(b'')
    hole = _Hole(kind, size)
    made = pickle.Unpickler(hole).load()
    if size >= HUGE:
        _advise_huge_pages(hole.view)
    return made, hole.view


def _advise_huge_pages(view: memoryview) -> None:
    """Ask the system for huge pages, where it leaves that to the program; see madvise(2).

    Advice only: what the memory holds stays as it is.
    """
    advice = getattr(mmap, 'MADV_HUGEPAGE', None)
    if advice is None:
        return
    try:
        import ctypes

        madvise = ctypes.CDLL(None).madvise
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
    except (ImportError, AttributeError, OSError, MemoryError):
        return  # a Python without ctypes, or a system that forbids it
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (address + len(view) - start) // mmap.PAGESIZE * mmap.PAGESIZE
    madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), advice)
