"""The leash of a child process: a pair of sockets whose end ends the child.

The parent holds one of them. When that is closed, by the parent or by its death, the child is told
to end, and made to if it doesn't. A byte before that tells it to let its calls finish first. In the
other direction goes the reason for which a client was refused, if it was.
This file also runs ahead of the BIOS script, in children that have nothing but their standard
library.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time

TYPE_CHECKING = False  # importing `typing` would cost a bare interpreter milliseconds
if TYPE_CHECKING:
    from typing import Any

# What the parent writes: let calls finish, take no others, and end.
DRAIN = b'd'
# Seconds. Without any limit, a client that is stopped would keep a child that its parent has left.
LONGEST_TIME = 60.0
SIGNAL_PAUSE = 0.1
LONGEST_WAIT = 7 * 24 * 3600.0  # poll() counts milliseconds in a C int


def leave_interrupts_to_parent() -> None:
    """Let SIGINT have no effect; called in the main thread, before there are others.

    A Ctrl-C at the terminal goes to the whole group, and what becomes of it the parent decides. It
    has blocked the signal until there is a handler. SIG_IGN, and a blocked signal, would be
    inherited by programs started here.
    """
    signal.signal(signal.SIGINT, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])


def hold(leash: int, timeout: float | None) -> None:
    """Tie this process to its parent; called once, in the main thread.

    SIGTERM from then on ends the main thread wherever it is, which closes the connection on its way
    out. It also comes from service managers, which send it to a server and all its children.

    Args:
        leash: Descriptor of the child's end.
        timeout: Seconds to end in, once told, None for the longest time. A bare interpreter also
            ends if it has not got the library in that time; None is no limit for that.
    """
    os.set_inheritable(leash, False)
    signal.signal(signal.SIGTERM, _terminate)
    sys.excepthook = _report
    threading.Thread(target=_watch, args=(leash, timeout), daemon=True).start()


def _watch(leash: int, timeout: float | None) -> None:
    poll = select.poll()
    poll.register(leash, select.POLLIN)
    if not poll.poll(None if timeout is None else min(timeout, LONGEST_WAIT) * 1000):
        if 'across' not in sys.modules:
            os._exit(1)
        poll.poll()
    try:
        told = os.read(leash, 1)
    except ConnectionResetError:  # the parent left without having read what we said
        told = b''
    if told == DRAIN and _drain():
        poll.poll()
    end = time.monotonic() + (LONGEST_TIME if timeout is None else timeout)
    while time.monotonic() < end:
        # Again and again: one that comes just as the main thread begins to wait does not wake it.
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SIGNAL_PAUSE)
    os._exit(1)


def _drain() -> bool:
    """Let calls finish, then end the connection; False if there is none yet."""
    loop = sys.modules.get('across._core.threads.main_loop')
    # In a bare interpreter that is the client's version of the library, which may be another one.
    link = getattr(getattr(loop, 'main_loop', None), 'only_link', None)
    finish = getattr(link, 'finish', None)
    if finish is None:
        return False
    try:
        finish(drain=True)
    except Exception:  # the client is gone, and code that was wanted for this with it
        return False
    return True


def _terminate(signum: int, frame: object) -> None:
    signal.signal(signum, _ignore)  # a second one must not interrupt the closing
    sys.exit()


def _report(kind: Any, exc: Any, traceback: Any) -> None:
    # An error of the BIOS script itself comes from what a stranger sent to it. A port scanner must
    # not fill the output of the server with tracebacks.
    frame = traceback
    while frame is not None and frame.tb_frame.f_code.co_filename == '<string>':
        frame = frame.tb_next
    if traceback is None or frame is not None:
        sys.__excepthook__(kind, exc, traceback)


def _ignore(signum: int, frame: object) -> None:
    pass
