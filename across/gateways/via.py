"""A connection to an interpreter that another gateway's process starts, through that one.

Layer: gateways.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from across import Connection

from . import relay

if TYPE_CHECKING:
    from across import Options, Stream

# Bytes given to the stream at once.
_CHUNK = 1 << 16


def connect_via(master: Connection, argv: list[str], options: Options | None) -> Connection:
    """Have a command started over there, and talk with it over a stream of that connection.

    Raises:
        OSError: The command can't be started.
        DisconnectError: The other connection is gone.
    """
    stream = master.open_stream()
    try:
        master.call(relay.start, stream, argv)
    except BaseException:
        stream.close()
        raise
    ours, theirs = socket.socketpair()
    connection = Connection.from_socket(theirs, options=options)

    def feed(data: bytes) -> None:
        with suppress(OSError):  # the connection is closed
            ours.sendall(data)

    def end(*_: object) -> None:
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)

    stream.set_callback(feed, end)
    # Ends when the connection, or the other one, is closed.
    threading.Thread(target=_drain, args=(ours, stream), name='across-relay', daemon=True).start()
    return connection


def _drain(ours: socket.socket, stream: Stream) -> None:
    with suppress(Exception):  # the other gateway is gone, which this connection is about to see
        while True:
            data = ours.recv(_CHUNK)
            if not data:
                break
            stream.send(data)
    stream.close()
    ours.close()
