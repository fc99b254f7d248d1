"""A child process that passes bytes on: from its standard input to a Unix socket, and back.

Started as ``python relay.py PATH``; what is written to the socket appears on its standard output.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

CHUNK = 1 << 16


def pump_output(sock: socket.socket) -> None:
    while chunk := sock.recv(CHUNK):
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(1, rest) :]
    os._exit(0)


def main() -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    threading.Thread(target=pump_output, args=(sock,), daemon=True).start()
    while chunk := os.read(0, CHUNK):
        sock.sendall(chunk)


if __name__ == '__main__':
    main()
