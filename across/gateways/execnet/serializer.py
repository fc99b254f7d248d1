"""Plain values to bytes, and back: the builtin types and nothing else.

Reading never runs code, whatever the bytes are. The format is this library's own; what execnet
itself has written can't be read. A value is one letter and what belongs to it::

    N T F          None, True, False
    i j            integer: in 8 bytes; as a count of bytes and these
    d c            float; complex, as two of them
    b s            bytes and str: a count of bytes and these, str in UTF-8
    l t S Z        list, tuple, set, frozenset: a count and the items
    m              dict: a count, then keys and values in turns

Counts have 4 bytes; all numbers are big-endian, as Python's struct module writes them.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, BinaryIO, Callable

__all__ = ['DataFormatError', 'DumpError', 'LoadError', 'check', 'dump', 'dumps', 'load', 'loads']

_MAGIC = b'AX1'
# Far below what the interpreter's own recursion can take, with three calls for a level.
_DEEPEST = 250
_COUNT = struct.Struct('>I')
_INTEGER = struct.Struct('>q')
_FLOAT = struct.Struct('>d')
_CONSTANTS = {None: b'N', True: b'T', False: b'F'}
_COLLECTIONS: dict[type, bytes] = {list: b'l', tuple: b't', set: b'S', frozenset: b'Z'}
_SCALARS = frozenset({type(None), bool, int, float, complex, bytes, str})


class DataFormatError(Exception):
    """A value can't be turned into bytes, or bytes into a value."""


class DumpError(DataFormatError):
    """A value is, or holds, something else than the plain builtin types."""


class LoadError(DataFormatError):
    """The bytes are no value."""


def check(value: Any, *others: type) -> None:
    """Make sure that a value consists of plain builtin types.

    Args:
        *others: Types that are allowed besides; instances of subclasses, too.

    Raises:
        DumpError: It does not, or is nested too deeply.
    """
    _check(value, others, 0)


def _check(value: Any, others: tuple[type, ...], depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if depth > _DEEPEST:
        raise DumpError(f'the value is nested more than {_DEEPEST} levels deep, or contains itself')
    if kind in _COLLECTIONS:
        for item in value:
            _check(item, others, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            _check(key, others, depth + 1)
            _check(item, others, depth + 1)
    elif not others or not isinstance(value, others):
        raise DumpError(
            f"can't dump {kind.__module__}.{kind.__qualname__}: only None, bool, int, float, "
            'complex, bytes, str, list, tuple, dict, set and frozenset can be sent'
        )


def dumps(obj: Any) -> bytes:
    """Turn a value into bytes.

    Raises:
        DumpError: It is, or holds, something else than the plain builtin types.
    """
    check(obj)
    chunks = [_MAGIC]
    _save(obj, chunks.append)
    return b''.join(chunks)


def dump(byteio: BinaryIO, obj: Any) -> None:
    """Write a value to a file; see :func:`dumps`."""
    byteio.write(dumps(obj))


def _save(value: Any, write: Callable[[bytes], None]) -> None:
    kind = type(value)
    if value is None or kind is bool:
        write(_CONSTANTS[value])
    elif kind is int:
        _save_integer(value, write)
    elif kind is float:
        write(b'd' + _FLOAT.pack(value))
    elif kind is complex:
        write(b'c' + _FLOAT.pack(value.real) + _FLOAT.pack(value.imag))
    elif kind is bytes:
        _save_bytes(b'b', value, write)
    elif kind is str:
        # Half surrogates are not valid in UTF-8, and valid in a Python string.
        _save_bytes(b's', value.encode('utf-8', 'surrogatepass'), write)
    elif kind is dict:
        write(b'm' + _count(value))
        for key, item in value.items():
            _save(key, write)
            _save(item, write)
    else:
        write(_COLLECTIONS[kind] + _count(value))
        for item in value:
            _save(item, write)


def _save_integer(value: int, write: Callable[[bytes], None]) -> None:
    if -(1 << 63) <= value < 1 << 63:
        write(b'i' + _INTEGER.pack(value))
    else:
        _save_bytes(b'j', value.to_bytes(value.bit_length() // 8 + 1, 'big', signed=True), write)


def _save_bytes(letter: bytes, value: bytes, write: Callable[[bytes], None]) -> None:
    write(letter + _count(value))
    write(value)


def _count(value: Any) -> bytes:
    try:
        return _COUNT.pack(len(value))
    except struct.error:
        raise DumpError(f"can't dump a {type(value).__name__} of {len(value)} items") from None


def loads(bytestring: bytes, py2str_as_py3str: bool = False, py3str_as_py2str: bool = False) -> Any:
    """Turn bytes that :func:`dumps` has made into the value.

    Args:
        py2str_as_py3str: Changes nothing, like the other: they are about strings of Python 2.

    Raises:
        LoadError: The bytes are something else.
    """
    if not isinstance(bytestring, (bytes, bytearray, memoryview)):
        raise LoadError(f'expected bytes, not {type(bytestring).__name__}')
    file = BytesIO(bytestring)
    value = load(file)
    if file.read(1):
        raise LoadError('there are bytes behind the value')
    return value


def load(io: BinaryIO, py2str_as_py3str: bool = False, py3str_as_py2str: bool = False) -> Any:
    """Read a value from a file; see :func:`loads`."""
    if io.read(len(_MAGIC)) != _MAGIC:
        raise LoadError('the bytes do not begin as those of dumps() do')
    return _Loader(io).load(0)


class _Loader:
    """Reads one value; never sets memory aside for what is not there."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def load(self, depth: int) -> Any:
        letter = self._read(1)
        if letter in _FIXED:
            return _FIXED[letter]
        reader = _READERS.get(letter)
        if reader is not None:
            return reader(self)
        if depth > _DEEPEST:
            raise LoadError(f'the value is nested more than {_DEEPEST} levels deep')
        make = _MAKERS.get(letter)
        if make is None:
            raise LoadError(f'no value begins with {letter!r}')
        count = self._read_count() * (2 if make is dict else 1)
        items = [self.load(depth + 1) for _ in range(count)]
        try:
            return dict(zip(items[::2], items[1::2])) if make is dict else make(items)
        except TypeError as exc:  # a list among the items of a set
            raise LoadError(f'there is no such {make.__name__}: {exc}') from None

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise LoadError('the bytes end in the middle of a value')
        return data

    def _read_count(self) -> int:
        count: int = _COUNT.unpack(self._read(4))[0]
        return count

    def read_integer(self) -> int:
        value: int = _INTEGER.unpack(self._read(8))[0]
        return value

    def read_large_integer(self) -> int:
        return int.from_bytes(self.read_bytes(), 'big', signed=True)

    def read_float(self) -> float:
        value: float = _FLOAT.unpack(self._read(8))[0]
        return value

    def read_complex(self) -> complex:
        return complex(self.read_float(), self.read_float())

    def read_bytes(self) -> bytes:
        return self._read(self._read_count())

    def read_string(self) -> str:
        try:
            return self.read_bytes().decode('utf-8', 'surrogatepass')
        except UnicodeDecodeError as exc:
            raise LoadError(f'the text is not UTF-8: {exc}') from None


_FIXED = {letter: value for value, letter in _CONSTANTS.items()}
_READERS: dict[bytes, Callable[[_Loader], Any]] = {
    b'i': _Loader.read_integer,
    b'j': _Loader.read_large_integer,
    b'd': _Loader.read_float,
    b'c': _Loader.read_complex,
    b'b': _Loader.read_bytes,
    b's': _Loader.read_string,
}
_MAKERS: dict[bytes, type] = {b'm': dict, **{v: k for k, v in _COLLECTIONS.items()}}
