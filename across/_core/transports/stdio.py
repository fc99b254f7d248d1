"""The standard streams of this process as a transport, out of reach of print() and of children.

Layer: transports. Standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress

from across._core.transports.streams import PipeTransport, take_buffered

_taken = False


class StdioTransport(PipeTransport):
    """A transport over what were the standard input and output of this process.

    Making it moves both to descriptors that no child inherits. From then on descriptor 0 reads
    ``/dev/null`` and descriptor 1 leads to the standard error, so ``print``, ``os.write(1, …)`` and
    child processes can't write into the stream, nor read from it. Closing it doesn't undo that.

    Raises:
        ValueError: The process's standard streams are in use by an earlier transport.
        OSError: One of them is closed.
    """

    owns_stdio = True

    def __init__(self) -> None:
        global _taken
        if _taken:
            raise ValueError('the standard input and output of this process are already taken over')
        _unblock_interrupts()
        if sys.stdout is not None:
            with suppress(OSError, ValueError):  # closed, or replaced by something odd
                sys.stdout.flush()
        in_fd, out_fd = _take_over()
        _taken = True
        name = 'standard input/output'
        in_file, out_file = open(in_fd, 'rb', 0), open(out_fd, 'wb', 0)  # noqa: SIM115
        super().__init__(in_file, out_file, name, server_side=True)
        self._read_ahead = _take_read_ahead()
        reconfigure = getattr(sys.stdout, 'reconfigure', None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)  # in step with the standard error, as on a terminal

    def connect(self, timeout: float | None) -> None:
        super().connect(timeout)
        self._receive_first(self._read_ahead)


def _unblock_interrupts() -> None:
    """Undo what the process that started this one did, see `processes`, and still survive a Ctrl-C.

    It goes to the whole foreground group of the terminal; who made the connection decides what it
    means. A handler that does nothing, as SIG_IGN would be inherited by the programs started here.
    """
    import _signal as signal  # type: ignore[import-not-found]  # as in boot.py
    import threading

    if signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda signum, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))


def _take_over() -> tuple[int, int]:
    """Move descriptors 0 and 1 away and fill their places; return where they are now."""
    out_fd = -1
    in_fd = _move_up(0, 'input')
    try:
        out_fd = _move_up(1, 'output')
        null = _open_null()
    except OSError:
        for fd in {in_fd, out_fd} - {-1}:
            os.close(fd)
        raise
    os.dup2(null, 0)
    if null == 2:  # it was closed: the next file opened would have become the standard error
        os.set_inheritable(2, True)
    elif _is_same_stream(2, out_fd):
        os.dup2(null, 2)
    os.dup2(2, 1)
    if null != 2:
        os.close(null)
    return in_fd, out_fd


def _open_null() -> int:
    """A descriptor that is empty; what stands in for the null device may not be written to."""
    try:
        return os.open(os.devnull, os.O_RDWR)
    except FileNotFoundError:  # a chroot without /dev
        null, end = os.pipe()
        os.close(end)
        return null


def _move_up(fd: int, which: str) -> int:
    import fcntl

    try:
        # Not os.dup(): that takes the lowest number, which is 2 where the standard error is closed.
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError as exc:
        if exc.errno == errno.EBADF:
            raise OSError(errno.EBADF, f'the standard {which} of this process is closed') from None
        raise


def _is_same_stream(fd: int, other_fd: int) -> bool:
    # Started with 2>&1, or by inetd: messages on the standard error would end up in the stream.
    mode = os.fstat(fd).st_mode
    is_stream = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return is_stream and os.path.sameopenfile(fd, other_fd)


def _take_read_ahead() -> bytes:
    """What was read too much through :data:`sys.stdin`, by a loader before us, say."""
    try:
        is_ours = sys.stdin.fileno() == 0
    except (AttributeError, OSError, ValueError):  # None, replaced, closed
        return b''
    # Descriptor 0 leads to the null device by now: looking into the buffer can't block.
    return take_buffered(sys.stdin) if is_ours else b''
