"""Interrupts before each statement of some modules, as if Ctrl-C had been typed there.

The modules are compiled with a call in front of each statement of their functions. A trace function
could do the same, but CPython 3.11 can get caught for ever where a traced function begins, if
another thread asks for the interpreter lock at that moment.

For scripts that run in a process of their own, and import this before those modules.
"""

from __future__ import annotations

import ast
import builtins
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from signal import SIGINT, raise_signal
from threading import get_ident, main_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ['interrupt', 'probe']

_NAME = '__probe__'
_left = 0
_last = ''


def probe(modules: Collection[str]) -> None:
    """Have modules compiled with probes. None of them may be imported yet."""
    assert not any(name in sys.modules for name in modules)
    setattr(builtins, _NAME, _at_statement)
    sys.meta_path.insert(0, _Finder(modules))


def interrupt(number: int, func: Callable[[], object], last: str = '') -> bool:
    """Call a function, and send this process a SIGINT before a statement that this thread runs.

    Args:
        number: Which one, counted from 1 as they run.
        last: What begins like this is not counted any more, nor what comes behind it.

    Returns:
        Whether so many have run.
    """
    global _left, _last
    _left, _last = number, last
    try:
        func()
    except KeyboardInterrupt:
        pass
    finally:
        reached, _left = _left <= 0, 0
    return reached


def _at_statement(source: str) -> None:
    global _left
    if _left > 0 and get_ident() == main_thread().ident:
        if _last and source.startswith(_last):
            _left = sys.maxsize
        _left -= 1
        if _left == 0:
            raise_signal(SIGINT)  # held back where the library does so


class _Finder(MetaPathFinder):
    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in self._modules:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        tree = _Prober().visit(ast.parse(self.get_data(self.path)))
        return compile(ast.fix_missing_locations(tree), self.path, 'exec')


class _Prober(ast.NodeTransformer):
    """Puts a call of the probe in front of each statement of each function."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        for each in ast.walk(node):
            for field in ('body', 'orelse', 'finalbody'):
                statements = getattr(each, field, None)
                if isinstance(statements, list) and not isinstance(each, ast.ClassDef):
                    clause = field == 'finalbody' or isinstance(each, ast.ExceptHandler)
                    setattr(each, field, _probed(statements, clause))
        return node


def _probed(statements: list[ast.stmt], is_clause: bool) -> list[ast.stmt]:
    probed: list[ast.stmt] = []
    for i, each in enumerate(statements):
        # No handler runs between an assignment and a `try` behind it, nor where an `except` or a
        # `finally` clause begins (CPython 3.10 and later).
        at_edge = isinstance(each, ast.Try) if i else is_clause
        if not _is_probe(each) and not (probed and _is_probe(probed[-1])) and not at_edge:
            call = ast.Call(ast.Name(_NAME, ast.Load()), [ast.Constant(ast.unparse(each))], [])
            probed.append(ast.copy_location(ast.Expr(call), each))
        probed.append(each)
    return probed


def _is_probe(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _NAME
