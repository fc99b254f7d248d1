"""The command line of ``ssh`` that runs a line of Python on another machine.

Layer: transports; loaded when first used. Standard library only.
"""

from __future__ import annotations

import os
import re
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence, Union

    Path = Union[str, 'os.PathLike[str]']
    SshOptions = Union[Mapping[str, Any], Sequence[str]]

# What shells or ssh itself could take for something else than a name, in a proxy command say.
_UNSAFE = re.compile(r'[\s\x00-\x1f\x7f\'"`$\\;&<>|(){}/]')


class SshCommand:
    """What to run, and where; see :class:`.ssh.SshTransport` for the arguments.

    Attributes:
        host: The host without the user.
        python: The command line of Python over there.
        label: For messages: ``ssh alice@wonderland``.
        url: For messages: ``ssh://alice@wonderland:22``.
        logs_elsewhere: Whether the user wants to see, or keep, all that ssh says.

    Raises:
        TypeError, ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        host: str,
        script: str,
        *,
        user: str | None,
        port: int | None,
        key: Path | None,
        python: str | Sequence[str],
        ssh_options: SshOptions,
        compression: bool,
    ) -> None:
        user, self.host = _split_host(host, user)
        _check_port(port)
        if not isinstance(compression, bool):
            raise TypeError(f'compression must be True or False, not {compression!r}')
        self.python = _python_command(python)
        self._key = None if key is None else _checked_path(key)
        self._options = _option_words(ssh_options)
        self._words = [
            # No terminal over there, whatever the configuration says: it would change the bytes.
            *('-T', '-o', 'BatchMode=yes'),
            *(['-C'] if compression else []),
            *([] if port is None else ['-p', str(port)]),
            *([] if user is None else ['-l', user]),
        ]
        self._command = ['--', self.host, _remote_command(self.python, script)]
        login = '' if user is None else f'{user}@'
        address = f'[{self.host}]' if ':' in self.host else self.host
        self.label = f'ssh {login}{self.host}'
        self.url = f'ssh://{login}{address}' + ('' if port is None else f':{port}')
        self.logs_elsewhere = any(map(_asks_for_log, self._options))

    def argv(self, timeout: float | None = None, log: str | None = None) -> list[str]:
        """The words. Of an option that is given twice ssh takes the first: the user's come first.

        Args:
            timeout: Seconds that connecting may take.
            log: The file that ssh writes its own messages to.

        Raises:
            FileNotFoundError: There is no such key file.
        """
        words = ['ssh', *self._options, *self._words]
        if self._key is not None:
            words += ['-i', _find_key(self._key), '-o', 'IdentitiesOnly=yes']
        if timeout is not None and timeout >= 2:
            # A second before our own time is up, so that ssh can say where it was stuck.
            words += ['-o', f'ConnectTimeout={min(int(timeout) - 1, 1 << 20)}']
        if log is not None:
            words += ['-E', log]
        return [*words, *self._command]


def _option_words(options: SshOptions) -> list[str]:
    """The words of the command line that stand for ``ssh_options``.

    A mapping holds options of ``ssh_config(5)``: true and false stand for yes and no, and a list
    for an option that is given several times. A sequence holds words as one would type them.

    Raises:
        TypeError, ValueError: It is something else.
    """
    if isinstance(options, (str, bytes)) or not hasattr(options, '__iter__'):
        raise TypeError(
            "ssh_options must be a dict, as {'ProxyJump': 'bastion'}, or a list of words, as "
            f"['-J', 'bastion'], not {type(options).__name__}"
        )
    if hasattr(options, 'items'):
        return [word for key, value in options.items() for word in _option(key, value)]
    words = list(options)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f'the words of ssh_options must be str, not {type(word).__name__}')
    if '--' in words:
        raise ValueError('ssh_options must hold options only, and so no --')
    if words and not words[0].startswith('-'):
        raise ValueError(f'ssh_options must begin with an option, as -J or -o, not {words[0]!r}')
    return words


def _option(key: Any, value: Any) -> list[str]:
    if not isinstance(key, str) or not key.isalnum():
        raise ValueError(f'ssh_options has {key!r}, which is not the name of an ssh option')
    if isinstance(value, (list, tuple)):
        return [word for each in value for word in _option(key, each)]
    if isinstance(value, bool):
        value = 'yes' if value else 'no'
    return ['-o', f'{key}={value}']


def _split_host(host: str, user: str | None) -> tuple[str | None, str]:
    if not isinstance(host, str):
        raise TypeError(f'host must be a str, not {type(host).__name__}')
    if user is not None and not isinstance(user, str):
        raise TypeError(f'user must be a str, not {type(user).__name__}')
    login, at, name = host.rpartition('@')
    if at and user is not None:
        raise ValueError(f'the user is given twice: in {host!r} and as {user!r}')
    if name.startswith('[') and name.endswith(']'):  # an IPv6 address as in a URL
        name = name[1:-1]
    found = login if at else user
    # ssh would take it for an option, and those can run commands.
    if not name or name.startswith('-') or _UNSAFE.search(name):
        raise ValueError(f'{host!r} is not the name or address of a host')
    if found is not None and (not found or found.startswith('-') or _UNSAFE.search(found)):
        raise ValueError(f'{found!r} is not the name of a user')
    return found, name


def _check_port(port: int | None) -> None:
    if port is None:
        return
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f'port must be an integer, not {type(port).__name__}')
    if not 0 < port < 65536:
        raise ValueError(f'port must be between 1 and 65535, not {port}')


def _checked_path(key: Path) -> str:
    path = os.fspath(key)
    if not isinstance(path, str) or not path:
        raise TypeError('key must be the path of a private key, a str or a path object')
    return path


def _find_key(key: str) -> str:
    """The key file; one that is given by its bare name may be in ``~/.ssh``."""
    paths = [os.path.expanduser(key)]
    if os.sep not in key:
        paths.append(os.path.join(os.path.expanduser('~'), '.ssh', key))
    for path in paths:
        # The private half of a public key may be in an agent, or in a device.
        if os.path.exists(path):
            return path
    raise FileNotFoundError(2, f'there is no key file {" or ".join(paths)} on this machine')


def _python_command(python: str | Sequence[str]) -> str:
    if isinstance(python, str):
        command = python.strip()
    elif hasattr(python, '__iter__') and all(isinstance(word, str) for word in python):
        command = ' '.join(map(quote, python))
    else:
        raise TypeError('python must be a command line, or a list of words')
    if not command or '\n' in command or '\0' in command:
        raise ValueError(f'python must be a command line, not {python!r}')
    return command


def _remote_command(python: str, script: str) -> str:
    """What the login shell runs; it may be any, and knows single quotes in any case.

    A plain ``sh`` goes in between: it reads the command line of Python the same way everywhere,
    and says 127 where there is no such command, which csh does not. It begins what it says with
    its first word, which is therefore not the script.
    """
    return f'sh -c {quote(python + " -c " + chr(34) + "$1" + chr(34))} across {quote(script)}'


def _asks_for_log(word: str) -> bool:
    return word.startswith(('-E', '-v', '-y')) or word.lower().startswith('loglevel=debug')
