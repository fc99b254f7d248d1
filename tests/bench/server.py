"""The serving process of the floor, and that of `across`: listens until its standard input ends.

Usage: python -m tests.bench.server floor|across tcp|unix|pipe ADDRESS [PROCESSOR]

Prints a line when it listens: the TCP port, or the path of the Unix socket.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from . import floor, placement


def serve_floor(transport: str, address: str) -> None:
    """Answer the floor's messages, with a thread for each connection."""
    if transport == 'pipe':
        floor.serve(floor.Wire(0, 1))
        return
    if transport == 'tcp':
        listener = socket.create_server((address, 0), backlog=1024)
        announce(str(listener.getsockname()[1]))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(64)
        announce(address)
    threading.Thread(target=_accept_all, args=(listener,), daemon=True).start()
    sys.stdin.read()


def _accept_all(listener: socket.socket) -> None:
    while True:
        sock = listener.accept()[0]
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve_socket, args=(sock,), daemon=True).start()


def _serve_socket(sock: socket.socket) -> None:
    with sock:
        floor.serve(floor.Wire(sock.fileno(), sock.fileno()))


def serve_across(transport: str, address: str) -> None:
    """Serve connections in this process."""
    from across.servers import Server

    if transport == 'tcp':
        server = Server.listen_tcp(address, 0)
    else:
        server = Server.listen_unix(address)
    with server:
        announce(str(server.address[1]) if transport == 'tcp' else address)
        sys.stdin.read()


def announce(line: str) -> None:
    """Tell the process that started us that we listen."""
    print(line, flush=True)


def main() -> None:
    """Serve as the command line says."""
    side, transport, address, *processor = sys.argv[1:]
    placement.raise_descriptor_limit()
    placement.pin(int(processor[0]) if processor else None)
    if side == 'floor':
        serve_floor(transport, address)
    else:
        serve_across(transport, address)
    os._exit(0)  # at once: threads may still be in the middle of an answer


if __name__ == '__main__':
    main()
