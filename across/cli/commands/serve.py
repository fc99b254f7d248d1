"""``across serve``: a server, until it is interrupted."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from across.cli import far
from across.cli.arguments import frame_size, positive, timeout_seconds
from across.cli.errors import advice
from across.cli.interrupts import INTERRUPTED, Events
from across.cli.security import add_server_security, server_options
from across.cli.targets import Target, parse_endpoint

if TYPE_CHECKING:
    from across import Options
    from across.servers import ConnectionHandler, Server

# Seconds; service managers wait longer.
DRAIN_TIME = 5.0
SUMMARY = 'serve connections until interrupted'
DETAILS = (
    'Accept connections on a TCP port or a Unix socket, until Ctrl-C or SIGTERM. Whoever can '
    'connect can run anything, with the rights of this user. A line on standard output tells when '
    'it listens, and where. In the end calls that run may finish, for a time; a second Ctrl-C or '
    'SIGTERM ends them.'
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        'endpoint',
        metavar='ENDPOINT',
        type=parse_endpoint,
        help='tcp://host:port, where port 0 is any free one, or unix:///path, or systemd:, for the '
        'sockets that a systemd socket unit passes, systemd:NAME for those of that name only',
    )
    parser.add_argument(
        '--handler',
        choices=('process', 'local', 'bios'),
        default='process',
        help='process: an interpreter like this one for each client, which accepts its exported '
        'modules (the default); local: all clients in this process; bios: a bare interpreter for '
        'each client, which also gets the library from it',
    )
    parser.add_argument(
        '--drain',
        metavar='SECONDS',
        type=_seconds,
        default=DRAIN_TIME,
        help='for how long calls that run may go on in the end (%(default)g)',
    )
    _add_limits(parser)
    add_server_security(parser)


def _add_limits(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--max-connections',
        metavar='N',
        type=positive,
        help='while there are that many, further clients are turned away; no limit if not given',
    )
    parser.add_argument(
        '--timeout',
        metavar='SECONDS',
        type=timeout_seconds,
        help='after which a client that says nothing, or ends no handshake, is dropped; 60 '
        'if not given',
    )
    parser.add_argument(
        '--max-calls',
        metavar='N',
        type=positive,
        help='how many calls of one client may run or wait at a time; 10,000 if not given',
    )
    parser.add_argument(
        '--max-frame-size',
        metavar='BYTES',
        type=frame_size,
        help='the largest message that a client may send, 65536 or more; 8 GiB if not given',
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float('inf'):
        raise ArgumentTypeError(f'must be a number of seconds, 0 or more, not {text!r}')
    return seconds


def run(args: Namespace) -> int:
    from across.servers import notify

    warnings.showwarning = _show_warning  # type: ignore[assignment]  # takes fewer by name
    events = Events()
    with events.watched(signal.SIGINT, signal.SIGTERM):
        handler = _make_handler(args.handler, server_options(args))
        server = _listen(args.endpoint, handler, args.max_connections)
        try:
            for address in server.addresses:
                print(f'listening on {_shown(address)}', flush=True)
            notify('READY=1')
            events.wait()
        finally:
            notify('STOPPING=1')
            _close(server, events, args.drain)
    return 0


def _close(server: Server, events: Events, drain: float) -> None:
    """End all connections in order, or at once if another signal comes."""

    def close() -> None:
        server.close(drain)
        events.tell_done()

    closing = threading.Thread(target=close)
    closing.start()
    if events.wait() == INTERRUPTED:
        server.cancel()
    closing.join()


def _make_handler(name: str, options: Options) -> ConnectionHandler:
    from across import servers

    if name == 'local':
        far.main_thread_waits = False
        return servers.LocalConnectionHandler(options=options)
    if name == 'bios':
        return servers.BIOSConnectionHandler(options=options)
    return servers.ProcessConnectionHandler(options=options.copy(accept_exported_modules=True))


def _listen(endpoint: Target, handler: ConnectionHandler, limit: int | None) -> Server:
    from across.servers import Server

    if endpoint.scheme == 'systemd':
        name = endpoint.path or None
        return Server.listen_systemd(name, handler=handler, max_connections=limit)
    if endpoint.scheme == 'unix':
        return Server.listen_unix(endpoint.path, handler=handler, max_connections=limit)
    host, port = endpoint.host, endpoint.port
    assert port is not None
    return Server.listen_tcp(host, port, handler=handler, max_connections=limit)


def _shown(address: Any) -> str:
    if isinstance(address, str):
        return f'unix://{address}'
    host, port = address
    return f'tcp://[{host}]:{port}' if ':' in host else f'tcp://{host}:{port}'


def _show_warning(message: Warning | str, *details: Any) -> None:
    if sys.stderr is not None:
        print(f'across: warning: {advice(str(message))}', file=sys.stderr)
