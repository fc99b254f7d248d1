"""Channels that carry the plain builtin types only.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import itertools
from typing import Any

from .. import channel
from ..errors import GatewayGoneError
from .serializer import check

__all__ = ['Channel']

_numbers = itertools.count(1)


class Channel(channel.Channel):
    """A :class:`across.gateways.Channel` as clients of execnet know it.

    Attributes:
        id: A number that no other channel of this process has.
    """

    def __init__(self, gateway: Any, stream: Any) -> None:
        super().__init__(gateway, stream)
        self.id = next(_numbers)

    def send(self, item: Any) -> None:
        """Send an item of plain builtin types; it may hold channels.

        Raises:
            DumpError: It is something else.
            OSError: The channel is closed.
        """
        check(item, channel.Channel)
        super().send(item)

    def reconfigure(self, py2str_as_py3str: bool = True, py3str_as_py2str: bool = False) -> None:
        """Do nothing: it was about strings of Python 2."""

    def _getremoteerror(self) -> BaseException | None:
        """What a channel with a callback ended with; pytest-xdist asks for it."""
        if self.ending is None and not self.gateway.hasreceiver():
            return GatewayGoneError(f'{self.gateway!r} has gone')
        return self.ending


Channel.__module__ = 'across.gateways.execnet'
