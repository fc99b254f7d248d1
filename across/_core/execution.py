"""Snippets of source: run the statements, return the value of the last expression.

Layer: just below :mod:`.connection`. Fetched by a bare peer when first used.
"""

from __future__ import annotations

import ast
import itertools
import linecache
from types import CoroutineType
from typing import Any, Coroutine

from .threads.context import context

_numbers = itertools.count(1)
# Sources kept for tracebacks.
_KEPT = 100
_names: list[str] = []


def execute(source: str, variables: dict[str, Any]) -> Any:
    """Run source code in a namespace of its own.

    Args:
        source: Statements. Indentation common to all lines is dropped.
        variables: What the code finds in its namespace.

    Returns:
        The value of the last statement if that is an expression, else None. With a top-level
        ``await`` the code runs in an event loop.
    """
    import textwrap

    name = f'<execute {next(_numbers)}>'
    source = textwrap.dedent(source)
    _remember(name, source)
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    namespace: dict[str, Any] = {
        '__name__': '__across__',
        '__builtins__': __builtins__,
        **variables,
    }
    _run(compile(tree, name, 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True), namespace)
    if not isinstance(last, ast.Expr):
        return None
    code = compile(ast.Expression(last.value), name, 'eval', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
    return _run(code, namespace)


def _run(code: Any, namespace: dict[str, Any]) -> Any:
    result = eval(code, namespace)
    if type(result) is CoroutineType and result.cr_code is code:
        return run_coroutine(result)
    return result


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in an event loop of its own, and return its result."""
    import asyncio

    if asyncio._get_running_loop() is None:
        return asyncio.run(coroutine)
    # This thread is amid a coroutine, which made a call that has led back here: a thread has one
    # loop at a time.
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    thread = context.thread
    state = thread.call, thread.connection

    def run() -> Any:
        thread = context.thread
        thread.call, thread.connection = state
        return asyncio.run(coroutine)

    with ThreadPoolExecutor(1, 'across-coroutine') as executor:
        return executor.submit(contextvars.copy_context().run, run).result()


def _remember(name: str, source: str) -> None:
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    _names.append(name)
    if len(_names) > _KEPT:
        linecache.cache.pop(_names.pop(0), None)
