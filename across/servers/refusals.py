"""Clients that are refused, as whoever runs a server gets to know of them.

Layer: servers.
"""

from __future__ import annotations

import sys
import threading
import time

from across import AcrossError, AuthenticationError

# What is said of one client, in characters.
LONGEST = 500
# No more records than that many, in so many seconds: strangers must not fill the disk with a log.
MOST = 10
PERIOD = 60.0


def refusal_of(exc: AcrossError) -> str:
    """Why a client was refused, if that is how its connection ended; otherwise empty."""
    ssl = sys.modules.get('ssl')  # where nobody has loaded it nobody was refused by it
    by_tls = ssl is not None and isinstance(exc.__cause__, ssl.SSLError)
    return str(exc) if by_tls or isinstance(exc, AuthenticationError) else ''


class Refusals:
    """Puts them into the log ``across.servers``, some of them where there are many.

    Threads: any.
    """

    def __init__(self) -> None:
        # Not above, as the children of a server import this module, too.
        import logging

        self._log = logging.getLogger('across.servers').warning
        self._mutex = threading.Lock()  # guards the others
        self._next_period = 0.0
        self._count = 0

    def report(self, reason: str) -> None:
        """Say that a client was refused."""
        with self._mutex:
            now, omitted = time.monotonic(), 0
            if now >= self._next_period:
                omitted = max(0, self._count - MOST)
                self._next_period, self._count = now + PERIOD, 0
            self._count += 1
            if self._count > MOST:
                return
        # Part of it may be the client's own words.
        text = reason[:LONGEST] if reason.isprintable() else ascii(reason[:LONGEST])
        more = f' ({omitted} others were before, and are not shown)' if omitted else ''
        self._log('a client was refused: %s%s', text, more)
