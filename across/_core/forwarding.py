"""Standard streams of one process, shown at another.

The descriptors 1 and 2 lead into pipes; what comes out is posted to the peer, which writes it to
its ``sys.stdout`` and ``sys.stderr``. Posts keep their order, and take effect before the result of
a call that follows them: so output appears before the call that printed it returns.

Layer: just below :mod:`.connection`. Fetched by a bare peer when first used.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .errors import AcrossError, OperationError
from .wire.frames import POST_COST

if TYPE_CHECKING:
    from .link import Link

STREAMS = {1: 'stdout', 2: 'stderr'}
# Small enough for the least limit that a peer may set for messages (option max_frame_size).
READ_SIZE = 1 << 15
# How many bytes may be on their way, or waiting to be shown by the peer.
WINDOW = 1 << 20


class Forwarding:
    """Sends what this process and its children print to a peer."""

    def __init__(self, link: Link) -> None:
        self._link = link
        # Held while output is read and posted: keeps it in order between the two who do so, the
        # pump and a thread that is about to answer a call. Taken while no other lock is held.
        self._lock = threading.Lock()
        self._saved = {fd: os.dup(fd) for fd in STREAMS}
        self._pipes: dict[int, str] = {}  # read end → stream
        self._stopped = False
        self._unshown = 0  # bytes that the peer may keep since it last said that it has shown all
        _flush_python_streams()
        for fd, stream in STREAMS.items():
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            os.dup2(writer, fd)  # children inherit it
            os.close(writer)
            self._pipes[reader] = stream
        self._wakeup = os.pipe()
        self._ends = [*self._pipes, *self._wakeup]  # what is to be closed
        self._pump = threading.Thread(target=self._run, name='across-forwarding', daemon=True)
        self._pump.start()

    def flush(self) -> None:
        """Post all that was printed up to now."""
        _flush_python_streams()
        with self._lock:
            self._post_all()

    def stop(self) -> None:
        """Give the process its streams back; ends the pump. Interrupted, it can be called again."""
        _flush_python_streams()
        for fd in tuple(self._saved):
            os.dup2(self._saved[fd], fd)
            os.close(self._saved.pop(fd))
        if self._pump.is_alive():
            os.write(self._wakeup[1], b'x')
        self._pump.join()
        with self._lock:
            self._stopped = True  # a call may end only now, and want its output posted
        while self._ends:
            os.close(self._ends.pop())

    def _run(self) -> None:
        poll = select.poll()
        for fd in (*self._pipes, self._wakeup[0]):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            with self._lock:
                self._post_all()
            if self._wakeup[0] in ready:
                return

    def _post_all(self) -> None:
        """With the lock: read the pipes until they are empty."""
        if self._stopped:
            return
        for fd, stream in self._pipes.items():
            while True:
                try:
                    data = os.read(fd, READ_SIZE)
                except BlockingIOError:
                    break
                if not data:
                    break
                self._post(stream, data)

    def _post(self, stream: str, data: bytes) -> None:
        calls = self._link.calls
        try:
            calls.post('print', stream, data)
            self._unshown += len(data) + POST_COST
            if self._unshown >= WINDOW:
                self._unshown = 0
                calls.operation('finish_posts')  # who prints waits until the peer has shown it
        except AcrossError:
            pass  # nobody is left to show it to; the process must not block on a full pipe


def start_forwarding(link: Link) -> Forwarding:
    """Begin to forward this process's streams to the peer of a link."""
    if not link.transport.owns_stdio:
        raise OperationError(
            f'{link.here} cannot forward its standard streams (option forward_stdio), as they do '
            'not belong to this connection alone; they do where it runs over them, and where a '
            'server starts a process for each client'
        )
    return Forwarding(link)


# A character may come in two parts. For each link and stream; used by one post at a time.
_decoders: WeakKeyDictionary[Link, dict[str, Any]] = WeakKeyDictionary()


def write_output(link: Link, stream: str, data: bytes) -> None:
    """Show what the peer printed."""
    target: Any = getattr(sys, stream)
    if target is None:
        return
    binary = getattr(target, 'buffer', None)
    if binary is None:  # replaced by something that takes text, as notebooks and test runners do
        decoders = _decoders.setdefault(link, {})
        if stream not in decoders:
            decoders[stream] = codecs.getincrementaldecoder('utf-8')('replace')
        target.write(decoders[stream].decode(data))
    else:
        target.flush()
        binary.write(data)
    target.flush()


def _flush_python_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # there is none, or user code closed it
