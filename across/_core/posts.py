"""Posts: what the peer has run here in order, and wants no answer for, like output.

Layer: just below :mod:`.handlers`; one object for each link that gets any.
"""

from __future__ import annotations

import _thread
from collections import deque

from . import operations
from .interrupts import owed, settle
from .threads.cache import service_threads
from .threads.context import context
from .wire.frames import POST_COST

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .link import Link
    from .wire.frames import Frame

# How often (seconds) a thread that waits for a post looks whether it should go on doing so.
_LOOK_AGAIN = 0.05

# So many bytes of posts may always wait: a terminal is slow, and output comes a mebibyte ahead.
LEAST_LIMIT = 64 << 20


class Posts:
    """Posts of the peer: queued by the reader, run by one thread at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        # Each with the sum of the sizes up to its end.
        self._queue: deque[tuple[Frame, int]] = deque()
        self.arrived = 0  # written by the reader only, once they are in the queue
        # As many when all have been run; guarded by `_lock`.
        self.done = 0
        self._bytes = self._bytes_done = 0  # of those that arrived, and that were begun
        # Keeps posts one at a time and in their order. The one lock that is held over user code:
        # a thread takes it while it holds no other, and only a caller at the outermost level waits
        # for it.
        self._lock = _thread.allocate_lock()
        self.poster = 0  # the thread that has it
        self.poster_waits = False  # for a function at the peer

    def add(self, frame: Frame) -> None:
        """Queue one; the reader does so."""
        waiting = self._bytes - self._bytes_done
        self._bytes += _size(frame)
        self._queue.append((frame, self._bytes))
        self.arrived += 1
        limit = self._link.options.max_frame_size
        if limit is not None and waiting > max(limit, LEAST_LIMIT):  # each may be as large
            what = f'{waiting} bytes of output or log records'
            self._link.fail(f'the peer has {what} waiting to be taken in (option max_frame_size)')
        elif len(self._queue) == 1:
            service_threads.run(self.run)

    def run(self) -> None:
        """Run them in order; returns when all that arrived so far is through.

        Not quite all: a post that waits for a function over there is not waited for, since that
        function might in turn be waiting for this thread.
        """
        me = _thread.get_ident()
        if self.poster == me:
            return  # a post made a call: what is queued comes after that post
        while self.arrived != self.done and not self.poster_waits:
            locked: list[bool] = []
            try:
                # Not `if acquire():`, as an exception of a signal handler may come in between.
                locked.extend(map(self._lock.acquire, (True,), (_LOOK_AGAIN,)))
                if locked[0]:
                    self.poster = me
                    self._run_all()
            except BaseException:  # Ctrl-C: somebody else has to run the rest
                owed.append((service_threads.run, self.run))
                settle()
                raise
            finally:
                if locked and locked[0]:
                    self.poster = 0
                    self.poster_waits = False  # an interrupted post may have left it
                    self._lock.release()

    def _run_all(self) -> None:
        """With the lock. An interrupt, anywhere, may lose the post that runs, but no other."""
        while True:
            arrived = self.arrived
            if not self._queue:
                self.done = arrived
                return
            frame, self._bytes_done = self._queue.popleft()
            self._run_one(frame)

    def _run_one(self, frame: Frame) -> None:
        link = self._link
        thread = context.thread
        outer, thread.connection = thread.connection, link
        outer_critical, thread.critical = thread.critical, False
        try:
            func, args, kwargs = link.payloads.unpack(frame)
            if type(func) is str:
                operations.TABLE[func](link, *args)
            else:
                func(*args, **kwargs)
        except KeyboardInterrupt:
            raise  # typed here, and meant for the main thread, which is running this post
        except BaseException as exc:  # nobody waits for an answer
            link.log('WARNING', f'a message of the peer failed: {exc!r}')
        finally:
            thread.connection = outer
            thread.critical = outer_critical


def _size(frame: Frame) -> int:
    cost = POST_COST * (1 + len(frame.refs) + len(frame.buffers))
    return cost + len(frame.payload) + sum(map(len, frame.buffers))
