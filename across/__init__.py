"""Run Python code in other Python processes, and let them call back.

The core's names are here. What lies above it (`across.logging`, `across.servers` and so on) is
imported from its own modules.
"""

from __future__ import annotations

from ._core.connection import Connection, get_connection
from ._core.debug import set_debug_level
from ._core.errors import (
    AcrossError,
    AuthenticationError,
    DisconnectError,
    ForeignError,
    InterpreterError,
    OperationError,
    ProtocolError,
)
from ._core.handlers import CurrentCall, check_cancelled, current_call
from ._core.options import Options
from ._core.serving import run_in_main_thread
from ._core.values.proxies import Proxy, Reference, get_proxy_connection, ref

# Wire format: pickles name these two.
from ._core.values.proxies import unpack_owned as _owned
from ._core.values.proxies import unpack_ref as _ref

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from ._core.streams.stream import Stream
del TYPE_CHECKING

__version__ = '0.1.0.dev0'

__all__ = [
    'AcrossError',
    'AuthenticationError',
    'Connection',
    'CurrentCall',
    'DisconnectError',
    'ForeignError',
    'InterpreterError',
    'OperationError',
    'Options',
    'ProtocolError',
    'Proxy',
    'Reference',
    'Stream',
    'check_cancelled',
    'current_call',
    'get_bios',
    'get_connection',
    'get_proxy_connection',
    'ref',
    'run_in_main_thread',
    'set_debug_level',
]


def get_bios() -> str:
    """Return a Python script that, run by ``python -c``, makes a bare Python serve a connection.

    The script talks over its standard input and output, needs no library over there, and fetches
    this one over the connection::

        command = ['sudo', '-n', 'python3', '-c', get_bios()]
        with Connection.from_command(command) as conn:
            conn.call(os.mkdir, '/home/alice')

    It is one line, for any Python 3.8 or newer. The process accepts exported modules, and takes
    over the options of the connection.
    """
    from ._core.travel.bios import get_bios

    return get_bios()


def __getattr__(name: str) -> object:
    # Fetched by a bare peer when first used. Pickles name the second one.
    if name in ('Stream', '_stream'):
        from ._core.streams import stream

        # Kept, so that this runs once: pickle takes a Ctrl-C amid it for a failure of its own.
        globals().update(Stream=stream.Stream, _stream=stream.unpack_stream)
        return globals()[name]
    raise AttributeError(f"module 'across' has no attribute {name!r}")
