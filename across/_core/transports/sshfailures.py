"""What the messages of ssh mean when it fails, as exceptions and sentences.

ssh ends with status 255 whatever went wrong; its own words (those of OpenSSH, which are never
translated) tell the rest.

Layer: transports. Standard library only; no I/O.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from typing import TYPE_CHECKING

from across._core.errors import AuthenticationError

if TYPE_CHECKING:
    from typing import Callable, Match


def failure_of(text: str, host: str) -> Exception:
    """The exception for what ssh said before it gave up.

    Args:
        text: All of it.
        host: As given to ssh: an alias, perhaps.

    Returns:
        An :exc:`AuthenticationError` where one side does not accept who the other one is, else an
        :exc:`OSError` of the fitting kind.
    """
    for pattern, make in _KINDS:
        match = re.search(pattern, text, re.MULTILINE)
        if match is not None:
            return make(match, host, text)
    said = ' / '.join(line.strip() for line in text.splitlines()[-3:])
    if said:
        return ConnectionError(f'ssh could not connect to {host}; it says: {said}')
    return ConnectionError(
        f'ssh to {host} ended with status 255 before the handshake; its standard error may say '
        f'why, or else try: ssh -v {host} true'
    )


def _unknown_host(match: Match[str], host: str, text: str) -> Exception:
    name = match[1]
    return socket.gaierror(
        socket.EAI_NONAME,
        f'ssh cannot find the address of {name} ({match[2]}); check the spelling, or give it a '
        'Host entry in ~/.ssh/config',
    )


def _not_reached(match: Match[str], host: str, text: str) -> Exception:
    where, reason = f'{match[1]}, port {match[2]}', match[3]
    code = _errno_of(reason)
    if code == errno.ECONNREFUSED:
        advice = 'is sshd running there, and on that port?'
    elif code == errno.ETIMEDOUT:
        advice = 'is the host up, and does a firewall let you through?'
    else:
        advice = 'is there a network between here and there?'
    # OSError picks its subclass by the number.
    return OSError(code, f'ssh cannot connect to {where}: {reason}; {advice}')


def _timed_out(match: Match[str], host: str, text: str) -> Exception:
    return TimeoutError(
        errno.ETIMEDOUT,
        f'{host} did not answer ssh in time ({match[0]}); is it up, and is that port the one of '
        'its sshd?',
    )


def _changed_key(match: Match[str], host: str, text: str) -> Exception:
    place = re.search(r'Offending .*? in (.+)$', text, re.MULTILINE)
    known = f' ({place[1]})' if place else ''
    command = re.search(r'^\s*(ssh-keygen .*)$', text, re.MULTILINE)
    remove = command[1] if command else f'ssh-keygen -R {host}'
    return AuthenticationError(
        f'the host key of {host} is another one than the known one{known}: the host was installed '
        'anew, or somebody stands in between. When you know which, remove the old key with '
        f'{remove}'
    )


def _unknown_key(match: Match[str], host: str, text: str) -> Exception:
    return AuthenticationError(
        f'the host key of {host} is not known here; log in once by hand (ssh {host}) and confirm '
        "it, or pass ssh_options={'StrictHostKeyChecking': 'accept-new'}"
    )


def _open_key(match: Match[str], host: str, text: str) -> Exception:
    path = match[2]
    return PermissionError(
        errno.EACCES,
        f'others may read the key file {path}, so ssh does not use it; type chmod 600 {path}',
    )


def _bad_key(match: Match[str], host: str, text: str) -> Exception:
    return AuthenticationError(
        f'ssh cannot use the key file {match[1]} ({match[2]}); is it that of a private key?'
    )


def _denied(match: Match[str], host: str, text: str) -> Exception:
    return AuthenticationError(
        f'{match[1]} refuses the login (Permission denied); it accepts: '
        f'{match[2].replace(",", ", ")}. Give the right user and key; a key with a passphrase has '
        'to be in ssh-agent, as ssh is not let ask (BatchMode)'
    )


def _too_many(match: Match[str], host: str, text: str) -> Exception:
    return AuthenticationError(
        f'{host} was offered too many wrong keys ({match[0]}); name the right one with key=…'
    )


def _no_common(match: Match[str], host: str, text: str) -> Exception:
    return ConnectionError(
        f'ssh and {host} have nothing in common: {match[0]}; one of them is too old, or its '
        'configuration too strict'
    )


def _two_commands(match: Match[str], host: str, text: str) -> Exception:
    return ConnectionError(
        f'the ssh configuration sets a RemoteCommand for {host}; pass '
        "ssh_options={'RemoteCommand': 'none'}"
    )


def _proxy(match: Match[str], host: str, text: str) -> Exception:
    return ConnectionError(
        f'the jump host or proxy command on the way to {host} failed; standard error says why'
    )


def _closed(match: Match[str], host: str, text: str) -> Exception:
    return ConnectionError(
        errno.ECONNRESET,
        f'{host} hung up on ssh before the login ({match[0].strip()}): it is no ssh server, or '
        'takes no more connections now, or a jump host failed; then standard error says why',
    )


def _errno_of(text: str) -> int:
    """The number behind the text of a system error."""
    for code in errno.errorcode:
        if os.strerror(code) == text.strip():
            return code
    return errno.EIO


# The first pattern that is found counts: what comes first explains what comes later.
_KINDS: tuple[tuple[str, Callable[[Match[str], str, str], Exception]], ...] = (
    (r'Could not resolve hostname (\S+): (.*?)\s*$', _unknown_host),
    (r'connect to (?:host|address) (\S+) port (\d+): (.*?)\s*$', _not_reached),
    (r'^Connection timed out during banner exchange|^Connection to .* timed out', _timed_out),
    (r'REMOTE HOST IDENTIFICATION HAS CHANGED', _changed_key),
    (r'Host key verification failed', _unknown_key),
    (r"Permissions (\d+) for '(.*)' are too open", _open_key),
    (r'^Load key "(.*)": (?!Permission denied)(.*?)\s*$', _bad_key),
    (r'Too many authentication failures', _too_many),
    (r'^(\S+): Permission denied \((.*)\)', _denied),
    (r'no matching .* found.*', _no_common),
    (r'Cannot execute command-line and remote command', _two_commands),
    (
        r'^(?:Connection (?:closed|reset) by|banner exchange: Connection (?:to|from)) UNKNOWN',
        _proxy,
    ),
    (
        r'^(?:kex_exchange_identification: .*|banner exchange: .*|Connection (?:closed|reset) .*)',
        _closed,
    ),
)
