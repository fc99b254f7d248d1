"""A stand-in for the module ``execnet``: its interface, over the gateways of this library.

`install` puts it in the place of that module, in this process and in those that its gateways lead
to. As there, only the plain builtin types and channels can be sent.

Layer: gateways. Fetched by bare peers: what it offers is loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..errors import HostNotFound, RemoteError, TimeoutError
    from ..multi import MultiChannel
    from .channel import Channel
    from .execmodel import ExecModel, get_execmodel
    from .gateway import Gateway
    from .group import Group, default_group, makegateway, set_execmodel
    from .installing import install
    from .rsync import RSync
    from .serializer import (
        DataFormatError,
        DumpError,
        LoadError,
        dump,
        dumps,
        load,
        loads,
    )
    from .worker import WorkerGateway
    from .xspec import XSpec

#: Of the interface that it follows.
__version__ = '2.1'

__all__ = [
    'Channel',
    'DataFormatError',
    'DumpError',
    'ExecModel',
    'Gateway',
    'Group',
    'HostNotFound',
    'LoadError',
    'MultiChannel',
    'RSync',
    'RemoteError',
    'TimeoutError',
    'WorkerGateway',
    'XSpec',
    'default_group',
    'dump',
    'dumps',
    'get_execmodel',
    'install',
    'load',
    'loads',
    'makegateway',
    'set_execmodel',
]

_PARENT, _, _ = __name__.rpartition('.')
_HOMES = {
    f'{_PARENT}.errors': ('HostNotFound', 'RemoteError', 'TimeoutError'),
    f'{_PARENT}.multi': ('MultiChannel',),
    f'{__name__}.channel': ('Channel',),
    f'{__name__}.execmodel': ('ExecModel', 'get_execmodel'),
    f'{__name__}.gateway': ('Gateway',),
    f'{__name__}.group': ('Group', 'default_group', 'makegateway', 'set_execmodel'),
    f'{__name__}.installing': ('install',),
    f'{__name__}.rsync': ('RSync',),
    f'{__name__}.serializer': (
        *('DataFormatError', 'DumpError', 'LoadError'),
        *('dump', 'dumps', 'load', 'loads'),
    ),
    f'{__name__}.worker': ('WorkerGateway',),
    f'{__name__}.xspec': ('XSpec',),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(home), name)
    raise AttributeError(f'the stand-in for execnet has no {name!r}')
