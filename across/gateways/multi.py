"""Several channels at once.

Layer: gateways.
"""

from __future__ import annotations

from functools import partial
from queue import Queue
from typing import Any, Iterator, Sequence

from .channel import NOT_WANTED, Channel

__all__ = ['MultiChannel']


class MultiChannel:
    """Channels to several gateways; what :meth:`Group.remote_exec` returns.

    Args:
        channels: In their order.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = list(channels)
        self._queue: Queue[tuple[Channel, Any]] | None = None

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

    def make_receive_queue(self, endmarker: Any = NOT_WANTED) -> Queue[tuple[Channel, Any]]:
        """Return a queue of what arrives, whichever comes first: pairs of channels and items.

        Called again, it returns the same queue.

        Args:
            endmarker: The item that stands for the end of a channel; none unless given.
        """
        if self._queue is None:
            queue: Queue[tuple[Channel, Any]] = Queue()
            self._queue = queue
            for channel in self._channels:
                # The channel is kept by its callback, and gone at its end.
                channel.setcallback(partial(_put, queue, channel), endmarker)
        return self._queue

    def waitclose(self, timeout: float | None = None) -> None:
        """Wait until the other sides of all channels have closed them.

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


def _put(queue: Queue[tuple[Channel, Any]], channel: Channel, item: Any) -> None:
    queue.put((channel, item))


MultiChannel.__module__ = 'across.gateways'
