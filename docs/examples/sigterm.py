"""A program with a server in the background; SIGTERM ends both in good order."""

import signal
import sys
import time

from across.servers import Server

# Raises SystemExit wherever the main thread is, as Ctrl-C raises KeyboardInterrupt there.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())

with Server.listen_unix(sys.argv[1]) as server:
    try:
        print('serving', flush=True)
        while True:
            time.sleep(1)  # the program's own work
    finally:
        server.close(drain=5)  # calls in flight get five seconds
