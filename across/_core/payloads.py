"""Payloads and the objects that they refer to, between the wire and the values.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

import struct

from .errors import OperationError, sentence
from .interrupts import came_from_handler
from .threads.cache import service_threads
from .values import cpickle as pickle
from .values.pickling import Packed, Pickling
from .values.refs import OWNED
from .wire.frames import Frame

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Sequence

    from .link import Link


class Payloads:
    """Packs and unpacks for one link, and keeps count of what is referred to."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.exports = link.exports
        self.pickling = Pickling(link)

    def give_back(self, frame: Frame, taken: dict[int, int]) -> None:
        """Once a frame is unpacked: release what no proxy took, and unpin what is ours.

        Args:
            taken: How many references to which of the peer's objects proxies took; is used up.
        """
        for ref in frame.refs:
            if ref & OWNED:
                continue
            if taken.get(ref >> 1):
                taken[ref >> 1] -= 1
            else:
                self._link.dropped((ref >> 1, 1))
        self.drop(self.exports.release([(ref >> 1, 1) for ref in frame.refs if ref & OWNED]))

    def give_back_unread(self, frame: Frame) -> None:
        if frame.refs:
            self.give_back(frame, {})

    def undo_exports(self, ref_ids: Sequence[int]) -> None:
        """Take back references of what could not be pickled."""
        if ref_ids:
            self.drop(self.exports.release([(ref_id, 1) for ref_id in ref_ids]))

    def drop_exports(self, ref_ids: Sequence[int]) -> None:
        """Take back references that were never sent."""
        if ref_ids:
            self.release([(ref_id, 1) for ref_id in ref_ids])

    def release_all(self, payload: Any) -> None:
        """Take back what a release of the peer lists."""
        if len(payload) % 16:
            self._link.fail('the peer sent a release that makes no sense')
            return
        numbers = struct.unpack(f'<{len(payload) // 8}Q', payload)
        self.release(zip(numbers[::2], numbers[1::2]))

    def release(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take back references that the peer does not have any more: ids, each with a count."""
        objects = self.exports.release(pairs)
        if objects and self._link.streams is not None:
            self._link.streams.lose(objects)
        self.drop(objects)

    def take_back(self, packed: bytes | Packed) -> None:
        """Take back the references in what will not be sent; a second time does nothing."""
        if not isinstance(packed, bytes):
            exported, packed.exported = packed.exported, []
            self.drop_exports(exported)

    def drop(self, objects: list[Any]) -> None:
        """Drop objects in a service thread: their finalizers are user code."""
        if objects:
            service_threads.run(objects.clear)

    def unpack(self, frame: Frame) -> Any:
        """Unpickle a payload; what goes wrong is an OperationError."""
        try:
            if not frame.refs:
                return pickle.loads(frame.payload, buffers=frame.buffers)
            return self.pickling.loads(frame)
        except OperationError:
            raise
        except Exception as exc:
            if came_from_handler(exc):
                raise
            raise self._cannot_unpack(exc) from exc

    def _cannot_unpack(self, exc: Exception) -> OperationError:
        here = self._link.here
        if isinstance(exc, ModuleNotFoundError):
            top = (exc.name or '').partition('.')[0]
            return OperationError(
                f'{here} has no module {exc.name!r}; make it importable there with '
                f'conn.export({top!r})'
            )
        return OperationError(f'{here} cannot unpickle what it received: {sentence(exc)}')

    def check_size(self, packed: bytes | Packed, what: str) -> None:
        """Refuse what is larger than the peer accepts.

        Args:
            what: Begins the message: "result takes".
        """
        link = self._link
        size = len(packed) if isinstance(packed, bytes) else packed.size
        if size > link.send_limit:
            self.take_back(packed)
            raise OperationError(
                f'the {what} {size} bytes, and {link.peer_name} accepts messages of up to '
                f'{link.send_limit} bytes (option max_frame_size over there)'
            )

    def pack_failure(self, exc: BaseException) -> Packed:
        from .values.faults import pack_fault

        here = f'{self._link.info.host}, process {self._link.info.pid}'

        def pack(dumps: Callable[[Any], bytes]) -> Any:
            return pack_fault(exc, here=here, dumps=dumps)

        return self.pickling.dumps_parts(pack, 'the exception')

    def unpack_failure(self, frame: Frame) -> BaseException:
        from .values.faults import unpack_fault

        exc: BaseException = self.pickling.loads(
            frame, lambda data: unpack_fault(data, loads=pickle.loads)
        )
        return exc
