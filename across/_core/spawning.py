"""Connections to processes that are started for them: here, or on another machine.

Layer: below :mod:`.connection`, whose class has these constructors.
"""

from __future__ import annotations

from .options import check_options

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    import os
    import subprocess
    from typing import Any, Mapping, Sequence, TypeVar

    from .options import Options
    from .transports.base import Transport

    C = TypeVar('C', bound='Spawning')


class Spawning:
    """The constructors of :class:`.Connection` that have a child process."""

    if TYPE_CHECKING:

        def __init__(self, transport: Transport, options: Options | None) -> None: ...

    @classmethod
    def from_command(cls: type[C], args: list[str], *, options: Options | None = None) -> C:
        """Start a child process, and talk with it over its standard input and output.

        Args:
            args: The program and its arguments. Its standard error is ours.
            options: What to tune; see :class:`Options`.
        """
        from .transports.processes import ProcessTransport

        check_options(options)
        return cls(ProcessTransport(args), options)

    @classmethod
    def from_shell(cls: type[C], script: str, *, options: Options | None = None) -> C:
        """Start a shell (``/bin/sh``) that runs a script, and talk with it like with a command.

        Args:
            script: What the shell runs.
            options: What to tune; see :class:`Options`.
        """
        from .transports.processes import ProcessTransport

        check_options(options)
        if not isinstance(script, str):
            raise TypeError(f'the script must be a str, not {type(script).__name__}')
        return cls(ProcessTransport(['/bin/sh', '-c', script]), options)

    @classmethod
    def from_ssh(
        cls: type[C],
        host: str,
        *,
        user: str | None = None,
        port: int | None = None,
        key: str | os.PathLike[str] | None = None,
        python: str | Sequence[str] = 'python3',
        ssh_options: Mapping[str, Any] | Sequence[str] = (),
        compression: bool = False,
        options: Options | None = None,
    ) -> C:
        """Start a bare Python on another machine, with the ``ssh`` command of this one.

        Nothing needs to be installed there but Python. What the process over there writes to its
        standard error appears on ours. ssh asks no questions (``BatchMode``).

        Args:
            host: Name, address, ``user@host``, or an alias of ``~/.ssh/config``.
            user: Login name, unless ssh is to choose it.
            port: Of sshd, unless ssh is to choose it.
            key: File of the private key to log in with, and no other. One without a folder is also
                looked for in ``~/.ssh``.
            python: Which Python: a command line, read by ``sh`` over there, as
                ``'~/venv/bin/python -I'``; or a list of words, taken as they are.
            ssh_options: A dict of options, as in ``ssh_config(5)``: ``{'ProxyJump': 'bastion'}``;
                true and false stand for yes and no, a list for an option given several times. Or a
                list of words for the command line of ssh: ``['-J', 'bastion']``. They come ahead
                of what this method itself asks for.
            compression: Whether ssh compresses what it sends.
            options: What to tune; see :class:`Options`.

        Raises:
            TypeError, ValueError: An argument makes no sense.

        When the connection cannot be made, the :exc:`DisconnectError` of the first use has as its
        cause an :exc:`OSError` (no such host, nobody listens, no key file …), an
        :exc:`AuthenticationError` (one side refuses the other one's key), an
        :exc:`InterpreterError` (no Python over there, or too old a one) or a
        :exc:`ProtocolError` (something else than Python answers).
        """
        from .transports.ssh import SshTransport
        from .travel.bios import get_bios

        check_options(options)
        transport = SshTransport(
            host,
            get_bios(),
            user=user,
            port=port,
            key=key,
            python=python,
            ssh_options=ssh_options,
            compression=compression,
        )
        return cls(transport, options)

    @classmethod
    def from_process(
        cls: type[C], proc: subprocess.Popen[Any], *, options: Options | None = None
    ) -> C:
        """Use a child process that runs already; the connection then waits for its end, too.

        Args:
            proc: Started with ``stdin=PIPE`` and ``stdout=PIPE``.
            options: What to tune; see :class:`Options`.

        Raises:
            TypeError, ValueError: ``proc`` is something else, or lacks a pipe.
        """
        from .transports.processes import ProcessTransport

        check_options(options)
        return cls(ProcessTransport.from_popen(proc), options)


for _name in ('from_command', 'from_shell', 'from_ssh', 'from_process'):
    # As messages about their arguments show them: nobody knows of this class.
    vars(Spawning)[_name].__func__.__qualname__ = f'Connection.{_name}'
del _name
