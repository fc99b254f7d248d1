"""Reads what modules import, from their source alone."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ['Import', 'Sources', 'find_cycle', 'imports_of', 'read_sources']


class Import(NamedTuple):
    """One module that another one imports."""

    target: str
    line: int
    in_function: str  # the name of the function it stands in, or ''
    for_types: bool  # it never runs


class Sources(dict[str, str]):
    """The source of each module of a package, by full name."""

    def __init__(self, sources: Mapping[str, str], packages: set[str]) -> None:
        super().__init__(sources)
        self.packages = packages


def read_sources(folder: Path) -> Sources:
    """Read every module of the package in `folder`."""
    sources, packages = {}, set()
    for path in sorted(folder.rglob('*.py')):
        parts = list(path.relative_to(folder.parent).with_suffix('').parts)
        if parts[-1] == '__init__':
            parts.pop()
            packages.add('.'.join(parts))
        sources['.'.join(parts)] = path.read_text(encoding='utf-8')
    return Sources(sources, packages)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)


def _statements(
    node: ast.AST, function: str = '', for_types: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, function, for_types
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _statements(child, child.name, for_types)
        else:
            yield from _statements(child, function, for_types or _is_type_checking(child))


def imports_of(name: str, sources: Sources) -> list[Import]:
    """Return what the module `name` imports; modules of `sources` under their full names."""
    found = []
    for node, function, for_types in _statements(ast.parse(sources[name])):
        for target in _targets(node, name, sources):
            found.append(Import(target, node.lineno, function, for_types))
    return found


def _targets(node: ast.Import | ast.ImportFrom, name: str, sources: Sources) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ''
    if node.level:
        keep = len(name.split('.')) - node.level + (name in sources.packages)
        base = '.'.join([*name.split('.')[:keep], *([base] if base else [])])
    # `from package import module` imports the module, `from module import name` does not.
    modules = [f'{base}.{alias.name}' for alias in node.names]
    inner = [module for module in modules if module in sources]
    yield from inner
    if len(inner) < len(modules):
        yield base


def find_cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the nodes of some cycle, its first node repeated at the end; [] if there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            cycle = visit(following, [*path, node])
            if cycle:
                return cycle
        done.add(node)
        return []

    for node in sorted(graph):
        cycle = visit(node, [])
        if cycle:
            return cycle
    return []
