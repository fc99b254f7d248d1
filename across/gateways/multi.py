"""Several channels at once.

Layer: gateways.
"""

from __future__ import annotations

from functools import partial
from queue import Queue
from threading import get_ident
from typing import Any, Iterator, Sequence

from .channel import NOT_WANTED, Channel

__all__ = ['MultiChannel']

# Seconds between two looks at whether anybody wants an item that there is no room for.
_PAUSE = 0.05

# What a channel ends with inside; no item is that object, whatever the user's end marker is.
_END = object()


class MultiChannel:
    """Channels to several gateways; what :meth:`Group.remote_exec` returns.

    Args:
        channels: In their order.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = list(channels)
        self._queue: _ReceiveQueue | None = None

    def send_each(self, item: Any) -> None:
        """Send an item over each channel."""
        for channel in self._channels:
            channel.send(item)

    def receive_each(self, withchannel: bool = False) -> list[Any]:
        """Receive one item from each channel, in the order of the channels.

        Args:
            withchannel: Return pairs of channels and items.

        Raises:
            ClosedError: There is a queue that gets the items.
        """
        if withchannel:
            return [(channel, channel.receive()) for channel in self._channels]
        return [channel.receive() for channel in self._channels]

    def make_receive_queue(
        self, endmarker: Any = NOT_WANTED, *, maxsize: int = 0
    ) -> Queue[tuple[Channel, Any]]:
        """Return a queue of what arrives, whichever comes first: pairs of channels and items.

        All that nobody gets is kept in memory, unless ``maxsize`` is given. Called again, it
        returns the same queue.

        Args:
            endmarker: The item that stands for the end of a channel; none unless given.
            maxsize: With so many items in the queue, the other sides wait; 0 for no limit. A thread
                of the library waits for each channel that has more: get all, or close the channels.
        """
        if self._queue is None:
            queue = self._queue = _ReceiveQueue(maxsize, endmarker)
            marker = NOT_WANTED if endmarker is NOT_WANTED else _END
            for channel in self._channels:
                # The channel is kept by its callback, and gone at its end.
                channel.setcallback(partial(queue.feed, channel), marker)
            queue.maker = 0
        return self._queue

    def waitclose(self, timeout: float | None = None) -> None:
        """Wait until the other sides of all channels have closed them.

        Until then all that they send is kept in memory; see :meth:`Channel.waitclose`.

        Args:
            timeout: Seconds for each; None for no limit.

        Raises:
            TimeoutError: One has not in time.
            RemoteError: The code over there raised an exception; the first of these, once all
                channels are closed.
        """
        first = None
        for channel in self._channels:
            try:
                channel.waitclose(timeout)
            except Channel.RemoteError as exc:
                first = first or exc
        if first is not None:
            raise first

    def __len__(self) -> int:
        return len(self._channels)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels)

    def __getitem__(self, index: int) -> Channel:
        return self._channels[index]

    def __contains__(self, channel: object) -> bool:
        return channel in self._channels


class _ReceiveQueue(Queue):  # type: ignore[type-arg]  # Python 3.8 knows no Queue[…]
    """A queue whose limit does not count for the ends of channels."""

    def __init__(self, maxsize: int, endmarker: Any) -> None:
        super().__init__(maxsize)
        self._endmarker = endmarker
        # The thread that makes the queue hands over what `waitclose` has taken; it must not wait.
        self.maker = get_ident()

    def feed(self, channel: Channel, item: Any) -> None:
        """Put an item of a channel; waits for room, as long as the channel is open on this side.

        What a gateway that is gone has left behind is put at once: it is not much.
        """
        waits = item is not _END and get_ident() != self.maker
        with self.not_full:
            while waits and 0 < self.maxsize <= self._qsize():
                if channel.is_left():
                    return
                if not channel._stream.connection.is_connected():
                    break
                self.not_full.wait(_PAUSE)
            self._put((channel, self._endmarker if item is _END else item))
            self.unfinished_tasks += 1
            self.not_empty.notify()


MultiChannel.__module__ = 'across.gateways'
