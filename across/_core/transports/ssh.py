"""Processes on other machines as transports, started and talked to by the system's ``ssh``.

Layer: transports; loaded when first used. Standard library only. The command line is made by
:mod:`.sshcommand`; what ssh's messages mean is in :mod:`.sshfailures`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from across._core.errors import InterpreterError, ProtocolError
from across._core.transports.processes import STATUS_WAIT, ProcessTransport
from across._core.transports.sshcommand import SshCommand
from across._core.transports.sshfailures import failure_of

if TYPE_CHECKING:
    import subprocess
    from typing import Any, Sequence

    from across._core.transports.sshcommand import Path, SshOptions

# What every peer says first; see `wire.greeting`.
_GREETING = b'ACROSS '

# Seconds in which who prints something else gets to say more, and Python may still start after it;
# bytes shown.
_TEXT_WAIT = 10.0
_TEXT_SIZE = 500


class SshTransport(ProcessTransport):
    """A transport over ``ssh host python -c script``.

    Until the other side has spoken, what ssh itself says goes to a temporary file, apart from the
    standard error of the process over there, which is ours. So a failure can be told, and typed:
    it is raised by the :meth:`receive_into` that meets the end of the stream.

    Args:
        host: Name, alias or address, ``user@host`` too.
        script: A line of Python, without single quotes.
        user: Login name.
        port: 1 to 65535.
        key: File of a private key.
        python: A command line for ``sh`` over there, or a list of words.
        ssh_options: Options by name, or words of the command line of ssh.
        compression: Whether ssh compresses.

    Raises:
        TypeError, ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        host: str,
        script: str,
        *,
        user: str | None = None,
        port: int | None = None,
        key: Path | None = None,
        python: str | Sequence[str] = 'python3',
        ssh_options: SshOptions = (),
        compression: bool = False,
    ) -> None:
        self._ssh = SshCommand(
            host,
            script,
            user=user,
            port=port,
            key=key,
            python=python,
            ssh_options=ssh_options,
            compression=compression,
        )
        super().__init__(['ssh'])  # the rest when it connects
        self._command = self._ssh.label
        self._process_name = f'`{self._command}`'
        self.name = self._ssh.url
        self._log: _Log | None = None

    def connect(self, timeout: float | None) -> None:
        if self._process is None:
            self._check_cancelled()
            if not self._ssh.logs_elsewhere:
                self._log = _Log.create()
            self._args[:] = self._ssh.argv(timeout, self._log.path if self._log else None)
        super().connect(timeout)
        # In place of the read until the other side has spoken, so that later ones pay nothing.
        self._readv = self._first_read

    def _adopt(self, process: subprocess.Popen[Any]) -> None:
        super()._adopt(process)
        self.name = self._ssh.url

    def _first_read(self, fd: int, views: tuple[memoryview]) -> int:
        """Read what the other side says first.

        Raises:
            BlockingIOError: Nothing yet.
            OSError, ProtocolError: It says nothing, or something else than a peer says.
        """
        count = os.readv(fd, views)
        self._readv = os.readv
        if self._log is not None:
            self._log.remove()
        if count == 0:
            raise self._failure()
        said = bytes(views[0][:count])
        if not said.startswith(_GREETING[:count]):
            raise self._foreign(said)
        if self._log is not None:
            self._log.show()
        return count

    def _failure(self) -> Exception:
        """Why the stream ended before the other side had said a word."""
        process, python, host = self._process, self._ssh.python, self._ssh.host
        assert process is not None
        self._wait_exit(process, STATUS_WAIT)
        status = process.poll()
        if status == 127:
            return InterpreterError(
                f'{host} has no command {python!r}; say which Python to use there with python=…'
            )
        if status == 126:
            return InterpreterError(
                f'{python!r} cannot be executed on {host}; say which Python to use there with '
                'python=…'
            )
        if status == 255:
            text = '' if self._log is None else self._log.read()
            return failure_of(text, host)
        ending = self.ending()
        if status is None or status < 0:
            return ConnectionError(f'{ending} before the handshake')
        return ConnectionError(
            f'{python!r} on {host} ended with status {status} before the handshake; its standard '
            f'error may say why, or else try: ssh {host} python3 --version'
        )

    def _foreign(self, said: bytes) -> ProtocolError:
        """The error about text on the standard output; waits a moment for the rest of it."""
        with suppress(BlockingIOError):
            while len(said) < _TEXT_SIZE and _GREETING not in said:
                if not self.wait_readable(_TEXT_WAIT):
                    break
                more = os.read(self._in_fd, _TEXT_SIZE)
                if not more:
                    break
                said += more
        before, found, _ = said.partition(_GREETING)
        text = before[:_TEXT_SIZE].decode('utf-8', 'backslashreplace').strip()
        if found:
            return ProtocolError(
                f'the start-up files of the login shell on {self._ssh.host} print to standard '
                'output, which the connection needs for itself; let them be silent where the shell '
                f'is not interactive. They print: {text}'
            )
        return ProtocolError(
            f'on {self._ssh.host} something else than Python answers (a login shell that runs no '
            f'commands, a forced command?); it sent: {text}'
        )

    def ending(self) -> str:
        ending = super().ending()
        said = '' if self._log is None else self._log.read().strip()
        return f'{ending}; ssh says: {said.splitlines()[-1]}' if said else ending

    def close(self, timeout: float | None) -> None:
        super().close(timeout)
        if self._log is not None:
            self._log.remove()
            self._log.close()

    def abandon(self) -> None:
        super().abandon()
        if self._log is not None:
            self._log.close()


class _Log:
    """The file that ssh writes its own messages to; it has a name only until ssh has opened it."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._seen = 0  # bytes of it that the user has seen
        self.path = path

    @classmethod
    def create(cls) -> _Log | None:
        """Make one; None where no file can be made: ssh then writes to standard error."""
        import tempfile

        try:
            return cls(*tempfile.mkstemp('.log', 'across-ssh-'))
        except OSError:
            return None

    def read(self) -> str:
        """What has not been shown."""
        if self._fd < 0:
            return ''
        text = os.pread(self._fd, 1 << 16, self._seen).decode('utf-8', 'backslashreplace')
        return text.replace('\r', '')

    def show(self) -> None:
        """Write on standard error what ssh would have written there: warnings."""
        text = os.pread(self._fd, 1 << 16, 0)
        self._seen = len(text)
        with suppress(OSError):
            if text:
                os.write(2, text)

    def remove(self) -> None:
        path, self.path = self.path, ''
        with suppress(OSError):
            if path:
                os.unlink(path)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
