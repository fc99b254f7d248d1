"""A program that systemd listens for, in the background; SIGTERM ends it in good order."""

import signal
import sys

from across.servers import Server, notify

signal.signal(signal.SIGTERM, lambda *_: sys.exit())

with Server.listen_systemd() as server:
    try:
        notify('READY=1')
        server.wait()  # or the program's own work
    finally:
        notify('STOPPING=1')
        server.close(drain=5)
