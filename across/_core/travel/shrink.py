"""Making the library's own code small before it travels, with line numbers kept.

Layer: travel. Standard library only; imports nothing of ours.
"""

from __future__ import annotations

import ast
import io
import tokenize
from types import CodeType


def compile_small(source: str, filename: str) -> CodeType:
    """Compile without docstrings, assertions, annotations, and what only type checkers read."""
    tree = _Stripper().visit(ast.parse(source, filename))
    for node in ast.walk(tree):
        if hasattr(node, 'col_offset'):
            # From 3.11 on, code keeps the columns of each instruction: a fifth of its size.
            node.col_offset = node.end_col_offset = -1  # type: ignore[attr-defined]
            node.end_lineno = node.lineno  # type: ignore[attr-defined]
    # optimize=2 leaves out docstrings and assertions.
    code = compile(tree, filename, 'exec', dont_inherit=True, optimize=2)
    assert isinstance(code, CodeType)
    return code


class _Stripper(ast.NodeTransformer):
    """Removes annotations and ``if TYPE_CHECKING:`` blocks."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._strip_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._strip_function(node)

    def _strip_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        for argument in arguments.posonlyargs + arguments.args + arguments.kwonlyargs:
            argument.annotation = None
        for star in (arguments.vararg, arguments.kwarg):
            if star:
                star.annotation = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if not node.bases and not node.decorator_list:
            return self.generic_visit(node)
        # Annotations make the fields of a NamedTuple or a dataclass.
        node.body = [
            part if isinstance(part, ast.AnnAssign) else self.visit(part) for part in node.body
        ]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING':
            node.body = [ast.copy_location(ast.Pass(), node)]
        return node


def blank_source(source: str) -> str:
    """Blank comments and docstrings, with every line of code left where it is."""
    lines = source.splitlines()
    for token in reversed(_dispensable(source)):
        (row, start), (end_row, end) = token.start, token.end
        tail = lines[end_row - 1][end:]
        for index in range(row, end_row):
            lines[index] = ''
        # A body must not become empty, while in front of `from __future__` nothing may stand.
        filler = '0' if start and token.type == tokenize.STRING else ''
        lines[row - 1] = (lines[row - 1][:start] + filler + tail).rstrip()
    return '\n'.join(lines) + '\n'


def _dispensable(source: str) -> list[tokenize.TokenInfo]:
    """Comments, and strings that are a statement of their own, in the order of the source."""
    found = []
    at_start = True  # of a statement
    last = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found.append(token)
        elif token.type in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            continue
        elif token.type == tokenize.NEWLINE:
            if last is not None:
                found.append(last)
            at_start, last = True, None
        else:
            last = token if at_start and token.type == tokenize.STRING else None
            at_start = False
    return sorted(found, key=lambda token: token.start)
