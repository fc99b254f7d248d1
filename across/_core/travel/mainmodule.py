"""The owner's ``__main__`` in the peer: its definitions, without what makes the script run.

Layer: travel. Not part of what a bare peer is first sent.
"""

from __future__ import annotations

import ast
import threading
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Callable, Iterable

if TYPE_CHECKING:
    from .importer import ModuleLoader

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_ALIAS = getattr(ast, 'TypeAlias', ast.Pass)  # 3.12


def make_main(load: Callable[[str], ModuleLoader]) -> ModuleType:
    """Make a module ``__main__`` that gets its content from the owner when it is first used.

    Not at once, as it may import modules that the owner exports only later.

    Args:
        load: `Importer.load`.
    """
    lock = threading.RLock()
    loading = False

    class MainModule(ModuleType):
        # All threads but the one that loads wait for the whole module, as they do for an import.
        def __getattribute__(self, name: str) -> Any:
            # The import system looks at special attributes of any module it comes across.
            if name == '__dict__' or not name.startswith('__'):
                with lock:
                    if type(self) is MainModule and not loading:
                        fill(self)
            return ModuleType.__getattribute__(self, name)

    def fill(module: ModuleType) -> None:
        nonlocal loading
        loading = True
        try:
            _fill(module, load('__main__'))
            module.__class__ = ModuleType
        finally:
            loading = False

    return MainModule('__main__')


def _fill(module: ModuleType, loader: ModuleLoader) -> None:
    source = loader.get_source('__main__') or ''
    code = compile_definitions(source, loader.filename or '__main__')
    module.__loader__ = loader
    module.__package__ = loader.package
    if loader.filename is not None:
        module.__file__ = loader.filename
    exec(code, module.__dict__)


def compile_definitions(source: str, filename: str) -> CodeType:
    """Compile what a script defines.

    If there is an ``if __name__ == '__main__':``, this is all but the body of that. Otherwise it is
    the imports, definitions and assignments, also those inside of ``if`` and ``try``; without those
    that make a connection, or that use a name which only the rest of the script gives a value.
    """
    tree = ast.parse(source, filename)
    if any(_is_guard(node) for node in tree.body):
        body = [part for node in tree.body for part in _drop_guarded(node)]
    else:
        body = _Definitions().select(tree.body)
        if ast.get_docstring(tree) is not None:
            body.insert(0, tree.body[0])
    tree.body = body
    code = compile(tree, filename, 'exec', dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def _is_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and _is_guard_test(node.test)


def _is_guard_test(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(_is_guard_test, test.values))
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = (test.left, *test.comparators)
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    values = {side.value for side in sides if isinstance(side, ast.Constant)}
    return names == {'__name__'} and values == {'__main__'}


def _drop_guarded(node: ast.stmt) -> list[ast.stmt]:
    # An `else` is what an import of the script runs in place of the guarded code.
    return node.orelse if isinstance(node, ast.If) and _is_guard(node) else [node]


class _Definitions:
    """Picks the statements that define things from a script that has no guard."""

    def __init__(self) -> None:
        self._missing: set[str] = set()  # names that dropped statements would have bound

    def select(self, body: Iterable[ast.stmt]) -> list[ast.stmt]:
        kept = []
        for node in body:
            if not self._is_kept(node):
                self._missing |= _bound(node)
                continue
            if not isinstance(node, (ast.If, ast.Try)):  # those have seen to it block by block
                self._missing -= _bound(node)
            kept.append(node)
        return kept

    def _is_kept(self, node: ast.stmt) -> bool:
        if isinstance(node, (*_IMPORTS, ast.Pass, _ALIAS)):
            return True
        if isinstance(node, (*_DEFINITIONS, *_ASSIGNMENTS)):
            return not _makes_connection(node) and not self._missing & _used(node)
        if isinstance(node, ast.If):
            return not self._missing & _used(node.test) and self._select_inside(node)
        return isinstance(node, ast.Try) and self._select_inside(node)

    def _select_inside(self, node: ast.If | ast.Try) -> bool:
        """Reduce the blocks of a compound statement; false if nothing is left of it."""
        found = False
        before = self._missing
        missing = set(before)
        for part in (node, *getattr(node, 'handlers', ())):
            for name in ('body', 'orelse', 'finalbody'):
                block = getattr(part, name, None)
                if not block:
                    continue
                self._missing = set(before)
                kept = self.select(block)
                missing |= self._missing  # it may be this block that runs
                found = found or bool(kept)
                empty = [ast.copy_location(ast.Pass(), block[0])] if name == 'body' else []
                setattr(part, name, kept or empty)
        if isinstance(node, ast.Try) and not (node.handlers or node.finalbody):
            node.finalbody = [ast.copy_location(ast.Pass(), node)]
        self._missing = missing
        return found


def _makes_connection(node: ast.AST) -> bool:
    """Whether a statement calls something named `Connection`, or a method of it, when it runs."""
    if isinstance(node, _DEFINITIONS):
        return False
    for call in _evaluated(node):
        if isinstance(call, ast.Call):
            for part in ast.walk(call.func):
                name = getattr(part, 'id', getattr(part, 'attr', None))
                if name == 'Connection':
                    return True
    return False


def _used(node: ast.AST) -> set[str]:
    """The names whose values a statement needs when it runs."""
    names = {
        part.id
        for part in _evaluated(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
    }
    if isinstance(node, ast.AugAssign):
        names |= _stored(node.target)
    return names - (_stored(node) if isinstance(node, ast.ClassDef) else _loop_variables(node))


def _evaluated(node: ast.AST) -> Iterable[ast.AST]:
    """What is inside a node, without the bodies of functions, which run later."""
    yield node
    for name, value in ast.iter_fields(node):
        if name == 'body' and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _evaluated(child)


def _bound(node: ast.AST) -> set[str]:
    """The names that a statement gives a value to in its scope."""
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    names = _stored(node) - _loop_variables(node)
    for part in _evaluated(node):
        if isinstance(part, _DEFINITIONS):
            names.add(part.name)
        elif isinstance(part, ast.alias):
            names.add((part.asname or part.name).partition('.')[0])
    return names


def _stored(node: ast.AST) -> set[str]:
    return {
        part.id
        for part in _evaluated(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }


def _loop_variables(node: ast.AST) -> set[str]:
    """The names that exist inside of comprehensions only."""
    loops = [part for part in _evaluated(node) if isinstance(part, ast.comprehension)]
    return {name for loop in loops for name in _stored(loop.target)}
