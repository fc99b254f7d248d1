"""Values to payloads, and back.

Most values go through the plain C pickler. What it can't do (lambdas, closures), or must not do
(what is defined in ``__main__`` goes by value), is left to :mod:`.byvalue`. Large buffers go out
of band (PEP 574): neither side copies them.

Layer: values.
"""

from __future__ import annotations

from ..errors import OperationError
from ..interrupts import came_from_handler
from ..threads.context import context
from ..wire.frames import BYTEARRAY, BYTES, PLAIN, Frame
from . import cpickle as pickle
from .refs import OWNED

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

# Buffers of this size and more go out of band. The C pickler uses the same limit (its
# FRAME_SIZE_TARGET) when it hands a large bytes object to its file as it is.
LARGE = 1 << 16

# The memo of a pickler never shrinks, and clearing it takes as long as it is large: after a payload
# of this size (bytes) the pickler is not used again.
_KEEP = 1 << 14

# What to do about that which can't be pickled.
_WAY_OUT = 'across.ref(…) passes a proxy of it'
_WAYS_OUT = {'the result': 'call_ref() leaves it over there, and returns a proxy'}

_NEXT_BUFFER = b'\x97'
_LARGE_HEADERS: dict[type, tuple[bytes, bytes | None]] = {
    bytes: (b'\x8e', b'B'),
    bytearray: (b'\x96', None),
}  # 8-byte and 4-byte sizes
_KINDS: dict[type, int] = {bytes: BYTES, bytearray: BYTEARRAY}


def _same(value: Any) -> Any:
    return value


class Packed:
    """A pickled value with large buffers or references, ready to be laid out in a frame."""

    __slots__ = ('buffers', 'exported', 'payload', 'refs', 'size')

    def __init__(self, session: Packing) -> None:
        """Take all out of a session."""
        self.payload, self.buffers = _split(session.chunks)
        self.refs = [ref_id << 1 for ref_id in session.exported]
        self.refs += [ref_id << 1 | OWNED for ref_id in session.owned]
        #: Ids of our objects among the refs, to be dropped if the frame is never sent.
        self.exported = session.exported
        #: Bytes of all that goes into a frame.
        self.size = sum(map(len, self.payload)) + 8 * (len(self.refs) + len(self.buffers))
        self.size += sum(view.nbytes for _, view in self.buffers)
        session.chunks.clear()
        session.pickler = None  # the two refer to each other
        session.exported, session.owned = [], []  # last: until here the session has to drop them


class Packing:
    """The session of what is being pickled: the pickler's file, its buffer callback, and the refs.

    Used again and again, as making a pickler takes longer than pickling a small call.
    """

    __slots__ = (
        'chunks', 'connection', 'earlier', 'exported', 'in_band', 'owned', 'pickler', 'write',
    )  # fmt: skip

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.chunks: list[Any] = []
        self.write = self.chunks.append
        self.exported: list[int] = []  # ids of our objects
        self.owned: list[int] = []  # ids of the peer's objects
        self.earlier = 0, 0  # how many of both belong to values that were pickled before
        self.in_band = False  # whether large buffers stay in the stream, too
        self.pickler: Any = pickle.Pickler(self, 5, buffer_callback=self.keep_in_band)

    def keep_in_band(self, buffer: pickle.PickleBuffer) -> bool:
        """The pickler's buffer callback: large buffers leave the stream, small ones stay in it."""
        # raw() works for all that come here: the pickler refuses what is not contiguous.
        if buffer.raw().nbytes < LARGE or self.in_band:
            return True
        self.chunks.append(buffer)
        return False

    def mentions_main(self) -> bool:
        """Whether what was pickled may name something of ``__main__``: a look at the bytes."""
        for chunk in self.chunks:
            # What is large came as it is, and is data: the pickler's own chunks are of twice LARGE
            # at most.
            if type(chunk) is bytes and len(chunk) < 4 * LARGE and b'__main__' in chunk:
                return True
        return False

    def undo(self) -> None:
        """Forget the value that was pickled last."""
        exported, owned = self.earlier
        self.connection.drop_exports(self.exported[exported:])
        del self.exported[exported:], self.owned[owned:]
        self.chunks.clear()

    def discard(self) -> None:
        """Forget all; the pickler may be in any state, and must not keep objects alive."""
        exported, self.exported = self.exported, []
        self.connection.drop_exports(exported)
        self.pickler = None


class Unpacking:
    """The session of what is being unpickled."""

    __slots__ = ('connection', 'taken')

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.taken: dict[int, int] = {}  # ids of the peer's objects, how often a proxy took them


class Pickling:
    """Pickles and unpickles for one connection.

    Args:
        connection: The link, which proxies know as their connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._idle: list[Packing] = []  # append and pop are atomic
        #: Modules that go by reference although the plain rule would not let them: ``__main__``.
        self.by_reference: set[str] = set()

    def dumps(self, value: Any, root: str) -> bytes | Packed:
        """Pickle a value.

        Args:
            root: What it is, for messages: "the result of f()".

        Returns:
            The payload, where there is nothing else to it.

        Raises:
            OperationError: It can't be pickled; the message says which part of it.
        """
        try:
            session = self._idle.pop()
        except IndexError:
            session = Packing(self._connection)
        chunks = session.chunks
        thread = context.thread
        outer, thread.session = thread.session, session
        try:
            try:
                if not self._pickle_by_reference(session, value):
                    session.undo()
                    self._pickle_by_value(session, value, root)
            finally:
                thread.session = outer
            if len(chunks) != 1 or session.exported or session.owned:
                return Packed(session)
        except BaseException:  # also Ctrl-C: what it has exported must not stay
            session.discard()
            raise
        payload: bytes = chunks.pop()
        if len(payload) < _KEEP:
            session.pickler.clear_memo()
            self._idle.append(session)
        else:
            session.pickler = None  # the two refer to each other
        return payload

    def dumps_parts(self, pack: Callable[[Callable[[Any], bytes]], Any], root: str) -> Packed:
        """Pickle what ``pack(dumps)`` makes of values that it pickles one by one with ``dumps``."""
        session = Packing(self._connection)

        def dumps(value: Any) -> bytes:
            session.pickler.clear_memo()
            session.earlier = len(session.exported), len(session.owned)
            if not self._pickle_by_reference(session, value):
                session.undo()
                self._pickle_by_value(session, value, root)
            payload = b''.join(session.chunks)
            session.chunks.clear()
            return payload

        session.in_band = True
        thread = context.thread
        outer, thread.session = thread.session, session
        try:
            session.chunks.append(pickle.dumps(pack(dumps), 5))
            return Packed(session)
        finally:
            thread.session = outer
            session.discard()

    def _pickle_by_reference(self, session: Packing, value: Any) -> bool:
        """Pickle with the plain pickler; whether what is in the session's chunks will do."""
        try:
            session.pickler.dump(value)
        except (OperationError, MemoryError):
            raise
        except Exception as exc:
            if came_from_handler(exc):
                raise
            return False  # a closure, a lock …: the next pickler knows, or says what is wrong
        chunks = session.chunks
        if len(chunks) == 1 and b'__main__' not in chunks[0]:
            return True
        return not session.mentions_main() or '__main__' in self.by_reference

    def _pickle_by_value(self, session: Packing, value: Any, root: str) -> None:
        try:
            self._by_value_pickler(session, session.keep_in_band).dump(value)
        except (OperationError, MemoryError):
            raise
        except Exception as exc:
            if came_from_handler(exc):
                raise
            raise OperationError(self._explain(value, root, exc)) from exc

    def _by_value_pickler(self, file: Any, buffer_callback: Callable[[Any], Any]) -> pickle.Pickler:
        from .byvalue import ByValuePickler

        return ByValuePickler(
            file,
            buffer_callback,
            same_python=self._connection.same_python,
            peer=self._connection.peer_name,
            by_reference=self.by_reference,
        )

    def _explain(self, value: Any, root: str, exc: Exception) -> str:
        from .explain import explain_unpicklable

        def can_pickle(part: object) -> bool:
            try:
                self._by_value_pickler(_Nowhere, _ignore).dump(part)
            except Exception:
                return False
            return True

        value, root = _as_written(value, root)
        text = explain_unpicklable(value, can_pickle, root) or f'cannot pickle {root}'
        if not str(exc).startswith('cannot pickle '):  # else it says no more than we do
            text += f' ({type(exc).__name__}: {exc})'
        return f'{text}; {_WAYS_OUT.get(root, _WAY_OUT)}'

    def loads(self, frame: Frame, finish: Callable[[Any], Any] = _same) -> Any:
        """Unpickle a frame's payload.

        Every reference that the frame lists is either taken by a proxy or given back to its owner.

        Args:
            finish: Called with the value; may unpickle parts of it. Its result is returned.
        """
        if not frame.refs:
            return finish(pickle.loads(frame.payload, buffers=frame.buffers))
        session = Unpacking(self._connection)
        thread = context.thread
        outer, thread.session = thread.session, session
        try:
            return finish(pickle.loads(frame.payload, buffers=frame.buffers))
        finally:
            thread.session = outer
            self._connection.give_back(frame, session.taken)


def _ignore(_: Any) -> None:
    return None


class _Nowhere:
    write = staticmethod(_ignore)


def _as_written(value: Any, root: str) -> tuple[Any, str]:
    """The call as its user wrote it, where the name of an operation stands for the function."""
    if type(value) is not tuple or len(value) != 3 or type(value[0]) is not str:
        return value, root
    name, args, _ = value
    if name in ('call_ref', 'iterate'):
        return args, root
    if name == 'method':
        return (getattr, *args[2:]), root
    if name == 'execute':
        return (exec, args[:1], args[1]), root
    return args[0] if args else None, 'the object'


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
