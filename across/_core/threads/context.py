"""What the current thread is doing for which connection.

Layer: threads. The attributes are plain objects here; the layers above know their types.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any


class _Context(threading.local):
    """Thread-local state; the class attributes are the values of a thread that was never here."""

    connection: Any = None  # the link that this thread packs, unpacks or runs a call for
    call: Any = None  # the CurrentCall that this thread runs
    session: Any = None  # the values.pickling.Packing or Unpacking that is under way
    critical = False  # inside a section that a finalizer must not interrupt with a remote call


context = _Context()
