"""The other side of a gateway of the stand-in.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import os

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
        if self.settings.own_process:
            # As there: what code prints is not shown. The standard error is.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)

    @property
    def execmodel(self) -> ExecModel:
        return get_execmodel(self.settings.execmodel)


WorkerGateway.__module__ = 'across.gateways.execnet'
