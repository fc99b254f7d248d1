"""Remote code of the command line, on the side that runs it.

A bare peer fetches this module over the connection: standard library and `across` only.
"""

from __future__ import annotations

import builtins
import io
import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Callable, Iterator, NamedTuple

from across import OperationError, get_connection, run_in_main_thread

from .running import (
    Interruptible,
    decode,
    format_error,
    in_a_line,
    joined_threads,
    remember,
    run_statements,
)

# What a shell says of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130

# Held while code runs: `__main__`, `sys.argv` and the standard streams exist once in a process, and
# a server may run connections of several clients in its own.
_in_charge = threading.Lock()

# Whether code can run in the main thread, as that waits for the end of a connection; not so where
# it has a server to look after.
main_thread_waits = True


class Outcome(NamedTuple):
    """How a piece of code ended.

    Attributes:
        status: For the exit status of the program.
        error: What belongs on standard error: a traceback, the text given to ``sys.exit()``.
        value: The ``repr()`` of the last expression, unless that was None.
        more: The code is incomplete: a line that continues it is awaited.
        exited: It has called ``sys.exit()``.
        reason: Why it failed, in a line.
    """

    status: int = 0
    error: str = ''
    value: str | None = None
    more: bool = False
    exited: bool = False
    reason: str = ''


class Session:
    """A ``__main__`` module, and code that runs in it.

    Args:
        terminal: Proxy of the `near.Terminal` on the other side.
        with_output: Whether what Python prints has to be sent there, because the connection does
            not forward it.
    """

    def __init__(self, terminal: Any, with_output: bool) -> None:
        self._terminal = terminal
        self._with_output = with_output
        self._main = ModuleType('__main__')
        self._main.__dict__['__builtins__'] = builtins
        _add_names_of_site()
        self._argv = ['']
        self._stdin: Any = io.TextIOWrapper(
            io.BufferedReader(_Input(self._ask)), 'utf-8', errors='surrogateescape'
        )
        self._lines: list[str] = []  # of the statement that is being typed
        self._count = 0
        self._interruptible = Interruptible()

    # ----------------------------------------------------------------------- what the caller calls

    def run_script(self, source: bytes, filename: str, argv: list[str]) -> Outcome:
        """Run a script as ``python script.py`` does.

        Args:
            source: Its content.
            filename: Its absolute path, over there.
            argv: What it finds in ``sys.argv``.
        """
        self._argv = argv
        self._main.__dict__['__file__'] = filename

        def run() -> Outcome:
            remember(filename, decode(source))
            with joined_threads():
                exec(compile(source, filename, 'exec', dont_inherit=True), self._main.__dict__)
            return Outcome()

        return self._guard(run)

    def evaluate(self, source: str) -> Outcome:
        """Run statements, the value of the last one being the outcome's."""
        self._argv = ['-c']

        def run() -> Outcome:
            with joined_threads():
                value = run_statements(source, '<exec>', self._main.__dict__)
            return Outcome(value=None if value is None else repr(value))

        return self._guard(run)

    def push(self, line: str) -> Outcome:
        """Take in a line of an interactive session; run the statement if it is complete."""
        return self._guard(lambda: self._push(line))

    def forget_lines(self) -> None:
        """Drop the statement that is being typed."""
        self._lines.clear()

    def complete(self, text: str) -> list[str]:
        """What a word may be completed to."""
        import rlcompleter

        completer = rlcompleter.Completer(self._main.__dict__)
        matches: list[str] = []
        # It asks for the n-th match each time, until there are no more.
        while len(matches) < 1000:
            match = completer.complete(text, len(matches))
            if match is None:
                break
            matches.append(match)
        return matches

    def describe(self) -> str:
        """The interpreter, as its own prompt would introduce it."""
        return f'Python {sys.version} on {sys.platform}'.replace('\n', ' ')

    def interrupt(self) -> bool:
        """Raise `KeyboardInterrupt` in the code that runs, if any does.

        Returns:
            Whether that has to wait, as the code is reading or printing.
        """
        return self._interruptible.interrupt()

    # ----------------------------------------------------------------------------------- how

    def _push(self, line: str) -> Outcome:
        from codeop import compile_command

        self._lines.append(line)
        source = '\n'.join(self._lines)
        name = f'<shell {self._count + 1}>'
        more = False
        try:
            code = compile_command(source, name, 'single')
            more = code is None
        finally:
            if not more:
                self._lines.clear()
        if code is None:
            return Outcome(more=True)
        self._count += 1
        remember(name, source + '\n')
        exec(code, self._main.__dict__)
        return Outcome()

    def _guard(self, run: Callable[[], Outcome]) -> Outcome:
        if not _in_charge.acquire(False):
            raise OperationError(
                'that process runs code of another client at the moment; a server with a process '
                'for each client has no such limit'
            )
        try:
            return _in_main_thread(lambda: self._run(run))
        finally:
            _in_charge.release()

    def _run(self, run: Callable[[], Outcome]) -> Outcome:
        try:
            with self._surroundings():
                return self._interruptible.run(run)
        except SystemExit as exc:
            return _exited(exc.code)
        except KeyboardInterrupt as exc:
            return Outcome(INTERRUPTED, format_error(exc), reason='KeyboardInterrupt')
        except BaseException as exc:
            return Outcome(1, format_error(exc), reason=in_a_line(exc))

    def _ask(self, method: str, *args: Any) -> Any:
        return self._interruptible.shield(getattr(self._terminal, method), *args)

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Make the process look, to the code, as if it had been started for it."""
        main, argv = sys.modules.get('__main__'), sys.argv
        streams = sys.stdin, sys.stdout, sys.stderr
        sys.modules['__main__'], sys.argv, sys.stdin = self._main, self._argv, self._stdin
        if self._with_output:
            sys.stdout, sys.stderr = (_output(self._ask, each) for each in ('stdout', 'stderr'))
        try:
            yield
        finally:
            if self._with_output:
                _flush(sys.stdout, sys.stderr)
            sys.argv = argv
            sys.stdin, sys.stdout, sys.stderr = streams
            if main is not None:
                sys.modules['__main__'] = main


def _in_main_thread(work: Callable[[], Outcome]) -> Outcome:
    global main_thread_waits
    if main_thread_waits:
        try:
            return run_in_main_thread(work)  # type: ignore[no-any-return]
        except OperationError:  # none of `work`, which raises nothing
            if not get_connection().is_connected():
                raise
            main_thread_waits = False
    return work()


class _Input(io.RawIOBase):
    """The other side's standard input."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # The question stands before the answer is awaited, as with a terminal.
        _flush(sys.stdout, sys.stderr)
        data = self._ask('read', len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Output(io.BufferedIOBase):
    """One of the other side's streams for output.

    What a signal interrupts in being written is not written again, unlike by `io.BufferedWriter`:
    it has most likely arrived.
    """

    def __init__(self, ask: Callable[..., Any], stream: str) -> None:
        self._ask = ask
        self._stream = stream
        # Guards `_begun`, and keeps the threads that print in order. A signal handler may print.
        self._lock = threading.RLock()
        self._begun = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with self._lock:
            self._begun += data
            if len(self._begun) >= io.DEFAULT_BUFFER_SIZE:
                self.flush()
        return memoryview(data).nbytes

    def flush(self) -> None:
        with self._lock:
            data, self._begun = bytes(self._begun), bytearray()
            if data:
                self._ask('write', self._stream, data)


def _output(ask: Callable[..., Any], stream: str) -> Any:
    errors = 'backslashreplace' if stream == 'stderr' else 'surrogateescape'
    return io.TextIOWrapper(_Output(ask, stream), 'utf-8', errors=errors, line_buffering=True)


def _flush(*streams: Any) -> None:
    for stream in streams:
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError, OperationError):
            pass  # closed by the code, or the connection is gone


def _exited(code: object) -> Outcome:
    if code is None:
        return Outcome(exited=True)
    if isinstance(code, int):
        return Outcome(code & 0xFF, exited=True, reason=f'exited with status {code & 0xFF}')
    return Outcome(1, f'{code}\n', exited=True, reason=f'exited: {code}')


def _add_names_of_site() -> None:
    """Add `exit`, `help` and so on, which an interpreter started with ``-S`` lacks."""
    if not hasattr(builtins, 'exit'):
        import site

        site.setquit()
        site.sethelper()


def describe_process() -> dict[str, str]:
    """What ``across info`` shows."""
    import os
    import platform

    return {
        'host': os.uname().nodename,
        'pid': str(os.getpid()),
        'python': platform.python_version(),
        'implementation': platform.python_implementation(),
        'platform': platform.platform(),
        'executable': sys.executable or '(unknown)',
    }
