"""What becomes of links when their process ends, or forks.

Layer: just below :mod:`.connection`.
"""

from __future__ import annotations

import atexit
import os
import weakref

from .threads.cache import service_threads
from .threads.main_loop import main_loop
from .threads.watchdog import watchdog

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .link import Link

_links: weakref.WeakSet[Link] = weakref.WeakSet()
_hooked = False


def register(link: Link) -> None:
    """See to it that a link ends with the interpreter, and is dead in a forked child."""
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(_end_all)
        os.register_at_fork(after_in_child=_forget_all)
    _links.add(link)


def _end_all() -> None:
    """Nobody waits for anything any more; children that are left must end."""
    links = list(_links)
    for link in links:
        link.cancel('the interpreter exits')
    for link in links:
        link.close()


def _forget_all() -> None:
    for link in list(_links):
        link.forked()
    _links.clear()
    service_threads.forget()
    watchdog.forget()
    main_loop.forget()
