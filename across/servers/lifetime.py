"""What becomes of servers when the interpreter exits, and of their copies in a forked child.

Layer: servers. Imports nothing of ours.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol


class Mortal(Protocol):
    """What holds sockets or child processes."""

    def cancel(self) -> None: ...

    def close(self) -> None: ...

    def _abandon(self) -> None:
        """In a forked child: close our copies of descriptors, leave all else to the parent.

        Takes no lock: its holder may not exist here.
        """


_mortals: weakref.WeakSet[Mortal] = weakref.WeakSet()


def track(mortal: Mortal) -> None:
    """End something with the interpreter, unless that has happened or nobody uses it any more."""
    _mortals.add(mortal)


def _at_exit() -> None:
    for mortal in list(_mortals):
        mortal.cancel()
    for mortal in list(_mortals):
        mortal.close()


def _after_fork() -> None:
    for mortal in list(_mortals):
        mortal._abandon()
    _mortals.clear()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
