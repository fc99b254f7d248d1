"""Child processes as transports: spawned, talked to over their standard streams, reaped.

Layer: transports. Standard library only. ``subprocess``, ``signal`` and ``shlex`` are imported
inside the functions that need them: a peer that spawns nothing starts without them.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from across._core import debug
from across._core.transports.streams import DescriptorTransport

if TYPE_CHECKING:
    import subprocess
    from typing import Any, Sequence, Union

    Argument = Union[str, bytes, 'os.PathLike[str]', 'os.PathLike[bytes]']

# Long frames then leave in fewer writes, and their writer and reader change places less often. Two
# pipes a child, out of the 64 MiB that Linux allows an ordinary user for all of them.
_PIPE_SIZE = 1 << 18
_F_SETPIPE_SZ = 1031  # Linux; fcntl names it from Python 3.10 on

# Seconds: for the status of a child whose stream has ended, and between SIGTERM and SIGKILL. A
# killed process that is stuck in the kernel is not waited for any longer than the last.
STATUS_WAIT = 0.5
_TERMINATE_WAIT = 1.0
_KILL_WAIT = 5.0

# What shells mean by these; the message that they wrote may not be in sight.
_STATUS_MEANINGS = {126: ' (the command cannot be executed)', 127: ' (command not found)'}

# Characters of a command line in messages, and in debug output; a loader given with -c is long.
_COMMAND_SIZE = 60
_WHOLE_COMMAND_SIZE = 1000


class ProcessTransport(DescriptorTransport):
    """A transport over the standard input and output of a child process; it shares our error.

    :meth:`connect` spawns the child. A command that is missing or may not be executed raises the
    :exc:`FileNotFoundError` or :exc:`PermissionError` that names it.

    Args:
        args: The command and its arguments; for a shell script ``['/bin/sh', '-c', script]``.

    Raises:
        TypeError: ``args`` is not a sequence of strings or paths.
        ValueError: ``args`` is empty.
    """

    def __init__(self, args: Sequence[Argument]) -> None:
        self._args = _checked(args)
        self._command = _as_typed(self._args)
        super().__init__(f'`{self._command}`')
        self._process: subprocess.Popen[Any] | None = None
        self._process_name = self.name
        self._kill = False  # rather than wait for the child to end by itself

    @classmethod
    def from_popen(cls, process: subprocess.Popen[Any]) -> ProcessTransport:
        """Take over a running child process and its pipes.

        Raises:
            TypeError: It is no :class:`subprocess.Popen`.
            ValueError: Its standard input or output is no pipe of ours.
        """
        import subprocess

        if not isinstance(process, subprocess.Popen):
            raise TypeError(f'proc must be a subprocess.Popen, not {type(process).__name__}')
        if process.stdin is None or process.stdout is None:
            raise ValueError('proc must have been started with stdin=PIPE and stdout=PIPE')
        if process.stdin.closed or process.stdout.closed:
            raise ValueError('the pipes of proc must still be open')
        args = process.args
        transport = cls([args] if isinstance(args, (str, bytes, os.PathLike)) else args)
        with suppress(BrokenPipeError):  # the first send will tell
            process.stdin.flush()
        transport._adopt(process)
        return transport

    @property
    def exit_status(self) -> int | None:
        """The exit status; the negated signal number where one ended it; None while it runs."""
        return None if self._process is None else self._process.poll()

    def connect(self, timeout: float | None) -> None:
        self._check_cancelled()
        if self._process is None:
            self._adopt(self._spawn())
            if debug.verbosity:
                command = _as_typed(self._args, _WHOLE_COMMAND_SIZE)
                debug.log('DEBUG', self.name, f'started with: {command}')
        super().connect(timeout)
        _enlarge_pipes(self._in_fd, self._out_fd)

    def _spawn(self) -> subprocess.Popen[Any]:
        command = os.fsdecode(self._args[0])
        try:
            return _spawn(self._args)
        except FileNotFoundError as exc:
            problem = f'there is no command {command!r} on this machine'
            raise FileNotFoundError(
                exc.errno, f'cannot start {self._process_name}: {problem}'
            ) from exc
        except PermissionError as exc:
            problem = f'{command!r} may not be executed'
            raise PermissionError(
                exc.errno, f'cannot start {self._process_name}: {problem}'
            ) from exc

    def _adopt(self, process: subprocess.Popen[Any]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._files = (process.stdout, process.stdin)
        self.name = self._process_name = f'process {process.pid} ({self._command})'

    def kill(self) -> None:
        self._kill = True
        self.cancel()

    def close(self, timeout: float | None) -> None:
        process = self._process
        if process is not None and self._kill:
            # Before it sees the end of its input, which it would report on the shared error stream.
            _signal(process, 'SIGKILL')
        self._close_files(shared=False)
        if process is not None:
            self._reap(process, timeout)
        self._wakeup.close()

    def _reap(self, process: subprocess.Popen[Any], timeout: float | None) -> None:
        """Wait for the end of the child; end it after ``timeout``, or on :meth:`kill`."""
        import subprocess

        try:
            if not self._wait_exit(process, timeout) and not self._kill:
                _signal(process, 'SIGTERM')
                self._wait_exit(process, _TERMINATE_WAIT)
        finally:  # also when Ctrl-C ends the waiting: no child is left behind
            if process.poll() is None:
                _signal(process, 'SIGKILL')
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_KILL_WAIT)

    def _wait_exit(self, process: subprocess.Popen[Any], timeout: float | None) -> bool:
        """Wait until the child has ended, the time is up, or it is to be killed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        # Popen.wait() looks again and again as well, but nothing could end it.
        pause = 0.0005
        while process.poll() is None:
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
            if pause <= 0 or self._kill:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return True

    def abandon(self) -> None:
        super().abandon()
        if self._process is not None and self._process.returncode is None:
            self._process.returncode = 0  # the parent's child: the finalizer here has no say in it

    def ending(self) -> str:
        process = self._process
        if process is None:
            return super().ending()
        self._wait_exit(process, STATUS_WAIT)
        status = process.poll()
        if status is None:
            return f'{self._process_name} closed its standard output'
        if status < 0:
            return f'{self._process_name} was killed by {_signal_name(-status)}'
        return f'{self._process_name} ended with status {status}{_STATUS_MEANINGS.get(status, "")}'


def _spawn(args: list[Argument]) -> subprocess.Popen[Any]:
    import signal
    import subprocess

    # A Ctrl-C typed at the terminal goes to all of its foreground group, so to the child too, and
    # it is this process that decides what becomes of the connection. The child inherits the
    # blocked signal; on the far side our own code unblocks it. A session of its own (setsid)
    # would do as well, but take the terminal away from the password prompt of ssh.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _enlarge_pipes(*fds: int) -> None:
    import fcntl
    import sys

    if not sys.platform.startswith('linux'):
        return
    for fd in fds:
        with suppress(OSError):  # no pipe, or over the user's limit: the usual 64 KiB will do
            fcntl.fcntl(fd, _F_SETPIPE_SZ, _PIPE_SIZE)


def _signal(process: subprocess.Popen[Any], name: str) -> None:
    import signal

    # Gone meanwhile and reaped by somebody else, or running as another user (sudo): that one ends
    # when its input does.
    with suppress(ProcessLookupError, PermissionError):
        process.send_signal(signal.Signals[name])


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f'signal {number}'


def _checked(args: Sequence[Argument]) -> list[Argument]:
    if isinstance(args, (str, bytes)) or not hasattr(args, '__iter__'):
        raise TypeError(
            f'args must be a list of the command and its arguments, not {type(args).__name__}'
        )
    checked = list(args)
    if not checked:
        raise ValueError('args must name a command, but is empty')
    for arg in checked:
        if not isinstance(arg, (str, bytes, os.PathLike)):
            raise TypeError(f'args must be strings or paths, but one is {type(arg).__name__}')
    return checked


def _as_typed(args: list[Argument], size: int = _COMMAND_SIZE) -> str:
    """The command line as one would type it, cut to a number of characters."""
    from shlex import quote

    words = [' '.join(os.fsdecode(arg).split()) for arg in args]
    # A word as long as that is a script; the words around it say more.
    line = ' '.join('…' if len(word) > size else quote(word) for word in words)
    return line if len(line) <= size else line[: size - 1] + '…'
