"""A session of remote code as this side sees it: its streams, Ctrl-C."""

from __future__ import annotations

import io
import os
import select
import sys
from concurrent.futures import TimeoutError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

from across import AcrossError, ref

from . import far
from .errors import named
from .interrupts import INTERRUPTED, Events
from .security import client_options
from .targets import connect

if TYPE_CHECKING:
    from argparse import Namespace

    from across import Connection

READ_SIZE = 1 << 16
# Seconds that interrupted code gets to stop, before the user is told that it has not.
STOP_TIME = 1.0


class Terminal:
    """Our standard streams, as the other side may use them.

    Standard input is read without a buffer of Python's: a thread that waits in there when the
    program ends would stop the interpreter from ending in order. There is one for each program.

    Args:
        by_line: Whether a read gets one line at most: what follows it may be for somebody else.
    """

    def __init__(self, by_line: bool) -> None:
        self._by_line = by_line
        self._wakeup, self._alarm = os.pipe()
        self._rest = b''  # read, but not used yet
        self._waiting = False

    def read(self, size: int) -> bytes:
        """Up to that many bytes of standard input; nothing at its end.

        Raises:
            KeyboardInterrupt: The user has interrupted that.
        """
        if not self._rest:
            self._rest = self._receive()
        if self._by_line:
            size = min(size, self._rest.find(b'\n') + 1 or size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def read_line(self) -> str | None:
        """The next line of standard input, without its end; None if there is none."""
        while b'\n' not in self._rest:
            data = self._receive()
            if not data:
                break
            self._rest += data
        if not self._rest:
            return None
        line, _, self._rest = self._rest.partition(b'\n')
        return line.decode('utf-8', 'surrogateescape')

    def write(self, stream: str, data: bytes) -> None:
        """Show what code over there printed."""
        target = getattr(sys, stream)
        if target is not None:
            target.flush()
            target.buffer.write(data)
            target.flush()

    def interrupt(self) -> bool:
        """End a `read` that waits; False if none does."""
        if self._waiting:
            os.write(self._alarm, b'x')
        return self._waiting

    def _receive(self) -> bytes:
        if sys.stdin is None:
            return b''  # descriptor 0 is something else then
        self._waiting = True
        try:
            ready, _, _ = select.select([0, self._wakeup], [], [])
            if self._wakeup in ready:
                os.read(self._wakeup, 1)
                raise KeyboardInterrupt
            return os.read(0, READ_SIZE)
        finally:
            self._waiting = False


class Session:
    """Runs code over there.

    Args:
        connection: Where.
        forwards: Whether it forwards the standard streams itself.
        by_line: See `Terminal`.
    """

    def __init__(self, connection: Connection, forwards: bool, by_line: bool) -> None:
        self.terminal = Terminal(by_line)
        self.connection = connection
        self._events = Events()
        self.far = connection.call_ref(far.Session, ref(self.terminal), not forwards)

    def run(self, method: Callable[..., far.Outcome], *args: Any) -> far.Outcome:
        """Run a method of `far.Session`.

        The first Ctrl-C is raised over there. The second one is raised here.
        """
        import signal

        with self._events.watched(signal.SIGINT):
            future = self.connection.submit(method, self.far, *args)
            future.add_done_callback(lambda future: self._events.tell_done())
            if self._events.wait() == INTERRUPTED:
                self._stop()
        outcome: far.Outcome = future.result()
        _show_error(outcome.error)
        return outcome

    def _stop(self) -> None:
        """Interrupt the code, and wait until it has ended."""
        # Asked first, as it may know of this Ctrl-C, and be reading something new.
        answer = self.connection.submit(far.Session.interrupt, self.far)
        try:
            if answer.result(STOP_TIME):
                self.terminal.interrupt()
        except (AcrossError, TimeoutError):
            pass  # it has ended in that moment, or is very busy
        event = self._events.wait(STOP_TIME)
        if event is None:
            # It may have begun to read just then; that would have to be ended here.
            if not self.terminal.interrupt():
                _show_error('across: waiting for the code to stop; Ctrl-C once more leaves it\n')
            event = self._events.wait()
        if event == INTERRUPTED:
            raise KeyboardInterrupt


@contextmanager
def connected(args: Namespace, *, forward_stdio: bool = False) -> Iterator[Connection]:
    """A connection to the TARGET of a command line."""
    options = client_options(args)
    with connect(args.target, options, forward_stdio, may_ask=True) as connection:
        try:
            yield connection
        except KeyboardInterrupt:
            connection.cancel()  # what runs over there is not waited for
            raise


@contextmanager
def session(args: Namespace, exports: Sequence[str], *, by_line: bool = False) -> Iterator[Session]:
    """A session at the TARGET of a command line.

    Args:
        args: The command line.
        exports: Modules to be exported to it.
        by_line: See `Terminal`.
    """
    forwards = args.target.has_streams
    with connected(args, forward_stdio=forwards) as connection:
        if exports:
            connection.export(*exports)
        with _watched_output(connection.cancel):
            yield Session(connection, forwards, by_line)


def add_to_path(folder: str | None = None) -> None:
    """Let modules be exported that are in a folder; in the current one unless it is given."""
    try:
        # Last, so that files in there are never taken for modules that this program imports.
        sys.path.append(folder or os.getcwd())
    except FileNotFoundError:
        pass  # somebody has removed it while we stand in it


class _Output(io.FileIO):
    """Standard output that tells when it takes no more: nobody reads it, or the disk is full."""

    def __init__(self, on_broken: Callable[[], None]) -> None:
        super().__init__(1, 'w', closefd=False)
        self._on_broken = on_broken
        self.broken: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as exc:
            if self.broken is None:
                self.broken = exc
                self._on_broken()
            raise


@contextmanager
def _watched_output(on_broken: Callable[[], None]) -> Iterator[None]:
    """End remote code whose output nobody reads, as SIGPIPE does with a local program."""
    before = sys.stdout
    if before is None:
        yield
        return
    before.flush()
    raw = _Output(on_broken)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), before.encoding, before.errors, line_buffering=True
    )
    try:
        yield
        sys.stdout.flush()
    except Exception as exc:
        if raw.broken is not None:
            raise named(raw.broken) from exc
        raise
    finally:
        if raw.broken is None:
            sys.stdout.detach()
            sys.stdout = before


def _show_error(text: str) -> None:
    if text and sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
