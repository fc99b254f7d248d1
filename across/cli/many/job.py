"""One host of many: connecting, running, how it went."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from across import AcrossError, ref
from across.cli import far
from across.cli.errors import sentence
from across.cli.targets import connect

if TYPE_CHECKING:
    from across import Connection, Options
    from across.cli.hosts import Host

    from .streams import Streams

# Seconds. A Ctrl-C typed at a terminal also reaches processes on this machine, and may end the code
# there before this program has seen it.
SAME_CTRL_C = 2.0

# The states of a job, as they are shown.
WAITING, CONNECTING, RUNNING = 'waiting', 'connecting', 'running'
DONE, FAILED, STOPPED = 'done', 'failed', 'stopped'


class Task(NamedTuple):
    """What is to be done on each host."""

    method: Callable[..., far.Outcome]  # of `far.Session`
    arguments: tuple[Any, ...]
    exports: list[str]
    options: Options
    debug: bool


class Job:
    """A task on one host.

    Attributes:
        state: One of the states above; `STOPPED` if it was begun, and interrupted from here.
        began: When that state began; `time.monotonic()`.
        reason: Why it failed, in a line.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.state = WAITING
        self.began = 0.0
        self.reason = ''
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._there: Any = None  # proxy of the `far.Session`

    @property
    def at_work(self) -> bool:
        return self.state in (CONNECTING, RUNNING)

    def run(self, task: Task, streams: Streams) -> None:
        """Do it; never raises."""
        self._enter(CONNECTING)
        try:
            outcome = self._run(task, streams)
        except Exception as exc:
            if task.debug and not self._stopping.is_set():
                streams.write(self.host, 'stderr', _traceback(exc).encode())
            self._end(FAILED, sentence(exc))
            return
        if outcome.status == far.INTERRUPTED:
            self._stopping.wait(SAME_CTRL_C)
        if outcome.error and not self._stopping.is_set():
            streams.write(self.host, 'stderr', outcome.error.encode('utf-8', 'backslashreplace'))
        if outcome.value is not None:
            streams.end(self.host)  # on a line of its own
            value = f'{outcome.value}\n'.encode('utf-8', 'surrogateescape')
            streams.write(self.host, 'stdout', value)
        self._end(FAILED if outcome.status else DONE, outcome.reason)

    def _run(self, task: Task, streams: Streams) -> far.Outcome:
        forwards = self.host.target.has_streams
        connection = connect(self.host.target, task.options, forwards)
        with streams.belonging(connection, self.host):
            self._connection = connection
            if self._stopping.is_set():
                connection.cancel()
            with connection:
                if task.exports:
                    connection.export(*task.exports)
                terminal = ref(streams.terminal(self.host))
                there = connection.call_ref(far.Session, terminal, not forwards)
                self._enter(RUNNING)
                self._there = there
                if self._stopping.is_set():
                    return far.Outcome(far.INTERRUPTED)
                return connection.call(task.method, there, *task.arguments)  # type: ignore[no-any-return]

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` in the code; give up connecting."""
        self._stopping.set()
        if self._there is None:
            self.cancel()
            return
        try:
            assert self._connection is not None
            self._connection.submit(far.Session.interrupt, self._there)
        except AcrossError:
            pass  # it is over

    def cancel(self) -> None:
        """End it at once: the process of a host ends, or the one that a server started for it."""
        self._stopping.set()
        if self._connection is not None:
            self._connection.cancel()

    def _end(self, state: str, reason: str) -> None:
        if state == FAILED and self._stopping.is_set():
            state = STOPPED
        else:
            self.reason = reason
        self._there = self._connection = None
        self._enter(state)

    def _enter(self, state: str) -> None:
        self.began = time.monotonic()
        self.state = state


def _traceback(exc: BaseException) -> str:
    import traceback

    return ''.join(traceback.format_exception(type(exc), exc, exc.__traceback__))
