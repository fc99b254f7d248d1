"""The contract of a transport: a byte stream to a peer, with cancellable waits.

Layer: transports. Imports nothing of ours.
"""

from __future__ import annotations

import abc

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Union

    Buffer = Union[bytes, bytearray, memoryview]


class Cancelled(Exception):
    """The transport was cancelled; raised by every wait from then on."""


class Transport(abc.ABC):
    """A byte stream over file descriptors: I/O that never blocks, waits with deadlines.

    One thread at a time has the reader role (:meth:`receive_into`, :meth:`wait_readable`,
    :meth:`wait_either`) and one holds the send lock (:meth:`send`, :meth:`wait_writable`); they may
    be different threads at the same time. The caller sees to that, and to calling :meth:`close`
    only when both are gone: a descriptor closed under a poll does not end it, and its number is
    soon somebody else's.

    Attributes:
        name: Where the stream leads, for messages: ``wonderland:1865``, ``/run/x.sock``,
            ``process 42 (ssh wonderland)``.
    """

    name: str
    #: What the last :meth:`receive_into` and :meth:`send` moved: one number, or none if they moved
    #: nothing. An exception that comes right behind the system call (Ctrl-C) loses what the method
    #: would have returned; this it can't lose. Who has taken in what was received sets ``received``
    #: to an empty list: if it is not, somebody else still has to.
    received: list[int]
    sent: list[int]
    #: Whether the standard streams of this process are there for this peer only.
    owns_stdio = False
    #: Whether the peer came to this process, as the client of a server does, and not the other way
    #: round: decides who has to prove first that it knows a key. None: it can be either.
    server_side: bool | None = False
    #: Whether TLS may run over it, and the name that the certificate of the server must show then.
    takes_tls = False
    server_hostname: str | None = None

    @abc.abstractmethod
    def connect(self, timeout: float | None) -> None:
        """Establish the stream. What was given connected already is only taken into use.

        Args:
            timeout: Seconds that this may take, None for no limit.

        Raises:
            OSError: It failed; the text names the destination.
            TimeoutError: It took longer than ``timeout``.
            Cancelled: :meth:`cancel` was called, before or meanwhile.

        Threads: once, in any thread. :meth:`close` is still needed when it raises.
        """

    @abc.abstractmethod
    def receive_into(self, view: memoryview) -> int:
        """Read what is there into a writable, non-empty view of bytes; never blocks.

        Returns:
            How many bytes were read, 0 at the end of the stream, -1 when there is nothing now.

        Raises:
            OSError: The stream broke.

        Threads: the reader role.
        """

    def receive_next(self, view: memoryview, timeout: float | None = None) -> int:
        """Wait until there is something to receive, and receive it.

        Args and errors are those of :meth:`wait_readable` and :meth:`receive_into`.

        Returns:
            As :meth:`receive_into`; -1 also when ``timeout`` seconds have passed.

        Threads: the reader role.
        """
        self.received = []  # first: an exception may end the wait, too
        return self.receive_into(view) if self.wait_readable(timeout) else -1

    @abc.abstractmethod
    def send(self, buffers: list[Buffer]) -> int:
        """Write from the start of the buffers with one system call; never blocks.

        Returns:
            How many bytes were taken; 0 when there is no room now.

        Raises:
            OSError: The stream broke.

        Threads: the holder of the send lock.
        """

    @abc.abstractmethod
    def wait_readable(self, timeout: float | None = None) -> bool:
        """Wait until there is something to receive, be it the end of the stream or an error.

        Returns:
            False when ``timeout`` seconds have passed.

        Raises:
            Cancelled: :meth:`cancel` was called, before or meanwhile.

        Threads: the reader role.
        """

    @abc.abstractmethod
    def wait_writable(self, timeout: float | None = None) -> bool:
        """Wait until there is room to send, or an error that :meth:`send` will report.

        Returns:
            False when ``timeout`` seconds have passed.

        Raises:
            Cancelled: :meth:`cancel` was called, before or meanwhile.

        Threads: the holder of the send lock.
        """

    @abc.abstractmethod
    def wait_either(self, timeout: float | None = None) -> None:
        """Wait until there is something to receive or room to send, or the timeout has passed.

        Raises:
            Cancelled: :meth:`cancel` was called, before or meanwhile.

        Threads: the reader role, with output left to send.
        """

    def fileno(self) -> int:
        """A descriptor that turns readable when there is something to receive; -1: there is none.

        For one who waits for many transports at once, and whom :meth:`cancel` need not wake. What
        was read ahead it does not tell of: it counts after :meth:`wait_readable` has said no.
        """
        return -1

    @abc.abstractmethod
    def cancel(self) -> None:
        """Make every present and future wait raise :exc:`Cancelled`. Never closes a descriptor.

        Threads: any, signal handlers too; does not block.
        """

    def kill(self) -> None:
        """As :meth:`cancel`; besides, :meth:`close` will kill a child process at once.

        Threads: any, signal handlers too; does not block.
        """
        self.cancel()

    @abc.abstractmethod
    def close(self, timeout: float | None) -> None:
        """Close the descriptors, and put those that others may share back into blocking mode.

        A child process is given ``timeout`` seconds to end by itself, then it is ended. After
        :meth:`kill` it is killed at once. Calling it again does nothing.

        Threads: one at a time, after the reader and the sender have left.
        """

    @abc.abstractmethod
    def abandon(self) -> None:
        """Close the descriptors in a forked child: the stream itself stays the parent's.

        No shutdown, no change of modes, no kill, no wait; takes no lock.
        """

    @abc.abstractmethod
    def ending(self) -> str:
        """Why the stream ended or broke, for people: ``the peer closed the connection``.

        Threads: any, after the end of the stream or an :exc:`OSError`. May wait half a second for
        the status of a child.
        """
