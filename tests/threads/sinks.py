"""A transport as an outbox sees it, scripted by the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from across._core.threads.outbox import Outbox
from support.interleaving import ObservedLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Sink:
    """A transport that takes as much as a test says.

    Args:
        room: How many bytes each coming ``send`` takes at most; all once these are used up.
    """

    def __init__(self, room: Iterable[int] = ()) -> None:
        self.room = list(room)
        self.writes: list[bytes] = []  # what each send took
        self.sent: list[int] = [99]  # as transports have it: how much the last one took
        self.waits = 0
        #: Called, once each, at the beginning of the coming sends and waits, or behind a send.
        self.during_send: list[Callable[[], object]] = []
        self.behind_send: list[Callable[[], object]] = []
        self.during_wait: list[Callable[[], object]] = []

    def send(self, buffers: list[Any]) -> int:
        if self.during_send:
            self.during_send.pop(0)()
        data = b''.join(buffers)
        taken = data[: self.room.pop(0)] if self.room else data
        if taken:
            self.writes.append(taken)
            self.sent = [len(taken)]
        else:
            self.sent = []
        if self.behind_send:
            self.behind_send.pop(0)()
        return len(taken)

    def wait_writable(self) -> bool:
        self.waits += 1
        if self.during_wait:
            self.during_wait.pop(0)()
        return True

    @property
    def stream(self) -> bytes:
        return b''.join(self.writes)


def make_outbox(*room: int) -> tuple[Sink, Outbox, ObservedLock]:
    sink = Sink(room)
    outbox = Outbox(sink)
    lock: Any = ObservedLock()
    outbox._lock = lock
    return sink, outbox, lock
