"""The errors of gateways and channels.

::

    OperationError
    ├── RemoteError          the code over there raised an exception
    ├── TimeoutError         nothing came in time; a builtin TimeoutError, too
    ├── ClosedError          the channel is closed; an OSError, too
    ├── HostNotFound         the gateway could not be made
    └── DisconnectError
        └── GatewayGoneError the other process is gone; an EOFError and an OSError, too

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import builtins
import os
import sys
from typing import Any

from across import DisconnectError, OperationError

__all__ = ['ClosedError', 'GatewayGoneError', 'HostNotFound', 'RemoteError', 'TimeoutError']


#: What a program that was interrupted tells the other side.
INTERRUPTED = 'keyboard-interrupted'


class RemoteError(OperationError):
    """Code that a channel belongs to raised an exception over there.

    Attributes:
        formatted: The text of the remote traceback.
    """

    def __init__(self, formatted: str) -> None:
        super().__init__(formatted)
        self.formatted = formatted

    def warn(self) -> None:
        """Write the error to the standard error, unless it tells of an interrupt."""
        if self.formatted != INTERRUPTED:
            print(f'[{os.getpid()}] Warning: unhandled {self!r}', file=sys.stderr)

    def __str__(self) -> str:
        return self.formatted

    def __repr__(self) -> str:
        return f'{type(self).__name__}: {self.formatted.strip().splitlines()[-1:]}'


class TimeoutError(OperationError, builtins.TimeoutError):
    """Nothing arrived in time."""


class ClosedError(OperationError, OSError):
    """The channel is closed, so nothing can be sent over it; or it has a callback that receives."""


class HostNotFound(OperationError):
    """A gateway could not be made; the ``__cause__`` is what its connection says."""


class GatewayGoneError(DisconnectError, EOFError, OSError):
    """The process at the other end of a gateway is gone, or the connection to it."""


def gone(cause: BaseException) -> GatewayGoneError:
    """The error for a connection that has ended."""
    error = GatewayGoneError(str(cause))
    error.__cause__ = cause
    return error


def late(what: str, timeout: Any) -> TimeoutError:
    return TimeoutError(f'{what} within {timeout:g} s')


for _name in __all__:
    globals()[_name].__module__ = 'across.gateways'
del _name
