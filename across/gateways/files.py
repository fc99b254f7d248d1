"""Text files over channels.

Layer: gateways. Fetched by a bare peer when first used.
"""

from __future__ import annotations

import io
from typing import Any

from .errors import GatewayGoneError

__all__ = ['ReadingFile', 'WritingFile']


class _ChannelFile(io.TextIOBase):
    encoding = 'utf-8'

    def __init__(self, channel: Any, closes_channel: bool) -> None:
        self.channel = channel
        self._closes_channel = closes_channel

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self._closes_channel:
                self.channel.close()


class WritingFile(_ChannelFile):
    """A file whose text goes over a channel, piece by piece as it is written."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Send a piece of text.

        Raises:
            ClosedError: The channel is closed.
            GatewayGoneError: The other process is gone.
        """
        if self.closed:
            raise ValueError('the file is closed')
        self.channel.send(text)
        return len(text)


class ReadingFile(_ChannelFile):
    """A file whose text comes from a channel; its end is the end of the channel.

    Reading raises what :meth:`Channel.receive` does, but for the :exc:`EOFError` at the end: a
    gateway that is lost is no end of the file.
    """

    def __init__(self, channel: Any, closes_channel: bool) -> None:
        super().__init__(channel, closes_channel)
        self._text = ''  # received and not read yet
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        """Read that many characters, or to the end; fewer only at the end."""
        wanted = None if size is None or size < 0 else size
        while not self._ended and (wanted is None or len(self._text) < wanted):
            self._fetch()
        return self._cut(len(self._text) if wanted is None else wanted)

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        """Read to the end of the line, that included, or at most so many characters."""
        searched = 0
        while not self._ended and (size < 0 or len(self._text) < size):
            if self._text.find('\n', searched) >= 0:
                break
            searched = len(self._text)
            self._fetch()
        end = self._text.find('\n') + 1 or len(self._text)
        return self._cut(end if size < 0 else min(end, size))

    def _fetch(self) -> None:
        try:
            self._text += self.channel.receive()
        except GatewayGoneError:
            raise  # what has come is not all
        except EOFError:
            self._ended = True

    def _cut(self, size: int) -> str:
        text, self._text = self._text[:size], self._text[size:]
        return text


for _public in (ReadingFile, WritingFile):
    _public.__module__ = 'across.gateways'
del _public
