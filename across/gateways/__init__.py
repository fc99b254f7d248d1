"""Gateways: start an interpreter anywhere, ship source to it, exchange items with it.

::

    from across.gateways import makegateway

    with makegateway('ssh=wonderland//python=python3.12') as gateway:
        channel = gateway.remote_exec('''
            for name in channel:
                with open(name, 'rb') as file:
                    channel.send(file.read())
        ''')
        channel.send('/etc/hostname')
        print(channel.receive())

Layer: gateways. Both sides import this package, a bare peer over the connection: what it offers is
loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .channel import Channel
    from .errors import ClosedError, GatewayGoneError, HostNotFound, RemoteError, TimeoutError
    from .gateway import Gateway
    from .group import Group, default_group, makegateway
    from .kinds import PopenGateway, SocketGateway, SshGateway
    from .multi import MultiChannel
    from .rsync import RSync
    from .sources import Source
    from .spec import Spec

__all__ = [
    'Channel',
    'ClosedError',
    'Gateway',
    'GatewayGoneError',
    'Group',
    'HostNotFound',
    'MultiChannel',
    'PopenGateway',
    'RSync',
    'RemoteError',
    'SocketGateway',
    'Source',
    'Spec',
    'SshGateway',
    'TimeoutError',
    'default_group',
    'makegateway',
]

_HOMES = {
    'channel': ('Channel',),
    'errors': ('ClosedError', 'GatewayGoneError', 'HostNotFound', 'RemoteError', 'TimeoutError'),
    'gateway': ('Gateway',),
    'group': ('Group', 'default_group', 'makegateway'),
    'kinds': ('PopenGateway', 'SocketGateway', 'SshGateway'),
    'multi': ('MultiChannel',),
    'rsync': ('RSync',),
    'sources': ('Source',),
    'spec': ('Spec',),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f'{__name__}.{home}'), name)
            globals()[name] = value
            return value
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
