"""Memory that bytes are received into."""

from __future__ import annotations

import mmap
from typing import Any

import pytest

from across._core.values import memory
from across._core.values.memory import HUGE, allocate
from across._core.wire.frames import BYTEARRAY, BYTES, PLAIN

TYPES: dict[int, Any] = {PLAIN: bytearray, BYTES: bytes, BYTEARRAY: bytearray}


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
def test_huge_memory(kind: int) -> None:
    made, view = allocate(kind, HUGE)
    assert isinstance(made, mmap.mmap if kind == PLAIN else TYPES[kind])
    view[:2] = b'ab'
    view[-2:] = b'yz'
    assert bytes(made[:3]) == b'ab\0' if kind == PLAIN else made[:2] == b'ab'
    assert made[-2:] == b'yz'


@pytest.mark.parametrize('kind', [PLAIN, BYTES, BYTEARRAY])
def test_more_memory_than_there_is(kind: int) -> None:
    with pytest.raises(MemoryError):
        allocate(kind, 1 << 62)


class Map:
    """A mapping whose kernel has no huge pages."""

    def __init__(self, fileno: int, size: int) -> None:
        self.data = bytearray(size)
        self.advised = False

    def madvise(self, option: int) -> None:
        self.advised = True
        raise OSError(22, 'Invalid argument')


@pytest.mark.parametrize('known', [False, True])
def test_systems_without_huge_pages(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Module:
        MAP_PRIVATE, MAP_ANONYMOUS = mmap.MAP_PRIVATE, mmap.MAP_ANONYMOUS

        def mmap(self, fileno: int, size: int, *, flags: int) -> Any:
            assert flags == mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # shared memory has no huge pages
            made.append(Map(fileno, size))
            return made[0]

    module: Any = Module()
    if known:
        module.MADV_HUGEPAGE = 14
    monkeypatch.setattr(memory, 'mmap', module)
    monkeypatch.setattr(memory, 'memoryview', lambda made: memoryview(made.data), raising=False)
    found, view = allocate(PLAIN, HUGE)
    assert found is made[0]
    assert found.advised == known
    assert view.nbytes == HUGE
