"""How a piece of code is run, on the side that runs it.

A bare peer fetches this module over the connection: standard library and `across` only.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any, Callable, Iterator, TypeVar

T = TypeVar('T')

# Seconds. A Ctrl-C typed at a terminal may reach this process directly, and then once more by way
# of the program that was typed at.
SAME_CTRL_C = 0.5

# Modules whose frames tracebacks don't show.
_OURS = (__name__, 'across.cli.far')


class Interruptible:
    """Runs code, in which another thread can raise `KeyboardInterrupt`; never outside of it.

    In the main thread that is done by a signal, which also cuts short what blocks in the system.
    In other threads only code of Python's own can be interrupted.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # guards what follows; not needed in the main thread
        self._thread = 0  # that runs the code, else 0
        self._shielded = False  # that thread is in the library at the moment
        self._interrupted = False  # meanwhile
        self._last = 0.0  # when a signal came; time.monotonic()

    def run(self, code: Callable[[], T]) -> T:
        """Run code in this thread."""
        self._interrupted = False
        if threading.current_thread() is threading.main_thread():
            with self._handling_signals():
                return _run_user_code(code)
        with self._mutex:
            self._thread = threading.get_ident()
        try:
            return code()
        finally:
            with self._mutex:
                # An interrupt that comes too late must not hit the library.
                _raise_in(self._thread, None)
                self._thread = 0

    def interrupt(self) -> bool:
        """Interrupt the code, if any runs; from another thread.

        Returns:
            Whether the code is in the library, so that it can be interrupted only after that.
        """
        with self._mutex:
            if self._thread == threading.main_thread().ident:
                if time.monotonic() - self._last <= SAME_CTRL_C:
                    return self._interrupted
                signal.pthread_kill(self._thread, signal.SIGINT)
            elif self._shielded:
                self._interrupted = True
            elif self._thread:
                _raise_in(self._thread, KeyboardInterrupt)
            return self._shielded

    def shield(self, func: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the library in the middle of the code; an interrupt waits."""
        if threading.get_ident() != self._thread:
            return func(*args)
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:
            self._shielded = True
        else:
            with self._mutex:
                self._shielded = True
        raised = False
        try:
            return func(*args)
        except KeyboardInterrupt:  # by the same Ctrl-C, from the other side
            raised = True
            raise
        finally:
            if in_main:  # a lock could be lost here: signals come anywhere
                self._shielded = False
                interrupted, self._interrupted = self._interrupted, False
            else:
                with self._mutex:
                    self._shielded = False
                    interrupted, self._interrupted = self._interrupted, False
            if interrupted and not raised:
                raise KeyboardInterrupt

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGINT)
        # A handler that earlier code of the user has set stays.
        is_ours = str(getattr(before, '__module__', '')).startswith('across.')
        if is_ours:
            signal.signal(signal.SIGINT, self._on_signal)
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = 0
            if is_ours and signal.getsignal(signal.SIGINT) == self._on_signal:
                signal.signal(signal.SIGINT, before)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not _run_user_code.__code__:
            frame = frame.f_back
        if frame is None:
            return  # it is not, or no longer, in there
        self._last = time.monotonic()
        if self._shielded:
            self._interrupted = True
        else:
            raise KeyboardInterrupt


def _run_user_code(code: Callable[[], T]) -> T:
    # A frame of its own: the handler of signals tells by it whether the code runs.
    return code()


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    try:
        import ctypes
    except ImportError:
        return  # a Python that was built without it can't be interrupted
    argument = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)


def run_statements(source: str, name: str, namespace: dict[str, Any]) -> Any:
    """Run source code; the value of the last statement if that is an expression, else None."""
    import ast
    import textwrap

    source = textwrap.dedent(source)
    remember(name, source)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree: Any = compile(source, name, 'exec', flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    _evaluate(compile(tree, name, 'exec', flags, dont_inherit=True), namespace)
    if last is None:
        return None
    expression = ast.Expression(last.value)
    return _evaluate(compile(expression, name, 'eval', flags, dont_inherit=True), namespace)


def _evaluate(code: CodeType, namespace: dict[str, Any]) -> Any:
    result = eval(code, namespace)
    if getattr(result, 'cr_code', None) is code:  # there is an `await` at the top level
        import asyncio

        return asyncio.run(result)
    return result


@contextmanager
def joined_threads() -> Iterator[None]:
    """Wait for the threads that code starts, as an interpreter does at its end."""
    others = set(threading.enumerate())
    # New threads are daemons where the one that makes them is, and so is this one if it is not the
    # main thread. The public property can't be set while a thread runs.
    current: Any = threading.current_thread()
    before, current._daemonic = current._daemonic, False
    try:
        yield
    finally:
        current._daemonic = before
        for thread in threading.enumerate():
            if thread not in others and not thread.daemon:
                thread.join()


def format_error(exc: BaseException) -> str:
    """The traceback of the code's own frames."""
    import traceback

    frames = exc.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    if frames is not None and frames.tb_frame.f_globals.get('__name__') == 'codeop':
        frames = None  # it compiles what is typed; no frame of the code's own is involved
    chain: list[BaseException | None] = [exc.with_traceback(frames)]
    seen: set[int] = set()
    while chain:
        link = chain.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            _cut_off(link.__traceback__)
            chain += [link.__cause__, link.__context__]
    return ''.join(traceback.format_exception(type(exc), exc, frames))


def _cut_off(frames: TracebackType | None) -> None:
    """Drop how an interrupt, or what is printed, came out of here."""
    while frames is not None:
        if frames.tb_next is not None and _is_ours(frames.tb_next):
            frames.tb_next = None
        frames = frames.tb_next


def _is_ours(traceback: TracebackType) -> bool:
    return traceback.tb_frame.f_globals.get('__name__') in _OURS


def in_a_line(exc: BaseException) -> str:
    """The type of an exception, and the first line of its message."""
    name = type(exc).__name__
    try:
        text = str(exc)
    except Exception:
        return name
    return f'{name}: {text.splitlines()[0][:200]}' if text.strip() else name


def remember(name: str, source: str) -> None:
    """Let tracebacks show source text that is in no file here."""
    import linecache

    linecache.cache[name] = (len(source), None, source.splitlines(True), name)


def decode(source: bytes) -> str:
    """The text of a source file; empty if it has none."""
    from importlib.util import decode_source

    try:
        return decode_source(source)
    except (SyntaxError, UnicodeDecodeError):
        return ''  # compile() will complain
