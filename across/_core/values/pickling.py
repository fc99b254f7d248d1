"""Values to payloads, and back.

Most values go through the plain C pickler. What it can't do (lambdas, closures), or must not do
(what is defined in ``__main__`` goes by value), is left to :mod:`.byvalue`. Large buffers go out
of band (PEP 574): neither side copies them.

Layer: values.
"""

from __future__ import annotations

import pickle
from typing import Any, Callable, Sequence

from ..errors import OperationError
from ..threads.context import context
from ..wire.frames import BYTEARRAY, BYTES, PLAIN, Frame
from .refs import Session

# Buffers of this size and more go out of band. The C pickler uses the same limit (its
# FRAME_SIZE_TARGET) when it hands a large bytes object to its file as it is.
LARGE = 1 << 16

_NEXT_BUFFER = b'\x97'
_LARGE_HEADERS = {bytes: (b'\x8e', b'B'), bytearray: (b'\x96', None)}  # 8-byte and 4-byte sizes
_KINDS = {bytes: BYTES, bytearray: BYTEARRAY}


def _same(value: Any) -> Any:
    return value


class Packed:
    """A pickled value, ready to be laid out in a frame."""

    __slots__ = ('buffers', 'exported', 'payload', 'refs')

    def __init__(
        self, payload: list[Any], buffers: list[tuple[int, memoryview]], session: Session
    ) -> None:
        self.payload = payload
        self.buffers = buffers
        self.refs = session.header_refs() if session.exported or session.owned else []
        #: Ids of our objects among the refs, to be dropped if the frame is never sent.
        self.exported = session.exported


class _File:
    """All that a pickler wants of a file."""

    __slots__ = ('write',)

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.write = write


class Pickling:
    """Pickles and unpickles for one connection.

    Args:
        connection: What :class:`.refs.Session` and the proxies know as their connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        #: Modules that go by reference although the plain rule would not let them: ``__main__``.
        self.by_reference: set[str] = set()

    def dumps(self, value: Any, root: str) -> Packed:
        """Pickle a value.

        Args:
            root: What it is, for messages: "the result of f()".

        Raises:
            OperationError: It can't be pickled; the message says which part of it.
        """
        session = Session(self._connection)
        outer, context.session = context.session, session
        try:
            chunks = self._pickle(value, root)
        except BaseException:
            self._connection.drop_exports(session.exported)
            raise
        finally:
            context.session = outer
        if len(chunks) == 1:
            return Packed(chunks, [], session)
        payload, buffers = _split(chunks)
        return Packed(payload, buffers, session)

    def dumps_parts(self, pack: Callable[[Callable[[Any], bytes]], Any], root: str) -> Packed:
        """Pickle what ``pack(dumps)`` makes of values that it pickles one by one with ``dumps``."""
        session = Session(self._connection)

        def dumps(value: Any) -> bytes:
            return b''.join(self._pickle(value, root))

        outer, context.session = context.session, session
        try:
            return Packed([pickle.dumps(pack(dumps), 5)], [], session)
        except BaseException:
            self._connection.drop_exports(session.exported)
            raise
        finally:
            context.session = outer

    def _pickle(self, value: Any, root: str) -> list[Any]:
        chunks: list[Any] = []
        exported, owned = len(context.session.exported), len(context.session.owned)
        try:
            pickle.Pickler(_File(chunks.append), 5, buffer_callback=_Collector(chunks)).dump(value)
            if '__main__' in self.by_reference or not _mentions_main(chunks):
                return chunks
        except (OperationError, MemoryError):
            raise
        except Exception:
            pass  # a closure, a lock …: the next pickler knows, or says what is wrong
        session = context.session
        self._connection.drop_exports(session.exported[exported:])
        del session.exported[exported:], session.owned[owned:]
        return self._pickle_by_value(value, root)

    def _pickle_by_value(self, value: Any, root: str) -> list[Any]:
        from .byvalue import by_value_pickler

        chunks: list[Any] = []
        connection = self._connection
        pickler = by_value_pickler(
            _File(chunks.append),
            _Collector(chunks),
            same_python=connection.same_python,
            peer=connection.peer_name,
            by_reference=self.by_reference,
        )
        try:
            pickler.dump(value)
        except (OperationError, MemoryError):
            raise
        except Exception as exc:
            raise OperationError(self._explain(value, root, exc)) from exc
        return chunks

    def _explain(self, value: Any, root: str, exc: Exception) -> str:
        from .byvalue import by_value_pickler, explain_unpicklable

        connection = self._connection

        def can_pickle(part: object) -> bool:
            try:
                by_value_pickler(
                    _File(_ignore),
                    _ignore,
                    same_python=connection.same_python,
                    peer=connection.peer_name,
                    by_reference=self.by_reference,
                ).dump(part)
            except Exception:
                return False
            return True

        found = explain_unpicklable(value, can_pickle, root)
        return f'{found or f"cannot pickle {root}"} ({type(exc).__name__}: {exc})'

    def loads(self, frame: Frame, finish: Callable[[Any], Any] = _same) -> Any:
        """Unpickle a frame's payload.

        Every reference that the frame lists is either taken by a proxy or given back to its owner.

        Args:
            finish: Called with the value; may unpickle parts of it. Its result is returned.
        """
        if not frame.refs:
            return finish(pickle.loads(frame.payload, buffers=frame.buffers))
        session = Session(self._connection)
        outer, context.session = context.session, session
        try:
            return finish(pickle.loads(frame.payload, buffers=frame.buffers))
        finally:
            context.session = outer
            self._connection.give_back(frame, session.taken)


def _ignore(_: Any) -> None:
    return None


class _Collector:
    """The pickler's buffer callback: large buffers leave the stream, small ones stay in it."""

    __slots__ = ('_chunks',)

    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = chunks

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: pickle copies it
            return True
        if raw.nbytes < LARGE:
            return True
        self._chunks.append(buffer)
        return False


def _mentions_main(chunks: list[Any]) -> bool:
    return any(type(chunk) is bytes and len(chunk) < 4 * LARGE and b'__main__' in chunk for chunk in chunks)


def _split(chunks: Sequence[Any]) -> tuple[list[Any], list[tuple[int, memoryview]]]:
    """Tell the payload from the buffers, in what a pickler wrote.

    A large bytes object or bytearray comes as a chunk of its own, behind one that ends with the
    opcode and the size (outside of any pickle frame). In its place goes the opcode that takes the
    next buffer; the unpickler then finds an object that was received as it is.
    """
    payload: list[Any] = []
    buffers: list[tuple[int, memoryview]] = []
    for chunk in chunks:
        kind = type(chunk)
        if kind is pickle.PickleBuffer:
            buffers.append((PLAIN, chunk.raw()))
        elif kind in _KINDS and len(chunk) >= LARGE and _replace_header(payload, chunk):
            buffers.append((_KINDS[kind], memoryview(chunk)))
        elif kind is memoryview:
            payload.append(bytes(chunk))  # of a str, and only valid while the pickler lives
        else:
            payload.append(chunk)
    return payload, buffers


def _replace_header(payload: list[Any], chunk: Any) -> bool:
    if not payload:
        return False
    last = payload[-1]
    long, short = _LARGE_HEADERS[type(chunk)]
    size = len(chunk)
    if last.endswith(long + size.to_bytes(8, 'little')):
        payload[-1] = last[:-9] + _NEXT_BUFFER
    elif short and size < 1 << 32 and last.endswith(short + size.to_bytes(4, 'little')):
        payload[-1] = last[:-5] + _NEXT_BUFFER
    else:
        return False
    return True
