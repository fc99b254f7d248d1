"""What the current thread is doing for which connection.

Layer: threads. The attributes are plain objects here; the layers above know their types.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any


class ThreadState:
    """What one thread is doing."""

    __slots__ = ('call', 'connection', 'critical', 'session')

    def __init__(self) -> None:
        self.connection: Any = None  # the link that it packs, unpacks or runs a call for
        self.call: Any = None  # the CurrentCall that it runs
        self.session: Any = None  # the values.pickling.Packing or Unpacking that is under way
        self.critical = False  # inside a section that a finalizer must not interrupt with a call


class _Context(threading.local):
    """Where each thread finds its state; a look here takes as long as seven at the state."""

    def __init__(self) -> None:
        self.thread = ThreadState()


context = _Context()
