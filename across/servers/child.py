"""What a child process of a :class:`.ProcessConnectionHandler` runs: one connection.

Layer: servers.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
import time
from contextlib import suppress

from across import AcrossError, Options
from across._core.serving import serve_socket

from .leash import hold, leave_interrupts_to_parent
from .refusals import LONGEST, refusal_of

# Seconds that threads of user code get to finish once the connection has ended.
LINGER_TIME = 5.0


def main() -> None:
    """Serve the socket named by the first argument, tied to the leash named by the second one."""
    sock_fd, leash = map(int, sys.argv[1:3])
    del sys.argv[1:]
    leave_interrupts_to_parent()
    options = _read_options(leash)
    os.set_inheritable(sock_fd, False)
    sock = socket.socket(fileno=sock_fd)
    try:
        hold(leash, options.timeout)
        serve_socket(sock, options)
    except AcrossError as exc:  # how it ended otherwise, that is the client's business
        with suppress(OSError):  # the parent is gone
            os.write(leash, refusal_of(exc).encode()[:LONGEST])
    finally:
        # The normal end of the interpreter waits for threads that user code left behind.
        threading.Thread(target=_end_later, daemon=True).start()


def _read_options(leash: int) -> Options:
    with open(leash, 'rb', buffering=0, closefd=False) as pipe:  # what follows is for others
        try:
            options = pickle.load(pipe)
        except EOFError:  # the parent is gone already
            sys.exit(1)
    assert isinstance(options, Options)
    return options


def _end_later() -> None:
    time.sleep(LINGER_TIME)
    os._exit(0)
