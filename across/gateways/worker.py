"""The other side of a gateway: runs what `remote_exec` sends.

Layer: gateways. Fetched by bare peers: standard library and `across` only.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from contextlib import suppress
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple

import across

from . import ends
from .channel import Channel
from .errors import INTERRUPTED, GatewayGoneError
from .turns import Turns

if TYPE_CHECKING:
    from types import TracebackType


_numbers = itertools.count(1)
# Sources kept for tracebacks.
_KEPT = 100
_names: list[str] = []


class Settings(NamedTuple):
    """What a gateway tells its other side first.

    Attributes:
        id: Of the gateway.
        worker_type: What stands for it over there.
        execmodel: ``thread`` or ``main_thread_only``.
        chdir: The directory to work in, made if missing; None to stay.
        nice: What to add to the niceness.
        env: Environment variables to set.
        own_process: The process is there for this gateway only.
    """

    id: str
    worker_type: type[Worker]
    execmodel: str = 'thread'
    chdir: str | None = None
    nice: int = 0
    env: dict[str, str] | None = None
    own_process: bool = True


class Task(NamedTuple):
    """A piece of code to run.

    Attributes:
        what: Source text, or a function whose first argument is the channel.
        filename: Where the text is from; None if it is from no file.
        kwargs: For the function.
        aside: Never run it in the main thread: it is the library's own.
    """

    what: Any
    filename: str | None
    kwargs: dict[str, Any]
    aside: bool = False


class Worker:
    """What stands for the gateway in the process that it leads to.

    Attributes:
        id: The id of the gateway, with ``-worker`` behind it.
    """

    channel_type = Channel

    def __init__(self, connection: across.Connection, settings: Settings) -> None:
        self.id = f'{settings.id}-worker'
        self.settings = settings
        self._connection = weakref.ref(connection)  # which keeps this worker
        # Guards the counts of pieces of code, and tells of their changes.
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._in_main = False  # one runs in the main thread
        self._turns = Turns()  # in the main thread

    def prepare(self) -> None:
        """Make the process ready for code; subclasses may."""

    def newchannel(self) -> Channel:
        """Make a channel; its other end is what arrives when it is sent over another one."""
        connection = self._connection()
        if connection is None:
            raise GatewayGoneError('the connection of this gateway is gone')
        return self.adopt(connection.open_stream())

    def adopt(self, stream: Any) -> Channel:
        """Make a channel of a stream."""
        return self.channel_type(self, stream)

    def keep(self, channel: Channel) -> None:
        """See `Gateway.keep`; over here its stream keeps a callback, and that the channel."""

    def forget(self, channel: Channel) -> None:
        """See `Gateway.forget`."""

    def run(self, stream: across.Stream, turn: int) -> None:
        """Run the task that is the first item of a stream; see `execute`."""
        channel = self.adopt(stream)
        with self._changed:
            self._begun += 1
        self._turns.begin(turn)
        try:
            self._run(channel, turn)
        finally:
            self._turns.end(turn)
            with self._changed:
                self._done += 1
                self._changed.notify_all()

    def _run(self, channel: Channel, turn: int) -> None:
        try:
            task = channel.receive()
            if self.settings.execmodel == 'main_thread_only' and not task.aside:
                self._turns.wait(turn)
                across.run_in_main_thread(self._run_in_main, task, channel)
            else:
                self._turns.end(turn)  # nobody waits for this one
                run_task(task, channel)
        except KeyboardInterrupt:
            channel.close(INTERRUPTED)
        except BaseException as exc:
            # At the end of what it was to read, with nobody there to be told.
            silent = isinstance(exc, EOFError) and channel.isclosed()
            channel.close(None if silent else _format(exc))
        else:
            channel.close()

    def _run_in_main(self, task: Task, channel: Channel) -> None:
        self._in_main = True
        try:
            run_task(task, channel)
        finally:
            self._in_main = False

    def status(self) -> dict[str, Any]:
        return {
            'numexecuting': self._begun - self._done,
            'execmodel': self.settings.execmodel,
            'threads': threading.active_count(),
        }

    def wait_done(self, count: int, timeout: float) -> bool:
        """Wait until so many pieces of code have ended, of those that ever began.

        Args:
            timeout: Seconds.

        Returns:
            Whether they have.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= count, timeout)

    def interrupt(self) -> bool:
        """Raise :exc:`KeyboardInterrupt` in the code that runs in the main thread.

        Returns:
            Whether any does; nothing interrupts what runs in other threads.
        """
        if not self._in_main:
            return False
        import signal

        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return True


# ----------------------------------------------------------------------- what the gateway calls


def begin(settings: Settings) -> dict[str, Any]:
    """Prepare this process for a gateway; returns what the gateway should know of it."""
    connection = across.get_connection()
    worker = settings.worker_type(connection, settings)
    ends.register(connection, lambda: worker)
    os.environ.update(settings.env or {})
    if settings.nice:
        _be_nice(settings.nice)
    if settings.chdir:
        os.makedirs(settings.chdir, exist_ok=True)
        os.chdir(settings.chdir)
    worker.prepare()
    return {
        'executable': sys.executable,
        'version_info': tuple(sys.version_info),
        'platform': sys.platform,
        'cwd': os.getcwd(),
        'pid': os.getpid(),
    }


def _be_nice(increment: int) -> None:
    """Lower the priority of this process; on Linux each thread has one of its own."""
    tasks = '/proc/self/task'
    if not os.path.isdir(tasks):
        os.nice(increment)
        return
    wanted = os.getpriority(os.PRIO_PROCESS, 0) + increment
    for task in os.listdir(tasks):
        with suppress(ProcessLookupError):  # it has just ended
            os.setpriority(os.PRIO_PROCESS, int(task), wanted)


def execute(stream: across.Stream, turn: int) -> None:
    """Run the task that is the first item of a stream, with the stream as its channel.

    The task comes that way, and not as an argument, so that whatever is wrong with it ends the
    channel.

    Args:
        turn: How many were sent before; what runs in the main thread keeps that order.
    """
    ends.end_of(across.get_connection()).run(stream, turn)


def status() -> dict[str, Any]:
    """What runs here."""
    found: dict[str, Any] = ends.end_of(across.get_connection()).status()
    return found


def wait_done(count: int, timeout: float) -> bool:
    """See `Worker.wait_done`."""
    done: bool = ends.end_of(across.get_connection()).wait_done(count, timeout)
    return done


def interrupt() -> bool:
    """See `Worker.interrupt`."""
    interrupted: bool = ends.end_of(across.get_connection()).interrupt()
    return interrupted


# ------------------------------------------------------------------------------------- running


def run_task(task: Task, channel: Channel) -> None:
    """Run source text or a function, with a channel."""
    if callable(task.what):
        result = task.what(channel, **task.kwargs)
        if isinstance(result, CoroutineType):
            import asyncio

            asyncio.run(result)
        return
    name = task.filename
    if name is None:
        name = f'<remote_exec {next(_numbers)}>'
        _remember(name, task.what)
    code = compile(task.what, name, 'exec', dont_inherit=True)
    exec(code, {'__name__': '__channelexec__', 'channel': channel})


def _format(exc: BaseException) -> str:
    """The traceback, from the first frame that is not of this library's making."""
    import traceback  # slow to load, like `linecache`, and not always needed

    frames = exc.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    return ''.join(traceback.format_exception(type(exc), exc, frames))


def _is_ours(frames: TracebackType) -> bool:
    return str(frames.tb_frame.f_globals.get('__name__', '')).partition('.')[0] == 'across'


def _remember(name: str, source: str) -> None:
    """Let tracebacks show source text that is in no file."""
    import linecache

    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    _names.append(name)
    if len(_names) > _KEPT:
        linecache.cache.pop(_names.pop(0), None)
