"""Waiting for Ctrl-C and for something else at the same time.

As an exception, a Ctrl-C would hit the library in the middle of something. And where Python waits
for a lock, it does not see a signal that comes just before: one that is written into a pipe is seen
whenever it comes.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from typing import Iterator

INTERRUPTED, DONE = 'interrupted', 'done'


class Events:
    """What the main thread waits for. There is one for each program."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    @contextmanager
    def watched(self, *signals: signal.Signals) -> Iterator[None]:
        """Make signals events, from here to the end of the block."""
        while self.wait(0):
            pass  # came too late for the last block
        handlers = {each: signal.signal(each, lambda signum, frame: None) for each in signals}
        wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for each, handler in handlers.items():
                signal.signal(each, handler)

    def tell_done(self) -> None:
        """Make DONE an event; from any thread."""
        os.write(self._writer, b'\0')

    def wait(self, timeout: float | None = None) -> str | None:
        """The next event; None if there is none within that many seconds."""
        if not select.select([self._reader], [], [], timeout)[0]:
            return None
        # Python writes the number of a signal.
        return DONE if os.read(self._reader, 1) == b'\0' else INTERRUPTED
