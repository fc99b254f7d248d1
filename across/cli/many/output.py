"""What many hosts print: in whole lines, one at a time, each with its host ahead."""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Callable

from across.cli.errors import named

if TYPE_CHECKING:
    from .display import Display

# A line that is longer comes in several, so that output without an end of line takes no more memory
# than this.
LONGEST_LINE = 1 << 20


class Output:
    """The two streams of this program.

    Args:
        descriptors: Those of ``'stdout'`` and ``'stderr'``; a stream that is not there is closed.
        on_broken: Called when standard output takes no more; from any thread.

    Attributes:
        broken: Why it takes no more: nobody reads it, or the disk is full, say.
    """

    def __init__(self, descriptors: dict[str, int], on_broken: Callable[[], None]) -> None:
        # Held while bytes are added to lines, and while whole ones are written: keeps lines in
        # order, and apart from the display.
        self._lock = threading.Lock()
        self._descriptors = descriptors
        self._on_terminal = {each for each in descriptors if os.isatty(descriptors[each])}
        self._on_broken = on_broken
        self._begun: dict[tuple[str, str], bytes] = {}  # lines without an end as yet
        self._display: Display | None = None
        self.broken: OSError | None = None

    def write(self, label: str, stream: str, data: bytes) -> None:
        """Print what a host printed, as far as it consists of whole lines.

        Args:
            label: The host; empty for what is said in nobody's name.
            stream: 'stdout' or 'stderr'.
            data: Any part of its output.
        """
        with self._lock:
            *lines, rest = (self._begun.pop((label, stream), b'') + data).split(b'\n')
            while len(rest) >= LONGEST_LINE:
                lines.append(rest[:LONGEST_LINE])
                rest = rest[LONGEST_LINE:]
            if rest:
                self._begun[label, stream] = rest
            if lines:
                self._print(label, stream, lines)

    def end(self, label: str) -> None:
        """Print what a host has left without an end of line."""
        with self._lock:
            for stream in ('stdout', 'stderr'):
                rest = self._begun.pop((label, stream), b'')
                if rest:
                    self._print(label, stream, [rest])

    def show(self, display: Display) -> None:
        """Show a display below all output, or what has changed in it."""
        with self._lock:
            self._display = display
            display.show()

    def hide(self) -> None:
        """Take the display away for good."""
        with self._lock:
            if self._display is not None:
                self._display.hide()
                self._display = None

    def _print(self, label: str, stream: str, lines: list[bytes]) -> None:
        if stream not in self._descriptors or (stream == 'stdout' and self.broken):
            return
        if self._display is not None and stream in self._on_terminal:
            self._display.hide()  # until the next show(): a drawing for each line would take long
        prefix = f'{label}: '.encode('utf-8', 'surrogateescape') if label else b''
        try:
            _write(self._descriptors[stream], b''.join(prefix + line + b'\n' for line in lines))
        except OSError as exc:
            if stream == 'stdout':  # without standard error, the hosts can do their work
                self.broken = named(exc)
                self._on_broken()


def standard_descriptors() -> dict[str, int]:
    """The descriptors of the standard streams for output, without those that are closed."""
    streams = {'stdout': sys.stdout, 'stderr': sys.stderr}
    return {name: fd for fd, name in enumerate(streams, 1) if streams[name] is not None}


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody who shares it has made it so
            select.select([], [fd], [])
