"""The errors of the library.

::

    AcrossError
    ├── OperationError         this operation failed, the connection goes on
    │   ├── DisconnectError    the connection is gone, every later operation fails too
    │   └── ForeignError       remote code raised an exception of a type that can't be rebuilt here
    └── ProtocolError          the other side does not speak this protocol
        ├── AuthenticationError
        └── InterpreterError   there is no Python that could be the other side

What remote code raises arrives as itself and is none of these.

Layer: the lowest. Imports nothing.
"""

from __future__ import annotations

__all__ = [
    'AcrossError',
    'AuthenticationError',
    'DisconnectError',
    'ForeignError',
    'InterpreterError',
    'OperationError',
    'ProtocolError',
]


class AcrossError(Exception):
    """The root of all errors that the library itself raises."""


class OperationError(AcrossError):
    """One operation failed; the connection goes on.

    Raised for what cannot be pickled or unpickled, modules missing on the far side, frames over
    the size limit, and the like.
    """


class DisconnectError(OperationError):
    """The connection is gone: every pending and later operation on it fails with this error.

    The message names the reason. An :exc:`OSError` that caused it is its ``__cause__``.
    """


class ForeignError(OperationError):
    """Remote code raised an exception whose class cannot be rebuilt in this process.

    Attributes:
        type_name: The qualified name of the remote exception's class.
        message: What ``str()`` of the remote exception gave.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return f'{self.type_name}: {self.message}' if self.message else self.type_name


class ProtocolError(AcrossError):
    """The other side does not speak this protocol, or broke its rules."""


class AuthenticationError(ProtocolError):
    """One side could not prove to the other who it is."""


class InterpreterError(ProtocolError):
    """There is no Python over there that could be the other side: none at all, or too old a one."""


def sentence(exc: BaseException) -> str:
    """An exception in one line: an OSError by what the system says, others with their type."""
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    return f'{type(exc).__name__}: {exc}'


for _name in __all__:
    globals()[
        _name
    ].__module__ = 'across'  # the public path, as users import and tracebacks show it
del _name
