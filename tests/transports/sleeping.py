"""Acting on a thread that waits, once it does."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['signal_during', 'wait_until_asleep']


def wait_until_asleep(thread: threading.Thread) -> None:
    """Wait until a thread sleeps in a system call; where that can't be seen, return at once."""

    def is_asleep() -> bool:
        with open(f'/proc/self/task/{thread.native_id}/stat', 'rb') as file:
            return file.read().rpartition(b')')[2].split()[0] == b'S'

    if os.path.isdir('/proc/self/task'):
        wait_until(is_asleep, 'the thread to sleep')


@contextmanager
def signal_during(number: int) -> Iterator[None]:
    """Signal the main thread, which calls this, as soon as it sleeps in the block."""
    main = threading.main_thread()
    entered = threading.Event()

    def send() -> None:
        entered.wait()
        wait_until_asleep(main)
        assert main.ident is not None
        signal.pthread_kill(main.ident, number)

    thread = threading.Thread(target=send)
    thread.start()
    entered.set()
    try:
        yield
    finally:
        thread.join()
