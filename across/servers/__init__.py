"""Servers: accept connections, and give each of them to this process or to one of its own.

The short way is a function that returns when it is interrupted::

    from across.servers import ProcessConnectionHandler, run_tcp

    run_tcp('localhost', 1865, handler=ProcessConnectionHandler())

A program that has more to do has a :class:`Server`, which runs in the background.

**Whoever can connect can run anything**, with the rights of the server's user.
"""

from __future__ import annotations

from .handlers import (
    BIOSConnectionHandler,
    ConnectionHandler,
    LocalConnectionHandler,
    ProcessConnectionHandler,
)
from .listeners import Server
from .running import run_systemd, run_tcp, run_unix
from .systemd import inherited_sockets, notify

__all__ = [
    'BIOSConnectionHandler',
    'ConnectionHandler',
    'LocalConnectionHandler',
    'ProcessConnectionHandler',
    'Server',
    'inherited_sockets',
    'notify',
    'run_systemd',
    'run_tcp',
    'run_unix',
]

for _name in __all__:
    globals()[_name].__module__ = 'across.servers'  # the public path, for tracebacks and the docs
del _name
