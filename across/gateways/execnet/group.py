"""Groups as clients of execnet know them.

Layer: gateways.
"""

from __future__ import annotations

from typing import Any, Iterable

from .. import group
from ..spec import Spec
from .execmodel import ExecModel, get_execmodel
from .gateway import Gateway
from .xspec import XSpec

__all__ = ['Group', 'default_group', 'makegateway', 'set_execmodel']


class Group(group.Group):
    """A :class:`across.gateways.Group` as clients of execnet know it.

    Args:
        xspecs: Of the first gateways.
        execmodel: How code runs over there where a spec says nothing: ``thread`` or
            ``main_thread_only``.
    """

    gateway_type = Gateway

    def __init__(self, xspecs: Iterable[Spec | str] = (), execmodel: str = 'thread') -> None:
        self._models = get_execmodel(execmodel), get_execmodel(execmodel)
        super().__init__(xspecs)

    @property
    def execmodel(self) -> ExecModel:
        return self._models[0]

    @property
    def remote_execmodel(self) -> ExecModel:
        return self._models[1]

    def set_execmodel(self, execmodel: str, remote_execmodel: str | None = None) -> None:
        """Say how code runs; see the class.

        Raises:
            ValueError: There is no such model, or there are gateways already.
        """
        if len(self):
            raise ValueError('the execmodel cannot be changed once there are gateways')
        self._models = get_execmodel(execmodel), get_execmodel(remote_execmodel or execmodel)

    def make_spec(self, spec: Any) -> Spec:
        made = spec if isinstance(spec, Spec) else XSpec(spec or self.defaultspec)
        if made.execmodel is None:
            made.execmodel = self.remote_execmodel.backend
        return made


#: The group of all gateways that are made without one.
default_group = Group()
makegateway = default_group.makegateway
set_execmodel = default_group.set_execmodel

Group.__module__ = 'across.gateways.execnet'
