"""One directory to many gateways, sending what differs.

Layer: gateways.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Callable

from . import mirror
from .errors import ClosedError, GatewayGoneError
from .listing import Entry, list_tree
from .worker import Task

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .channel import Channel
    from .gateway import Gateway

__all__ = ['RSync']

# Threads that serve a target each, at the same time.
_WIDTH = 16
# Bytes of a file that go into one item.
_PIECE = 1 << 18

_END = object()


class RSync:
    """Copies a directory to one or many gateways.

    Files whose size and time of change are the same over there are not looked at; where only the
    size is, checksums decide. Links are kept, and so are the permissions and times of files and
    directories; an absolute link into the directory leads into the copy. Subclasses may override
    :meth:`filter`. ::

        rsync = RSync('project')
        for gateway in group:
            rsync.add_target(gateway, 'copy-of-project', delete=True)
        rsync.send()

    Args:
        sourcedir: The directory, or a single file.
        callback: Called with what happens: ``callback('list', size, channel)`` with the bytes that
            a target needs, ``callback('ack', size, channel)`` for each file that it has got.
        verbose: Print each file that is sent.

    Threads: callbacks run in the thread that calls :meth:`send`.
    """

    def __init__(
        self,
        sourcedir: str | os.PathLike[str],
        callback: Callable[[str, int, Channel], object] | None = None,
        verbose: bool = False,
    ) -> None:
        self._sourcedir = os.path.abspath(os.fspath(sourcedir))
        self._callback = callback
        self._verbose = verbose
        self._targets: list[_Target] = []

    def filter(self, path: str) -> bool:
        """Tell whether a file, or a directory with all that is in it, is to be copied; all are.

        Args:
            path: On this side.
        """
        return True

    def add_target(
        self,
        gateway: Gateway,
        destdir: str | os.PathLike[str],
        finishedcallback: Callable[[], object] | None = None,
        *,
        delete: bool = False,
    ) -> None:
        """Add a place to copy to.

        Args:
            gateway: Where.
            destdir: What is made, or made equal, over there; from the gateway's directory.
            finishedcallback: Called when it is.
            delete: Remove what is there and not in the source.

        Raises:
            GatewayGoneError: The other process is gone.
        """
        self._targets.append(_Target(gateway, os.fspath(destdir), finishedcallback, delete))

    def send(self, raises: bool = True) -> None:
        """Copy to all targets, at the same time, and forget them.

        Args:
            raises: Whether it is an error that there are none.

        Raises:
            OSError: There is no target, or the source can't be read.
            ValueError: The source has something that is no file, directory or link.
            RemoteError: A target could not be written; the others have been served.
            GatewayGoneError: A gateway is gone; the others have been served.
        """
        targets, self._targets = self._targets, []
        if not targets:
            if raises:
                raise OSError('there is no target to send to; each send() forgets them')
            return
        entries = list(list_tree(self._sourcedir, self.filter))
        events: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        pool = ThreadPoolExecutor(min(_WIDTH, len(targets)), 'across-rsync')
        try:
            futures = [pool.submit(self._serve, target, entries, events.put) for target in targets]
            for future in futures:
                future.add_done_callback(lambda _: events.put(None))
            self._dispatch(events, len(futures))
        except BaseException:
            for target in targets:
                target.abort()  # which ends its thread
            raise
        finally:
            pool.shutdown()
        _raise_first(futures)

    def _dispatch(self, events: SimpleQueue[Callable[[], object] | None], running: int) -> None:
        """Run callbacks until all targets are served."""
        while running:
            event = events.get()
            if event is None:
                running -= 1
            else:
                event()

    def _report_send_file(self, gateway: Gateway, modified_rel_path: str) -> None:
        """Tell of a file that is about to be sent."""
        if self._verbose:
            print(f'{gateway.id} <= {modified_rel_path}')

    def _serve(
        self, target: _Target, entries: list[Entry], tell: Callable[[Callable[[], object]], None]
    ) -> None:
        """Copy to one target; in a thread of the pool."""
        channel = target.begin()
        try:
            wanted = target.ask(entries)
            if self._callback is not None:
                size = sum(entries[number].size for number, _ in wanted)
                tell(partial(self._callback, 'list', size, channel))
            for number, checksum in wanted:
                if self._send_file(channel, entries[number], checksum):
                    name = '/'.join(entries[number].path)
                    tell(partial(self._report_send_file, target.gateway, name))
                # What has arrived by now; the rest below.
                self._tell_arrived(target.arrived(), entries, channel, tell)
            self._tell_arrived(target.arrived(to_the_end=True), entries, channel, tell)
        except ClosedError:  # the other side has ended in the midst: what it says comes first
            channel.waitclose()
            raise
        finally:
            channel.close()
        if target.finished is not None:
            tell(target.finished)

    def _tell_arrived(
        self,
        numbers: list[int],
        entries: list[Entry],
        channel: Channel,
        tell: Callable[[Callable[[], object]], None],
    ) -> None:
        callback = self._callback
        if callback is not None:
            for number in numbers:
                tell(partial(callback, 'ack', entries[number].size, channel))

    def _send_file(self, channel: Channel, entry: Entry, checksum: bytes | None) -> bool:
        """Send the content of a file; returns whether that was necessary."""
        path = os.path.join(self._sourcedir, *entry.path)
        try:
            file = open(path, 'rb')  # noqa: SIM115
        except FileNotFoundError:  # since it was listed
            channel.send(False)
            return False
        with file:
            if checksum is not None and mirror.checksum(file) == checksum:
                channel.send(None)
                return False
            file.seek(0)
            # At least one piece: none at all would mean that nothing is to be done.
            piece = file.read(_PIECE)
            while True:
                channel.send(piece)
                piece = file.read(_PIECE)
                if not piece:
                    break
            channel.send(None)
        return True


class _Target:
    """A place to copy to, and the talk with it."""

    def __init__(
        self,
        gateway: Gateway,
        folder: str,
        finished: Callable[[], object] | None,
        delete: bool,
    ) -> None:
        self.gateway = gateway
        self.finished = finished
        self._arguments = {'target': folder, 'delete': delete}
        self._channel: Channel | None = None
        self._aborted = False
        self._is_done = False  # the other side has all
        # Taken in at once: the other side must not wait for us to read while we wait for it.
        self._items: SimpleQueue[Any] = SimpleQueue()

    def begin(self) -> Channel:
        channel = self.gateway.start(Task(mirror.receive, None, self._arguments, aside=True))
        self._channel = channel
        channel.setcallback(self._items.put, _END)
        if self._aborted:
            channel.close()
        return channel

    def abort(self) -> None:
        self._aborted = True
        if self._channel is not None:
            self._channel.close()

    def ask(self, entries: list[Entry]) -> list[tuple[int, bytes | None]]:
        """Tell what there is; returns the numbers of the entries that are needed."""
        assert self._channel is not None
        plain = [tuple(entry) for entry in entries]  # channels of the stand-in carry nothing else
        for start in range(0, len(plain), mirror.BATCH):
            self._channel.send(plain[start : start + mirror.BATCH])
        self._channel.send(None)
        wanted: list[tuple[int, bytes | None]] = []
        for batch in iter(self._next, None):
            wanted += batch
        return wanted

    def arrived(self, to_the_end: bool = False) -> list[int]:
        """The numbers of files that are in place since it was asked last."""
        numbers = []
        while not self._is_done and (to_the_end or not self._items.empty()):
            item = self._next()
            if item is True:
                self._is_done = True
            else:
                numbers.append(item)
        return numbers

    def _next(self) -> Any:
        item = self._items.get()
        if item is _END:
            assert self._channel is not None
            raise self._channel.ending or GatewayGoneError(f'{self.gateway!r} has gone amid a copy')
        return item


def _raise_first(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()


RSync.__module__ = 'across.gateways'
