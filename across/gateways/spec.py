"""What kind of gateway to make, in one line of text: ``ssh=wonderland//python=python3.12``.

Layer: gateways.
"""

from __future__ import annotations

import shlex
from typing import Any

__all__ = ['Spec']

#: What each key means; the text is shown to whoever misspells one.
KEYS = {
    'popen': 'an interpreter on this machine',
    'ssh': 'a host, as for the ssh command: [options] [user@]host',
    'socket': 'the address of a server, host:port',
    'via': 'the id of a gateway that starts this one from where it is',
    'python': 'the interpreter to start, a command line',
    'id': 'the name in its group',
    'chdir': 'the directory to work in, made if missing',
    'nice': 'how much to lower the priority, a whole number',
    'execmodel': 'thread, or main_thread_only: code runs in the main thread, one after the other',
    'ssh_config': 'a configuration file for ssh',
    'dont_write_bytecode': 'leave no compiled files behind',
}
_FLAGS = ('popen', 'dont_write_bytecode')
_TEXTS = ('ssh', 'via', 'python', 'chdir', 'ssh_config')
_MODELS = ('thread', 'main_thread_only')


class Spec:
    """A gateway to make: ``key=value`` pairs with ``//`` between them.

    A key without ``=`` is true. ``env:NAME=value`` sets an environment variable over there. Each
    key is an attribute, None where it is not given.

    Args:
        text: Such as ``popen//python=python3.9//chdir=work//env:LANG=C``.

    Raises:
        ValueError: A key is unknown, is given twice, or its value makes no sense.
        TypeError: ``text`` is no string.
    """

    popen: Any
    ssh: Any
    socket: Any
    via: Any
    python: Any
    id: Any
    chdir: Any
    nice: Any
    execmodel: Any
    ssh_config: Any
    dont_write_bytecode: Any

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f'a spec is a str, not {type(text).__name__}')
        self._spec = text
        self.env: dict[str, str] = {}
        self._read(text)
        self._check()

    @classmethod
    def of(cls, env: dict[str, str] | None = None, **values: Any) -> Spec:
        """Make a spec of values: ``Spec.of(ssh='wonderland', nice=5)``; None means not given."""
        for key, value in values.items():
            if isinstance(value, (int, float)) and key in _TEXTS:
                raise TypeError(f'{key} must be a str ({KEYS[key]}), not {value!r}')
        parts = [
            key if value is True else f'{key}={value}'
            for key, value in values.items()
            if value is not None and value is not False
        ]
        parts += [f'env:{name}={value}' for name, value in (env or {}).items()]
        for part in parts:
            if '//' in part:
                raise ValueError(f'{part!r}: "//" separates the parts of a spec')
        return cls('//'.join(parts))

    def _read(self, text: str) -> None:
        seen = set()
        for part in text.split('//'):
            key, equals, value = part.partition('=')
            if key in seen:
                raise ValueError(f'{text!r} gives the key {key!r} twice')
            seen.add(key)
            if key.startswith('env:'):
                self._read_variable(text, key[len('env:') :], equals, value)
            else:
                self._set(text, key, value if equals else True)

    def _read_variable(self, text: str, name: str, equals: str, value: str) -> None:
        if not name or not equals:
            raise ValueError(f'{text!r}: an environment variable is set by env:NAME=value')
        self.env[name] = value

    def _set(self, text: str, key: str, value: str | bool) -> None:
        if key not in KEYS:
            self._set_unknown(text, key, value)
            return
        if value in (True, '') and key not in _FLAGS:
            raise ValueError(f'{text!r}: {key!r} needs a value: {KEYS[key]}')
        setattr(self, key, value)

    def _set_unknown(self, text: str, key: str, value: str | bool) -> None:
        raise ValueError(_unknown(text, key))

    def _check(self) -> None:
        if self.nice is not None:
            try:
                int(self.nice)
            except ValueError:
                raise ValueError(
                    f'{self._spec!r}: nice must be a whole number, not {self.nice!r}'
                ) from None
        if self.execmodel not in (None, *_MODELS):
            raise ValueError(
                f'{self._spec!r}: execmodel must be {" or ".join(_MODELS)}, not {self.execmodel!r}'
            )
        kinds = [key for key in ('popen', 'ssh', 'socket') if getattr(self, key)]
        if len(kinds) > 1:
            raise ValueError(
                f'{self._spec!r} names {len(kinds)} kinds of gateways, give one: {", ".join(kinds)}'
            )

    def address(self) -> tuple[str, int]:
        """The host and port of a socket.

        Raises:
            ValueError: It is not of the form ``host:port``.
        """
        host, _, port = self.socket.rpartition(':')
        if not port.isdigit() or int(port) > 65535:
            raise ValueError(f'{self._spec!r}: socket must be host:port, not {self.socket!r}')
        # [::1]:8888 as in URLs. Without a host, this machine.
        return host.strip('[]') or 'localhost', int(port)

    def python_command(self, default: str) -> list[str]:
        """The words that start the interpreter, without any script."""
        words = shlex.split(self.python) if self.python else [default]
        return [*words, '-B'] if self.dont_write_bytecode else words

    def __getattr__(self, name: str) -> Any:
        if name in KEYS:
            return None
        raise AttributeError(f'a spec has no {name!r}')

    def __str__(self) -> str:
        return self._spec

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self._spec!r}>'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self._spec == other._spec

    def __hash__(self) -> int:
        return hash(self._spec)


def _unknown(text: str, key: str) -> str:
    import difflib

    if not text:
        return 'the spec is empty; popen, ssh=HOST and socket=HOST:PORT are the kinds of gateways'
    near = difflib.get_close_matches(key, KEYS, n=1)
    hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(KEYS)} and env:NAME'
    return f'{text!r} has the unknown key {key!r}; {hint}'


Spec.__module__ = 'across.gateways'
