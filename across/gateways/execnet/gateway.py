"""Gateways as clients of execnet know them.

Layer: gateways.
"""

from __future__ import annotations

from typing import Any

from .. import channel, gateway
from .channel import Channel
from .execmodel import ExecModel, get_execmodel
from .serializer import check
from .worker import WorkerGateway

__all__ = ['Gateway']


class Gateway(gateway.Gateway):
    """A :class:`across.gateways.Gateway` as clients of execnet know it."""

    channel_type = Channel
    worker_type = WorkerGateway

    def remote_exec(self, source: Any, **kwargs: Any) -> Channel:
        """Run code over there; see :meth:`across.gateways.Gateway.remote_exec`.

        Raises:
            DumpError: An argument is, or holds, something else than plain builtin types or
                channels.
        """
        check(kwargs, channel.Channel)
        made: Channel = super().remote_exec(source, **kwargs)  # type: ignore[assignment]
        return made

    def remote_init_threads(self, num: int | None = None) -> None:
        """Do nothing, as there."""

    @property
    def execmodel(self) -> ExecModel:
        return get_execmodel('thread')

    @property
    def remoteaddress(self) -> str:
        """Where it leads, unless to a child process.

        Raises:
            AttributeError: It does.
        """
        address = self.spec.ssh or self.spec.socket
        if not address:
            raise AttributeError(f'{self!r} leads to a process on this machine')
        return str(address)

    def reconfigure(self, py2str_as_py3str: bool = True, py3str_as_py2str: bool = False) -> None:
        """Do nothing: it was about strings of Python 2."""

    def _rinfo(self, update: bool = False) -> gateway.RemoteStatus:
        """Facts about the other process, as it was when the gateway was made."""
        facts = {**self.info, 'version_info': self.info['version_info'][:5]}
        return gateway.RemoteStatus(facts)


Gateway.__module__ = 'across.gateways.execnet'
