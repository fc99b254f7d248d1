"""The library's own code gets smaller, and stays the same code on the same lines."""

from __future__ import annotations

import ast
import marshal
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import across
from across._core.travel.shrink import blank_source, compile_small

SOURCES = sorted(Path(across.__file__).parent.rglob('*.py'))

SOURCE = '''\
# A comment.
"""The module."""
from __future__ import annotations
x: int = 1  # not "this" either
TYPE_CHECKING = False
if TYPE_CHECKING:
    import nothing_of_that_name
class Plain:
    y: int
    z: int = 2
class Fields(tuple):
    """Docstring."""
    y: int
def f(a: int, *b: dict[str,
                       int], c: str = '#', **d: object) -> list[str]:
    """Docstring
    # of two lines."""
    assert False, 'assertion'
    return (a, b, c, d, 'ä')  # ä
def g() -> None:
    """Only a docstring."""
'''


def functions(tree: ast.AST) -> list[tuple[str, int]]:
    return [
        (type(node).__name__, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.Call, ast.Return, ast.Raise))
    ]


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@pytest.mark.parametrize('as_code', [True, False])
def test_what_remains_works(as_code: bool) -> None:
    namespace: dict[str, object] = {'__name__': 'some'}
    small = compile_small(SOURCE, 'some.py') if as_code else blank_source(SOURCE)
    code = small if isinstance(small, CodeType) else compile(small, 'some.py', 'exec', optimize=2)
    exec(code, namespace)
    function = namespace['f']
    assert callable(function)
    assert function(1, 2, e=3) == (1, (2,), '#', {'e': 3}, 'ä')
    assert function.__doc__ is None
    assert function.__annotations__ == {}
    assert namespace['Fields'].__annotations__ == {'y': 'int'}


def test_blanked_source_has_neither_comments_nor_docstrings_nor_annotations() -> None:
    blanked = blank_source(SOURCE)
    assert blanked.count('\n') == SOURCE.count('\n')
    for text in ('comment', 'module', 'Docstring', 'two lines', 'this', 'list', 'dict', 'Only'):
        assert text not in blanked


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: path.name)
def test_lines_of_the_library_stay_where_they_are(path: Path) -> None:
    source = path.read_text()
    blanked = ast.parse(blank_source(source))
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
    assert functions(blanked) == functions(tree)
    compiled = compile(tree, str(path), 'exec', optimize=2, dont_inherit=True)
    lines = {(code.co_name, code.co_firstlineno) for code in codes(compiled)}
    small = compile_small(source, str(path))
    assert {(code.co_name, code.co_firstlineno) for code in codes(small)} <= lines
    assert len(marshal.dumps(small)) <= len(marshal.dumps(compiled))
