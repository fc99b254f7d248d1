"""The leash of a child process: a pipe whose end ends the child.

The parent holds the writing end. When that is closed, by the parent or by its death, the child is
told to end, and made to if it doesn't. This file also runs ahead of the BIOS script, in children
that have nothing but their standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

# Seconds. Without any limit, a client that is stopped would keep a child that its parent has left.
LONGEST_TIME = 60.0


def hold(leash: int, timeout: float | None) -> None:
    """Tie this process to its parent; called once, in the main thread.

    Args:
        leash: Descriptor of the reading end.
        timeout: Seconds to end in, once told; None for the longest time.
    """
    os.set_inheritable(leash, False)
    # SIGTERM ends the main thread wherever it is, which closes the connection on its way out. It
    # also comes from service managers, which send it to a server and all its children.
    signal.signal(signal.SIGTERM, _terminate)
    # A Ctrl-C at the terminal goes to the whole group, and what becomes of it the parent decides.
    # It was blocked until there is a handler; SIG_IGN would be inherited by programs started here.
    signal.signal(signal.SIGINT, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
    threading.Thread(target=_watch, args=(leash, timeout), daemon=True).start()


def _watch(leash: int, timeout: float | None) -> None:
    try:
        os.read(leash, 1)
    except OSError:
        pass  # user code closed all descriptors that it did not know: there is no way to tell
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LONGEST_TIME if timeout is None else timeout)
    os._exit(1)


def _terminate(signum: int, frame: object) -> None:
    signal.signal(signum, _ignore)  # a second one must not interrupt the closing
    sys.exit()


def _ignore(signum: int, frame: object) -> None:
    pass
