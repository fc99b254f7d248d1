"""Memory that bytes are received into."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Any

import pytest

from across._core.values.memory import HUGE, allocate
from across._core.wire.frames import BYTEARRAY, BYTES, PLAIN
from support.ends import run_script

TYPES: dict[int, Any] = {PLAIN: bytearray, BYTES: bytes, BYTEARRAY: bytearray}
# Beyond what the C library ever takes from its heap, unless something as large was freed there.
FRESH = 40 << 20


@pytest.mark.parametrize('kind', [PLAIN, BYTES, BYTEARRAY])
@pytest.mark.parametrize('size', [1, 255, 256, 65536, 65537, 1 << 20])
def test_object_is_what_is_written_to_its_view(kind: int, size: int) -> None:
    made, view = allocate(kind, size)
    assert type(made) is TYPES[kind]
    assert (len(made), view.nbytes) == (size, size)
    content = bytes(i % 251 for i in range(size))
    view[:] = content
    assert made == content
    assert bytes(view) == content


@pytest.mark.parametrize('kind', [PLAIN, BYTES, BYTEARRAY])
def test_no_bytes(kind: int) -> None:
    made, view = allocate(kind, 0)
    assert type(made) is TYPES[kind]
    assert made == b''
    assert view.nbytes == 0


@pytest.mark.parametrize('kind', [BYTES, BYTEARRAY])
def test_objects_do_not_share_memory(kind: int) -> None:
    first, view = allocate(kind, 100)
    second, other_view = allocate(kind, 100)
    view[:] = b'a' * 100
    other_view[:] = b'b' * 100
    assert (first, second) == (b'a' * 100, b'b' * 100)


def test_bytearray_can_grow_once_the_view_is_gone() -> None:
    made, view = allocate(BYTEARRAY, 70000)
    view[:] = bytes(70000)
    del view
    made += b'more'
    assert len(made) == 70004


@pytest.mark.parametrize('kind', [PLAIN, BYTES, BYTEARRAY])
@pytest.mark.parametrize('size', [HUGE, FRESH])
def test_huge_memory(kind: int, size: int) -> None:
    made, view = allocate(kind, size)
    assert type(made) is TYPES[kind]
    view[:2] = b'ab'
    view[-2:] = b'yz'
    assert (len(made), made[:2], made[-2:]) == (size, b'ab', b'yz')


@pytest.mark.parametrize('kind', [PLAIN, BYTES, BYTEARRAY])
def test_more_memory_than_there_is(kind: int) -> None:
    with pytest.raises(MemoryError):
        allocate(kind, 1 << 62)


def asks_for_huge_pages(view: memoryview) -> bool:
    """What the kernel knows of the mapping in which a view lies: see proc(5), "smaps"."""
    middle = ctypes.addressof(ctypes.c_char.from_buffer(view, len(view) // 2))
    inside = False
    with open('/proc/self/smaps') as file:
        for line in file:
            span = re.match('([0-9a-f]+)-([0-9a-f]+) ', line)
            if span is not None:
                inside = int(span[1], 16) <= middle < int(span[2], 16)
            elif inside and line.startswith('VmFlags:'):
                return 'hg' in line.split()
    raise AssertionError('the kernel knows of no such mapping')


needs_huge_pages = pytest.mark.skipif(
    not os.path.exists('/sys/kernel/mm/transparent_hugepage/enabled'),
    reason='this kernel has no transparent huge pages',
)


@needs_huge_pages
@pytest.mark.parametrize('kind', [PLAIN, BYTES, BYTEARRAY])
def test_large_memory_asks_for_huge_pages(kind: int) -> None:
    _, view = allocate(kind, FRESH)
    assert asks_for_huge_pages(view)


# In a process of its own: the C library may give out memory again that was advised before.
NOBODY_CAN_ASK = f"""
import mmap, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from values.test_memory import BYTES, FRESH, allocate, asks_for_huge_pages

if sys.argv[1] == 'ctypes':
    sys.modules['ctypes'] = None
elif sys.argv[1] == 'advice':
    del mmap.MADV_HUGEPAGE
made, view = allocate(BYTES, FRESH)
print(asks_for_huge_pages(view))
view[-2:] = b'yz'
assert (len(made), made[-2:]) == (FRESH, b'yz')
"""


@needs_huge_pages
@pytest.mark.parametrize(
    ('missing', 'asks'), [('nothing', True), ('ctypes', False), ('advice', False)]
)
def test_systems_where_nobody_can_ask(missing: str, asks: bool) -> None:
    assert run_script(NOBODY_CAN_ASK, missing) == f'{asks}\n'
