"""Making the library's own code small before it travels, with line numbers kept.

Layer: travel. Standard library only; imports nothing of ours.
"""

from __future__ import annotations

import ast
import io
import tokenize
from types import CodeType
from typing import Any, Iterator, Tuple


def compile_small(source: str, filename: str) -> CodeType:
    """Compile without docstrings, assertions, annotations, and what only type checkers read."""
    tree = ast.parse(source, filename)
    nodes: list[Any] = [tree]
    for node in nodes:  # grows meanwhile; ast.NodeTransformer takes three times as long
        if 'col_offset' in node._attributes:
            # From 3.11 on, code keeps the columns of each instruction: a fifth of its size.
            node.col_offset = node.end_col_offset = -1
            node.end_lineno = node.lineno
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        # Annotations make the fields of a NamedTuple or a dataclass.
        if not isinstance(node, ast.ClassDef) or not (node.bases or node.decorator_list):
            body = getattr(node, 'body', None)
            if isinstance(body, list):
                node.body = [short for statement in body for short in _without_types(statement)]
        nodes.extend(ast.iter_child_nodes(node))
    # optimize=2 leaves out docstrings and assertions.
    code = compile(tree, filename, 'exec', dont_inherit=True, optimize=2)
    assert isinstance(code, CodeType)
    return code


def _without_types(node: ast.stmt) -> list[ast.stmt]:
    if isinstance(node, ast.If) and getattr(node.test, 'id', '') == 'TYPE_CHECKING':
        return node.orelse or [ast.copy_location(ast.Pass(), node)]
    short: ast.stmt = node
    if isinstance(node, ast.AnnAssign):
        short = ast.Assign([node.target], node.value) if node.value else ast.Pass()
    return [ast.copy_location(short, node)]


def blank_source(source: str) -> str:
    """Blank comments, docstrings and annotations, with every line of code left where it is."""
    lines = [line.encode() for line in source.splitlines()]  # ast counts columns in bytes
    for row, start, end_row, end, filler in sorted(_dispensable(source), reverse=True):
        tail = lines[end_row - 1][end:]
        for index in range(row, end_row):
            lines[index] = b''
        lines[row - 1] = (lines[row - 1][:start] + filler + tail).rstrip()
    return b'\n'.join(lines).decode() + '\n'


# From row and column to row and column; what to put there.
_Span = Tuple[int, int, int, int, bytes]


def _dispensable(source: str) -> Iterator[_Span]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            start = len(token.line[:column].encode())
            yield row, start, row, start + len(token.string.encode()), b''
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            # A body must not become empty, while in front of `from __future__` nothing may stand.
            yield *_span(node), b'0' if node.col_offset else b''
        elif isinstance(node, ast.arg) and node.annotation:
            start = node.col_offset + len(node.arg.encode())
            yield node.lineno, start, *_span(node.annotation)[2:], b''
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            row, start, *end = _span(node.returns)
            yield row, start - len('-> '), end[0], end[1], b''


def _span(node: ast.expr | ast.stmt) -> tuple[int, int, int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
