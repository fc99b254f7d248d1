"""Putting the stand-in in the place of the module ``execnet``.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ['install']

_STAND_IN = 'across.gateways.execnet'

#: The modules inside of execnet that its clients import from.
SUBMODULES = {
    'gateway': ('Gateway',),
    'gateway_base': (
        *('Channel', 'DataFormatError', 'DumpError', 'ExecModel', 'LoadError', 'RemoteError'),
        *('TimeoutError', 'WorkerGateway', 'dump', 'dumps', 'get_execmodel', 'load', 'loads'),
    ),
    'gateway_bootstrap': ('HostNotFound',),
    'multi': ('Group', 'MultiChannel', 'default_group', 'makegateway', 'set_execmodel'),
    'rsync': ('RSync',),
    'xspec': ('XSpec',),
}


class _Submodule(ModuleType):
    """A module whose names are those of the stand-in, loaded when first used."""

    def __getattr__(self, name: str) -> Any:
        if name in SUBMODULES[self.__name__.rpartition('.')[2]]:
            return getattr(sys.modules[_STAND_IN], name)
        raise AttributeError(f'the stand-in for {self.__name__} has no {name!r}')


def install() -> None:
    """Make ``import execnet`` give this stand-in, in this process, from now on.

    A second time does nothing.

    Raises:
        RuntimeError: The module execnet itself is imported already, so somebody uses it.
    """
    import across.gateways.execnet as stand_in

    found = sys.modules.get('execnet')
    if found is stand_in:
        return
    if found is not None:
        raise RuntimeError(
            'cannot stand in for execnet: the module is imported already '
            f'({getattr(found, "__file__", "from an unknown place")}); install the stand-in earlier'
        )
    sys.modules['execnet'] = stand_in
    for name in SUBMODULES:
        module = _Submodule(f'execnet.{name}', f'Names of `{_STAND_IN}`.')
        sys.modules[module.__name__] = module
        # As attributes, too, as after an import; but not where a module of ours has that name.
        if name not in ('gateway', 'rsync', 'xspec'):
            setattr(stand_in, name, module)
