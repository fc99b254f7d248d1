"""What a connection handler keeps for each client.

Layer: servers. Imports nothing of ours.
"""

from __future__ import annotations

import abc


class Session(abc.ABC):
    """One client, for as long as it is connected.

    Threads: all methods may be called from any thread, at the same time.
    """

    @abc.abstractmethod
    def wait(self) -> None:
        """Wait until it is over, and free what it holds."""

    @abc.abstractmethod
    def end(self) -> None:
        """Make it end in an orderly manner; does not wait for that."""

    @abc.abstractmethod
    def kill(self) -> None:
        """Make it end now; does not wait for that."""

    @abc.abstractmethod
    def abandon(self) -> None:
        """In a forked child: let go of it. Takes no lock."""
