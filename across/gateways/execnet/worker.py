"""The other side of a gateway of the stand-in.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

from .. import worker
from .channel import Channel
from .execmodel import ExecModel, get_execmodel
from .installing import install

__all__ = ['WorkerGateway']


class WorkerGateway(worker.Worker):
    """What ``channel.gateway`` is in the process that a gateway leads to."""

    channel_type = Channel

    def prepare(self) -> None:
        install()

    @property
    def execmodel(self) -> ExecModel:
        return get_execmodel(self.settings.execmodel)


WorkerGateway.__module__ = 'across.gateways.execnet'
