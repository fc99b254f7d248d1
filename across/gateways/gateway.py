"""Gateways: an interpreter somewhere, and the pieces of code that run in it.

Layer: gateways.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable

from across import AcrossError, DisconnectError

from . import ends, worker
from .channel import Channel
from .connect import connect
from .errors import GatewayGoneError, HostNotFound, gone
from .sources import make_task
from .spec import Spec

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import ModuleType

    from across import Connection, Options

    from .group import Group
    from .sources import Source

__all__ = ['Gateway']

# Seconds that code over there gets to end by itself when its gateway goes; the same when the
# interpreter exits; and how many it gets after an interrupt.
_GRACE = 5.0
_EXIT_GRACE = 1.0
_INTERRUPT_GRACE = 5.0


class Gateway:
    """An interpreter that code can be sent to.

    Made by :func:`makegateway`, :meth:`Group.makegateway`, or as one of the subclasses. Leaving a
    ``with`` statement calls :meth:`exit` and waits for it.

    Args:
        spec: What to start, and where.
        group: That it belongs to.
        options: For the connection.

    Attributes:
        id: The name in its group.
        spec: The `Spec` it was made by.
        connection: The `across.Connection` under it, for calls, proxies and exports.
        info: Facts about the other process, as a dict: ``executable``, ``version_info``,
            ``platform``, ``cwd``, ``pid``.

    Raises:
        ValueError: The spec makes no sense, or its id is taken.
        HostNotFound: The connection could not be made; says why.

    Threads: any.
    """

    channel_type: type[Channel] = Channel
    #: What stands for it over there.
    worker_type: type[worker.Worker] = worker.Worker

    def __init__(self, spec: Spec | str, group: Group, options: Options | None = None) -> None:
        self.spec = Spec(spec) if isinstance(spec, str) else spec
        self._group = group
        self._leaving = threading.Lock()  # held from when it leaves
        self._left = threading.Event()
        self._channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        self._kept: set[Channel] = set()  # with callbacks: they live until their end
        # Guards the counts, and the set of channels while it grows or is looked through.
        self._mutex = threading.Lock()
        self._started = 0  # pieces of code that began over there, or will
        self._turn = 0  # of the next piece of code
        master = group.reserve(self.spec)
        self.id: str = self.spec.id
        try:
            self._begin(options, None if master is None else master.connection)
        except BaseException:
            group.release(self.spec)
            raise
        group.register(self)

    def _begin(self, options: Options | None, master: Connection | None) -> None:
        settings = worker.Settings(
            id=self.id,
            worker_type=self.worker_type,
            execmodel=self.spec.execmodel or 'thread',
            chdir=self.spec.chdir,
            nice=int(self.spec.nice or 0),
            env=self.spec.env,
            own_process=not self.spec.socket,
        )
        connection = None
        try:
            connection = self.connection = connect(self.spec, options, master)
            self.info: dict[str, Any] = connection.call(worker.begin, settings)
        except BaseException as exc:
            if connection is not None:
                connection.cancel()
                with suppress(AcrossError):
                    connection.close()
            if isinstance(exc, (AcrossError, OSError)):
                raise HostNotFound(f'cannot make the gateway {self.spec}: {exc}') from exc
            raise
        ends.register(connection, weakref.ref(self))

    # -------------------------------------------------------------------------------- running code

    def remote_exec(
        self, source: str | Source | ModuleType | Callable[..., Any], **kwargs: Any
    ) -> Channel:
        """Run code over there, and return the channel to it.

        The code ends its channel when it ends. What it prints goes to the standard error of the
        process.

        Args:
            source: Text, with the variable ``channel`` and with ``__name__`` set to
                ``'__channelexec__'``; a module, whose source is run the same way; or a function,
                whose first argument is the channel. Functions travel by value, with the globals
                and variables that they use.
            **kwargs: For a function.

        Raises:
            TypeError, ValueError: The source is none, or the arguments do not go with it.
            OperationError: A function uses what can't be pickled.
            GatewayGoneError: The other process is gone.
        """
        return self.start(make_task(source, kwargs))

    def start(self, task: Any) -> Channel:
        """Run a task over there; see :meth:`remote_exec`."""
        if self._leaving.locked():
            raise GatewayGoneError(f'the gateway {self.id} has been told to exit')
        try:
            stream = self.connection.open_stream()
            channel = self.adopt(stream)
            with self._mutex:
                turn, self._turn = self._turn, self._turn + 1
            call = self.connection.submit(worker.execute, stream, turn)
        except DisconnectError as exc:
            raise gone(exc) from exc
        with self._mutex:
            self._started += 1
        call.add_done_callback(self._count_refusal)
        try:
            channel.begin(call, task)
        except DisconnectError as exc:
            raise gone(exc) from exc
        except BaseException:
            channel.close()
            raise
        return channel

    def _count_refusal(self, call: Future[None]) -> None:
        if not call.cancelled() and call.exception() is not None:
            with self._mutex:
                self._started -= 1

    def newchannel(self) -> Channel:
        """Make a channel; its other end is what arrives when it is sent over another one.

        Raises:
            GatewayGoneError: The other process is gone.
        """
        try:
            return self.adopt(self.connection.open_stream())
        except DisconnectError as exc:
            raise gone(exc) from exc

    def adopt(self, stream: Any) -> Channel:
        """Make a channel of a stream of this gateway's connection."""
        channel = self.channel_type(self, stream)
        with self._mutex:
            self._channels.add(channel)
        return channel

    def _known_channels(self) -> list[Channel]:
        with self._mutex:
            return list(self._channels)

    def keep(self, channel: Channel) -> None:
        """Keep a channel alive until its end; one with a callback needs no other reference."""
        self._kept.add(channel)

    def forget(self, channel: Channel) -> None:
        """The end of a channel that was kept."""
        self._kept.discard(channel)

    def remote_status(self) -> RemoteStatus:
        """Tell what runs over there.

        Returns:
            An object with the attributes ``numexecuting``, ``numchannels``, ``execmodel``.

        Raises:
            GatewayGoneError: The other process is gone.
        """
        try:
            found = self.connection.call(worker.status)
        except DisconnectError as exc:
            raise gone(exc) from exc
        open_ones = sum(not channel.isclosed() for channel in self._known_channels())
        return RemoteStatus({**found, 'numchannels': open_ones})

    def hasreceiver(self) -> bool:
        """Tell whether the connection to the other process stands."""
        return self.connection.is_connected()

    # ------------------------------------------------------------------------------------- leaving

    def exit(self) -> None:
        """Begin to end the other process; :meth:`join` waits for that.

        All channels are closed; what has been sent by then can still be received. Code that runs
        over there sees the end of its channel, and gets five seconds to finish. Then it is
        interrupted if it runs in the main thread, and in the end the process is killed. A second
        call does nothing.
        """
        if not self._leaving.acquire(False):
            return
        self._group.unregister(self)
        # Ends when the connection is closed.
        thread = threading.Thread(
            target=self.leave, args=(_GRACE,), name=f'across-exit-{self.id}', daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # none to be had, as the interpreter exits
            self.leave(_EXIT_GRACE)

    def leave(self, grace: float) -> None:
        """Do what `exit` begins.

        Args:
            grace: Seconds that code over there gets to end by itself.
        """
        try:
            for channel in self._known_channels():
                channel.leave()
            with suppress(AcrossError):
                if not self._finish(grace):
                    self.connection.cancel()
            with suppress(AcrossError):
                self.connection.close()
        finally:
            self._group.forget(self)
            self._left.set()

    def _finish(self, grace: float) -> bool:
        """Wait until no code runs over there any more, and see to it; whether that helped."""
        call = self.connection.call
        if call(worker.wait_done, self._started, grace):
            return True
        if not call(worker.interrupt):
            return False
        done: bool = call(worker.wait_done, self._started, _INTERRUPT_GRACE)
        return done

    def kill(self) -> None:
        """End the connection at once, and the process if it is a child of this one."""
        self.connection.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the gateway has left; see :meth:`exit`.

        Args:
            timeout: Seconds; None for no limit.

        Returns:
            Whether it has.
        """
        return self._left.wait(timeout)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.exit()
        self.join()

    def __repr__(self) -> str:
        state = 'connected' if self.hasreceiver() else 'gone'
        return f'<{type(self).__name__} {self.id!r} {str(self.spec)!r}, {state}>'


class RemoteStatus:
    """Facts about the other process, as attributes."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.__dict__.update(facts)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        facts = ', '.join(f'{name}={value!r}' for name, value in sorted(self.__dict__.items()))
        return f'<{type(self).__name__} {facts}>'


for _public in (Gateway, RemoteStatus):
    _public.__module__ = 'across.gateways'
del _public
