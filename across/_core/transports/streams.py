"""What all transports share: polls that also watch for cancellation, and closing; pairs of pipes.

Layer: transports. Standard library only.
"""

from __future__ import annotations

import errno
import os
import select
from contextlib import suppress

from across._core.transports.base import Cancelled, Transport
from across._core.transports.wakeup import Wakeup

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, List, Protocol, Tuple

    from across._core.transports.base import Buffer

    Poll = Callable[..., List[Tuple[int, int]]]

    class File(Protocol):
        """A file object, a socket: what has a descriptor and closes it."""

        def fileno(self) -> int: ...

        def close(self) -> object: ...


# How many buffers one writev or sendmsg takes.
IOV_MAX = os.sysconf('SC_IOV_MAX')

# poll() counts milliseconds in a C int; a wait of a week is as good as a longer one.
_LONGEST_WAIT = 7 * 24 * 3600.0


def clamped(timeout: float) -> float:
    # poll() takes a negative number for "no limit", which is not what a passed deadline means.
    return min(max(timeout, 0.0), _LONGEST_WAIT) * 1000


def _poll_nothing(timeout: float | None = None) -> list[tuple[int, int]]:
    raise OSError(errno.EBADF, 'the transport is not open')


class StreamTransport(Transport):
    """A transport over one or two descriptors; a subclass adds how to connect, receive and send."""

    # Bound methods of poll objects. There is one for each role, because a poll object refuses two
    # threads at once. The last two are made when first needed.
    _poll_reading: Poll
    _poll_writing: Poll | None
    _poll_either: Poll | None
    # Whether the descriptor is in blocking mode, so that recv() can wait.
    _waits_in_recv = False
    # Whether a poll has to watch the wakeup, too, to be ended by it.
    _polls_wakeup = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.received = []
        self.sent = []
        self._wakeup = Wakeup()
        self._files: tuple[File, ...] = ()
        self._in_fd = self._out_fd = -1
        self._made_nonblocking: list[int] = []
        self._poll_reading = self._poll_writing = self._poll_either = _poll_nothing

    def _attach(self, in_file: File, out_file: File) -> None:
        """Take the files (the same one twice for a socket) into use: the end of every connect."""
        self._files = (in_file, out_file)
        self._check_cancelled()
        self._in_fd, self._out_fd = in_file.fileno(), out_file.fileno()
        for fd in () if self._waits_in_recv else {self._in_fd, self._out_fd}:
            if os.get_blocking(fd):
                os.set_blocking(fd, False)
                self._made_nonblocking.append(fd)
        self._poll_reading = self._make_poll(reading=True)
        self._poll_writing = self._poll_either = None

    def _make_poll(self, *, reading: bool = False, writing: bool = False) -> Poll:
        masks = {self._wakeup.fileno(): select.POLLIN} if self._polls_wakeup else {}
        if reading:
            masks[self._in_fd] = select.POLLIN
        if writing:
            masks[self._out_fd] = masks.get(self._out_fd, 0) | select.POLLOUT
        poll = select.poll()
        for fd, mask in masks.items():
            poll.register(fd, mask)
        return poll.poll

    def _check_cancelled(self) -> None:
        if self._wakeup.is_set:
            raise Cancelled(f'the connection to {self.name} was cancelled')

    # The wait for each message: what other methods would share is written out here.
    def wait_readable(self, timeout: float | None = None) -> bool:
        if timeout is None:
            ready = self._poll_reading()
        else:
            ready = self._poll_reading(
                timeout * 1000 if 0 < timeout < _LONGEST_WAIT else clamped(timeout)
            )
        if self._wakeup.is_set:
            self._check_cancelled()
        return bool(ready)

    def wait_writable(self, timeout: float | None = None) -> bool:
        if self._poll_writing is None:
            self._poll_writing = self._make_poll(writing=True)
        ready = self._poll_writing(None if timeout is None else clamped(timeout))
        self._check_cancelled()
        return bool(ready)

    def wait_either(self, timeout: float | None = None) -> None:
        if self._poll_either is None:
            self._poll_either = self._make_poll(reading=True, writing=True)
        self._poll_either(None if timeout is None else clamped(timeout))
        self._check_cancelled()

    def fileno(self) -> int:
        return self._in_fd

    def cancel(self) -> None:
        self._wakeup.set()

    def close(self, timeout: float | None) -> None:
        self._close_files(shared=False)
        self._wakeup.close()

    def abandon(self) -> None:
        self._wakeup.abandon()  # first: whoever held its lock is gone
        self._close_files(shared=True)

    def _close_files(self, *, shared: bool) -> None:
        """Close the descriptors once.

        Args:
            shared: The open files behind them stay in use by the parent process.
        """
        with self._wakeup.lock:
            files, self._files = self._files, ()
        made_nonblocking, self._made_nonblocking = self._made_nonblocking, []
        self._in_fd = self._out_fd = -1
        self._poll_reading = self._poll_writing = self._poll_either = _poll_nothing
        if not shared:
            # The mode belongs to the open file, not to our descriptor: a shell, a terminal, a
            # sibling process would find theirs changed.
            for fd in made_nonblocking:
                with suppress(OSError):
                    os.set_blocking(fd, True)
        for file in files:
            with suppress(OSError):
                file.close()

    def ending(self) -> str:
        return 'the peer closed the connection'


class DescriptorTransport(StreamTransport):
    """A transport that reads and writes plain descriptors: pipes and what may stand in for them."""

    # os.readv, but for bytes that come first
    _readv: Callable[[int, tuple[memoryview]], int]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._readv = os.readv

    def connect(self, timeout: float | None) -> None:
        in_file, out_file = self._files
        self._attach(in_file, out_file)
        self._receive_first(take_buffered(in_file))

    def receive_into(self, view: memoryview) -> int:
        # No byte code runs between the system call and the storing of what it says: extend() and
        # map() are C, so no signal handler can come in between.
        received = self.received = []
        try:
            received.extend(map(self._readv, (self._in_fd,), ((view,),)))
        except BlockingIOError:
            return -1
        return received[0]

    def send(self, buffers: list[Buffer]) -> int:
        sent = self.sent = []
        try:
            if len(buffers) == 1:
                sent.extend(map(os.write, (self._out_fd,), buffers))
            else:
                sent.extend(map(os.writev, (self._out_fd,), (buffers[:IOV_MAX],)))
        except BlockingIOError:
            return 0
        return sent[0]

    def _receive_first(self, head: bytes) -> None:
        """Let ``head`` be received before anything else.

        Stands in for the read and the polls, so that the usual case pays nothing for it.
        """
        if not head:
            return
        rest = memoryview(head)
        polls = self._poll_reading, self._poll_either
        ready = [(self._in_fd, select.POLLIN)]

        def read_rest(_fd: int, views: tuple[memoryview]) -> int:
            nonlocal rest
            count = min(len(views[0]), len(rest))
            views[0][:count] = rest[:count]
            rest = rest[count:]
            if not rest:
                self._readv = os.readv
                self._poll_reading, self._poll_either = polls
            return count

        self._readv = read_rest
        self._poll_reading = self._poll_either = lambda _timeout=None: ready


class PipeTransport(DescriptorTransport):
    """A transport over two file objects, taken over: one to read from and one to write to.

    Bytes that a buffered reader holds already are received first. What a text-mode reader has
    already decoded can't be got back.

    Args:
        in_file: A file object, as :func:`os.fdopen` makes them, or anything else with ``fileno()``.
        out_file: The same, for writing.
        name: Where they lead.
        server_side: Whether the peer came to this process; None leaves it to the other side.

    Raises:
        TypeError: One of them is no file object.
        ValueError: One of them is closed, or not open for that direction.
    """

    def __init__(
        self,
        in_file: File,
        out_file: File,
        name: str = 'a pair of pipes',
        *,
        server_side: bool | None = None,
    ) -> None:
        super().__init__(name)
        self.server_side = server_side
        _check_direction(in_file, 'in_pipe', 'reading', os.O_WRONLY)
        _check_direction(out_file, 'out_pipe', 'writing', os.O_RDONLY)
        flush = getattr(out_file, 'flush', None)
        if flush is not None:
            flush()
        self._files = (in_file, out_file)


def take_buffered(file: Any) -> bytes:
    """Take what a buffered reader holds out of it; its descriptor must be one that never blocks."""
    reader = getattr(file, 'buffer', file)  # below a text-mode file
    if not hasattr(reader, 'peek'):
        return b''
    # peek() gives all that is buffered; when that is nothing it tries one read, which is as good.
    taken: bytes = reader.read(len(reader.peek()))
    return taken


def _check_direction(file: File, argument: str, use: str, wrong_mode: int) -> None:
    import fcntl

    if not hasattr(file, 'fileno'):
        raise TypeError(
            f'{argument} must be a file object, like those os.fdopen() makes, '
            f'not {type(file).__name__}'
        )
    try:
        mode = fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError) as exc:
        raise ValueError(f'{argument} has no open descriptor: {exc}') from exc
    if mode == wrong_mode:
        raise ValueError(f'{argument} is not open for {use}')
