"""What is written for TARGET on the command line, and connections to it."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from typing import NamedTuple

from across import Connection, Options, get_bios

# Stands for TARGET where a command is given after ``--``.
COMMAND = 'command:'

_FORMS = 'local:, tcp://host:port, unix:///path, ssh://user@host:port, or a command after --'
_SCHEME = re.compile(r'(local|command):|(tcp|unix|ssh)://')
_ADDRESS = re.compile(
    r"""
    (?: (?P<user> [^@/]* ) @ )?
    (?: \[ (?P<ipv6> [0-9A-Fa-f:.]+ (?: % [^\]]+ )? ) \] | (?P<host> [^@/:\[\]\s]* ) )
    (?: : (?P<port> \d{1,5} ) )?
    /?
    """,
    re.VERBOSE,
)


class Target(NamedTuple):
    """Where to connect to, or to listen."""

    scheme: str  # 'local', 'tcp', 'unix', 'ssh' or 'command'; 'systemd' to listen
    user: str | None = None
    host: str = ''
    port: int | None = None
    path: str = ''  # for systemd the name of the sockets
    command: tuple[str, ...] = ()

    @property
    def has_streams(self) -> bool:
        """Whether the process over there has standard streams that are ours alone."""
        return self.scheme not in ('tcp', 'unix')


def is_target(word: str) -> bool:
    """Whether a word of the command line has the form of a TARGET, be it valid or not."""
    return _SCHEME.match(word) is not None


def parse_target(text: str) -> Target:
    """Read a TARGET that can be connected to.

    Raises:
        ArgumentTypeError: It is none.
    """
    match = _SCHEME.match(text)
    if match is None:
        raise ArgumentTypeError(f'{text!r} is no target; those are {_FORMS}')
    scheme, rest = match[1] or match[2], text[match.end() :]
    if scheme in ('local', 'command'):
        if rest:
            raise ArgumentTypeError(f'nothing can follow {match[0]!r}, found {rest!r}')
        return Target(scheme)
    target = _parse_path(text, rest) if scheme == 'unix' else _parse_address(text, scheme, rest)
    if scheme != 'unix' and not target.host:
        raise ArgumentTypeError(f'{text!r} names no host')
    if scheme == 'tcp' and target.port == 0:
        raise ArgumentTypeError(f'{text!r}: nobody can listen on port 0')
    return target


def parse_endpoint(text: str) -> Target:
    """Read where a server listens: no host means all interfaces, port 0 any free one.

    What follows ``systemd:`` is the name of the sockets.

    Raises:
        ArgumentTypeError: It is no such place.
    """
    if text.startswith('systemd:'):
        return Target('systemd', path=text.partition(':')[2])
    scheme, separator, rest = text.partition('://')
    if separator and scheme == 'tcp':
        return _parse_address(text, scheme, rest)
    if separator and scheme == 'unix':
        return _parse_path(text, rest)
    raise ArgumentTypeError(f'{text!r} is neither tcp://host:port nor unix:///path nor systemd:')


def _parse_path(text: str, rest: str) -> Target:
    if not rest.startswith('/') or rest == '/':
        raise ArgumentTypeError(f'{text!r} has no absolute path; write unix:///path')
    return Target('unix', path=rest)


def _parse_address(text: str, scheme: str, rest: str) -> Target:
    match = _ADDRESS.fullmatch(rest)
    if match is None:
        raise ArgumentTypeError(f'{text!r} is not of the form {_form(scheme)}')
    user, host = match['user'], match['ipv6'] or match['host']
    port = int(match['port']) if match['port'] else None
    if scheme == 'tcp' and (user is not None or port is None):
        raise ArgumentTypeError(f'{text!r} is not of the form tcp://host:port')
    if port is not None and port > 65535:
        raise ArgumentTypeError(f'{text!r}: ports go up to 65535')
    if user is not None and ':' in user:
        raise ArgumentTypeError(
            'a password has no place in a target; ssh asks for it, or uses a key'
        )
    # ssh would take it for an option, and those can run commands.
    if user == '' or (user or '').startswith('-') or host.startswith('-'):
        raise ArgumentTypeError(f'{text!r} is not of the form {_form(scheme)}')
    return Target(scheme, user, host, port)


def _form(scheme: str) -> str:
    return 'tcp://host:port' if scheme == 'tcp' else 'ssh://user@host:port'


def connect(
    target: Target, options: Options, forward_stdio: bool, may_ask: bool = False
) -> Connection:
    """Connect to a target; done in the background, like all connecting.

    Args:
        target: From `parse_target`.
        options: What the command line says.
        forward_stdio: Whether what is printed over there appears here.
        may_ask: Whether ssh may ask at the terminal, if there is one: for a password, say.
    """
    options = options.copy(forward_stdio=forward_stdio)
    if target.scheme == 'tcp':
        assert target.port is not None
        return Connection.from_tcp(target.host, target.port, options=options)
    if target.scheme == 'unix':
        return Connection.from_unix(target.path, options=options)
    if target.scheme == 'ssh':
        may_ask = may_ask and sys.stdin is not None and sys.stdin.isatty()
        words = ['-o', 'BatchMode=no'] if may_ask else []
        return Connection.from_ssh(
            target.host, user=target.user, port=target.port, ssh_options=words, options=options
        )
    return Connection.from_command(_command(target), options=options)


def _command(target: Target) -> list[str]:
    if target.scheme == 'command':
        return list(target.command)
    return [sys.executable, '-I', '-S', '-c', get_bios()]
