"""Remote code of the command line, on the side that runs it.

A bare peer fetches this module over the connection: standard library and `across` only.
"""

from __future__ import annotations

import builtins
import io
import sys
import threading
from contextlib import contextmanager
from types import CodeType, ModuleType
from typing import Any, Callable, Iterator, NamedTuple

from across import OperationError

# What a shell says of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130

# Held while code runs: `__main__`, `sys.argv` and the standard streams exist once in a process, and
# a server may run connections of several clients in its own.
_in_charge = threading.Lock()


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
        self._argv = ['']
        self._stdin: Any = io.TextIOWrapper(
            io.BufferedReader(_Input(self._ask)), 'utf-8', errors='surrogateescape'
        )
        self._lines: list[str] = []  # of the statement that is being typed
        self._count = 0
        self._mutex = threading.Lock()  # guards what follows
        self._thread = 0  # that runs the code, else 0
        self._asking = False  # that thread is in the library at the moment
        self._interrupted = False  # meanwhile

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
            _remember(filename, _decode(source))
            with _joined_threads():
                exec(compile(source, filename, 'exec', dont_inherit=True), self._main.__dict__)
            return Outcome()

        return self._guard(run)

    def evaluate(self, source: str) -> Outcome:
        """Run statements, the value of the last one being the outcome's."""
        self._argv = ['-c']

        def run() -> Outcome:
            with _joined_threads():
                value = _run_statements(source, '<exec>', self._main.__dict__)
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
        _add_interactive_names()
        return f'Python {sys.version} on {sys.platform}'.replace('\n', ' ')

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` in the code that runs, if any does.

        A call that blocks in the system is not cut short by that: only in the main thread it could
        be, and that has to stay with the connection.
        """
        with self._mutex:
            if self._asking:
                self._interrupted = True
            elif self._thread:
                _raise_in(self._thread, KeyboardInterrupt)

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
        _remember(name, source + '\n')
        exec(code, self._main.__dict__)
        return Outcome()

    def _guard(self, run: Callable[[], Outcome]) -> Outcome:
        if not _in_charge.acquire(False):
            raise OperationError(
                'that process runs code of another client at the moment; a server with a process '
                'for each client has no such limit'
            )
        try:
            with self._surroundings():
                return run()
        except SystemExit as exc:
            return _exited(exc.code)
        except KeyboardInterrupt as exc:
            return Outcome(INTERRUPTED, _format(exc), reason='KeyboardInterrupt')
        except BaseException as exc:
            return Outcome(1, _format(exc), reason=_in_a_line(exc))
        finally:
            _in_charge.release()

    def _ask(self, method: str, *args: Any) -> Any:
        """Call the terminal; an interrupt must not hit the library in the middle of that."""
        if threading.get_ident() != self._thread:
            return getattr(self._terminal, method)(*args)
        with self._mutex:
            self._asking = True
        try:
            return getattr(self._terminal, method)(*args)
        finally:
            with self._mutex:
                self._asking = False
                interrupted, self._interrupted = self._interrupted, False
            if interrupted:
                raise KeyboardInterrupt

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Make the process look, to the code, as if it had been started for it."""
        main, argv = sys.modules.get('__main__'), sys.argv
        streams = sys.stdin, sys.stdout, sys.stderr
        sys.modules['__main__'], sys.argv, sys.stdin = self._main, self._argv, self._stdin
        if self._with_output:
            sys.stdout, sys.stderr = (_output(self._ask, each) for each in ('stdout', 'stderr'))
        with self._mutex:
            self._thread = threading.get_ident()
        try:
            yield
        finally:
            with self._mutex:
                # An interrupt that comes too late must not hit the library.
                _raise_in(self._thread, None)
                self._thread = 0
            if self._with_output:
                _flush(sys.stdout, sys.stderr)
            sys.argv = argv
            sys.stdin, sys.stdout, sys.stderr = streams
            if main is not None:
                sys.modules['__main__'] = main


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


class _Output(io.RawIOBase):
    """One of the other side's streams for output."""

    def __init__(self, ask: Callable[..., Any], stream: str) -> None:
        self._ask = ask
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._ask('write', self._stream, bytes(data))
        return len(data)


def _output(ask: Callable[..., Any], stream: str) -> Any:
    errors = 'backslashreplace' if stream == 'stderr' else 'surrogateescape'
    raw = io.BufferedWriter(_Output(ask, stream))
    return io.TextIOWrapper(raw, 'utf-8', errors=errors, line_buffering=True)


def _flush(*streams: Any) -> None:
    for stream in streams:
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError, OperationError):
            pass  # closed by the code, or the connection is gone


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    try:
        import ctypes
    except ImportError:
        return  # a Python that was built without it can't be interrupted
    argument = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)


def _run_statements(source: str, name: str, namespace: dict[str, Any]) -> Any:
    import ast
    import textwrap

    source = textwrap.dedent(source)
    _remember(name, source)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree: Any = compile(source, name, 'exec', flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    _run(compile(tree, name, 'exec', flags, dont_inherit=True), namespace)
    if last is None:
        return None
    expression = ast.Expression(last.value)
    return _run(compile(expression, name, 'eval', flags, dont_inherit=True), namespace)


def _run(code: CodeType, namespace: dict[str, Any]) -> Any:
    result = eval(code, namespace)
    if getattr(result, 'cr_code', None) is code:  # there is an `await` at the top level
        import asyncio

        return asyncio.run(result)
    return result


@contextmanager
def _joined_threads() -> Iterator[None]:
    """Wait for the threads that code starts, as an interpreter does at its end."""
    others = set(threading.enumerate())
    # New threads are daemons where the one that makes them is, and so is this one. The public
    # property can't be set while a thread runs.
    current: Any = threading.current_thread()
    current._daemonic = False
    try:
        yield
    finally:
        current._daemonic = True
        for thread in threading.enumerate():
            if thread not in others and not thread.daemon:
                thread.join()


def _exited(code: object) -> Outcome:
    if code is None:
        return Outcome(exited=True)
    if isinstance(code, int):
        return Outcome(code & 0xFF, exited=True, reason=f'exited with status {code & 0xFF}')
    return Outcome(1, f'{code}\n', exited=True, reason=f'exited: {code}')


def _format(exc: BaseException) -> str:
    """The traceback of the code's own frames."""
    import traceback

    frames = exc.__traceback__
    while frames is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next
    if frames is not None and frames.tb_frame.f_globals.get('__name__') == 'codeop':
        frames = None  # it compiles what is typed; no frame of the code's own is involved
    return ''.join(traceback.format_exception(type(exc), exc, frames))


def _in_a_line(exc: BaseException) -> str:
    name = type(exc).__name__
    try:
        text = str(exc)
    except Exception:
        return name
    return f'{name}: {text.splitlines()[0][:200]}' if text.strip() else name


def _remember(name: str, source: str) -> None:
    """Let tracebacks show source text that is in no file here."""
    import linecache

    linecache.cache[name] = (len(source), None, source.splitlines(True), name)


def _decode(source: bytes) -> str:
    from importlib.util import decode_source

    try:
        return decode_source(source)
    except (SyntaxError, UnicodeDecodeError):
        return ''  # compile() will complain


def _add_interactive_names() -> None:
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
