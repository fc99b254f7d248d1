"""Names of hosts to addresses, without waiting for longer than the caller wants to.

The system's resolver can be neither cancelled nor timed. It runs in a thread of its own, which is
left behind when nobody waits for it any longer, and ends when the resolver gives up.

Layer: transports. Standard library only.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

from across._core.transports.base import Cancelled
from across._core.transports.streams import clamped

if TYPE_CHECKING:
    from typing import Any

    from across._core.transports.wakeup import Wakeup

    Addresses = list[tuple[int, Any]]


def resolve(host: str, port: int, wakeup: Wakeup, deadline: float | None) -> Addresses:
    """Find the addresses of a host.

    Args:
        wakeup: Ends the wait when set.
        deadline: When to stop waiting, on the monotonic clock.

    Returns:
        Pairs of an address family and what ``connect()`` takes for it.

    Raises:
        OSError: There are none; the text names the host.
        TimeoutError: The deadline has passed.
        Cancelled: The wakeup was set.
    """
    # Where it is an address, there is nothing to look up; most are of this kind.
    try:
        socket.inet_pton(socket.AF_INET, host)
        return [(socket.AF_INET, (host, port))]
    except (OSError, ValueError):
        pass
    try:
        return _ask(host, port, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return _Lookup(host, port).wait(wakeup, deadline)


def _ask(host: str, port: int, flags: int = 0) -> Addresses:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(int(family), address) for family, _, _, _, address in found]


class _Lookup:
    """One question to the resolver, in a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._addresses: Addresses = []
        self._error: Exception | None = None
        # The thread closes its end when it is through, which is how the waiting one learns of it;
        # each closes its own, as the other may have gone long since.
        self._reader, self._writer = os.pipe()
        try:
            # Ends when the resolver has answered or given up; nobody has to wait for that.
            threading.Thread(target=self._run, name='across-resolver', daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            os.close(self._writer)
            os.close(self._reader)
            raise OSError(f'no thread to look up {host}') from None

    def _run(self) -> None:
        try:
            self._addresses = _ask(self._host, self._port)
        except Exception as exc:
            self._error = exc
        finally:
            os.close(self._writer)

    def wait(self, wakeup: Wakeup, deadline: float | None) -> Addresses:
        poll = select.poll()
        poll.register(self._reader, 0)  # its end is reported unasked
        poll.register(wakeup.fileno(), select.POLLIN)
        try:
            ready = poll.poll(None if deadline is None else clamped(deadline - time.monotonic()))
        finally:
            os.close(self._reader)
        if wakeup.is_set:
            raise Cancelled(f'looking up {self._host} was cancelled')
        if not ready:
            raise TimeoutError(
                f'the address of {self._host} (port {self._port}) was not found in time: the name '
                'server does not answer'
            )
        return self._result()

    def _result(self) -> Addresses:
        error = self._error
        if isinstance(error, socket.gaierror):
            text = f'cannot find the address of {self._host} (port {self._port}): {error.strerror}'
            raise socket.gaierror(error.errno, text) from error
        if isinstance(error, ValueError):  # a label too long, a null character
            raise OSError(f'{self._host!r} is no host name: {error}') from error
        if error is not None:
            raise error
        return self._addresses
