"""A class for each kind of gateway, for those who do not want to write specs.

Layer: gateways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .gateway import Gateway
from .group import default_group
from .spec import Spec

if TYPE_CHECKING:
    from across import Options

__all__ = ['PopenGateway', 'SocketGateway', 'SshGateway']


class PopenGateway(Gateway):
    """A gateway to a child process on this machine.

    Args:
        python: The interpreter, a command line; the one that runs here if there is none.
        options: For the connection.
        **settings: What else a :class:`Spec` may have: ``id``, ``chdir``, ``nice``, ``env`` (a
            dict), ``execmodel``, ``via``.

    Raises:
        ValueError: A setting makes no sense.
        HostNotFound: The gateway could not be made; says why.
    """

    def __init__(
        self, python: str | None = None, *, options: Options | None = None, **settings: Any
    ) -> None:
        super().__init__(Spec.of(popen=True, python=python, **settings), default_group, options)


class SshGateway(Gateway):
    """A gateway to a host that the system's ``ssh`` reaches.

    Args:
        host: ``[user@]host``, with options of ssh in front if need be: ``-p 2222 wonderland``.
        python: The interpreter over there, a command line; ``python3`` if there is none.
        ssh_config: A configuration file for ssh.
        options: For the connection.
        **settings: See :class:`PopenGateway`.
    """

    def __init__(
        self,
        host: str,
        *,
        python: str | None = None,
        ssh_config: str | None = None,
        options: Options | None = None,
        **settings: Any,
    ) -> None:
        spec = Spec.of(ssh=host, python=python, ssh_config=ssh_config, **settings)
        super().__init__(spec, default_group, options)


class SocketGateway(Gateway):
    """A gateway to a server: ``across serve``, or one of the scripts in ``bios``.

    Args:
        host: Its name or address.
        port: Its TCP port.
        options: For the connection.
        **settings: See :class:`PopenGateway`.
    """

    def __init__(
        self, host: str, port: int, *, options: Options | None = None, **settings: Any
    ) -> None:
        if not isinstance(host, str):
            raise TypeError(f'host must be a str, not {type(host).__name__}')
        address = f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
        super().__init__(Spec.of(socket=address, **settings), default_group, options)


for _public in (PopenGateway, SocketGateway, SshGateway):
    _public.__module__ = 'across.gateways'
del _public
