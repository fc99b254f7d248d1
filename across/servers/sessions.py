"""What a connection handler keeps for each client.

Layer: servers. Imports nothing of ours.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable


class Session(abc.ABC):
    """One client, for as long as it is connected.

    Threads: all methods may be called from any thread, at the same time.
    """

    @abc.abstractmethod
    def watch(self, on_end: Callable[[str], None]) -> None:
        """Have a function called once it is over, and what it held is free. To be called once.

        Args:
            on_end: Is given the reason if the client was refused, otherwise an empty string.

        Raises:
            RuntimeError: That would take a thread, and the system has no more of them; it is killed
                instead, and ``on_end`` was called.
        """

    @abc.abstractmethod
    def drain(self) -> None:
        """Make it end when the calls that run are answered; does not wait for that."""

    @abc.abstractmethod
    def end(self) -> None:
        """Make it end in an orderly manner; does not wait for that."""

    @abc.abstractmethod
    def kill(self) -> None:
        """Make it end now; does not wait for that."""

    @abc.abstractmethod
    def abandon(self) -> None:
        """In a forked child: let go of it. Takes no lock."""
