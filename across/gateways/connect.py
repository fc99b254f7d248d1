"""The connection that a spec asks for.

Layer: gateways.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from across import Connection, get_bios

if TYPE_CHECKING:
    from across import Options

    from .spec import Spec

# Over ssh, where nobody knows what is installed.
_REMOTE_PYTHON = 'python3'


def connect(spec: Spec, options: Options | None, master: Connection | None) -> Connection:
    """Connect as a spec says; done in the background, like all connecting.

    Args:
        master: The connection of the gateway that the spec names with ``via``.

    Raises:
        ValueError: The spec names no kind of gateway, or one that does not go with the rest.
    """
    if spec.socket:
        if master is not None or spec.python:
            key = 'via' if spec.via else 'python'
            raise ValueError(f'{str(spec)!r}: {key} has no meaning for a server that runs already')
        host, port = spec.address()
        return Connection.from_tcp(host, port, options=options)
    if master is not None:
        from .via import connect_via

        return connect_via(master, command(spec, 'python3'), options)
    if spec.ssh:
        options_and_host = shlex.split(spec.ssh)
        return Connection.from_ssh(
            options_and_host[-1],
            python=_python(spec, _REMOTE_PYTHON),
            ssh_options=[*_config(spec), *options_and_host[:-1]],
            options=options,
        )
    return Connection.from_command(command(spec, sys.executable), options=options)


def command(spec: Spec, default_python: str) -> list[str]:
    """The words that start an interpreter, on this machine or over ssh.

    Args:
        default_python: What to start on the machine where the command runs.

    Raises:
        ValueError: The spec names no kind of gateway.
    """
    if spec.ssh:
        return _ssh_command(spec)
    if not spec.popen:
        raise ValueError(
            f'{str(spec)!r} names no kind of gateway; give popen, ssh=HOST or socket=HOST:PORT'
        )
    return [*_python(spec, default_python), '-c', get_bios()]


def _python(spec: Spec, default: str) -> list[str]:
    """The words that start the interpreter, with its environment."""
    # What is set later comes too late for the interpreter's own variables.
    variables = [f'{name}={value}' for name, value in spec.env.items()]
    return [*(['env', *variables] if variables else []), *spec.python_command(default)]


def _config(spec: Spec) -> list[str]:
    return ['-F', spec.ssh_config] if spec.ssh_config else []


def _ssh_command(spec: Spec) -> list[str]:
    """The command that another process runs, which has no user to ask."""
    words = [*_python(spec, _REMOTE_PYTHON), '-c', get_bios()]
    # No terminal over there (-T): it would change the bytes that pass.
    ssh = ['ssh', '-T', '-o', 'BatchMode=yes', *_config(spec)]
    return [*ssh, *shlex.split(spec.ssh), ' '.join(map(shlex.quote, words))]
