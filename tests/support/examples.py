"""The Python examples that pages of the documentation and docstrings show."""

from __future__ import annotations

import ast
import doctest
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ['PAGES', 'ROOT', 'Example', 'check_output', 'find_examples']

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.rst', *sorted((ROOT / 'docs').rglob('*.rst'))]

# The directive, or a paragraph that ends in two colons; what is indented below it.
_BLOCK = re.compile(
    r'^( *)(?:\.\. (code-block:: python)|(?!\.\. ).*::)\n\n((?:\1 +\S.*\n|\s*\n)+)', re.MULTILINE
)
_DIRECTIVE = re.compile(r'^ *\.\. code-block:: python', re.MULTILINE)
_PART_OF_FILE = re.compile(
    r'^\.\. literalinclude:: (.+\.py)\n   :lines: (\d+)-(\d+)\n', re.MULTILINE
)
# What an example is said to print: a block of text right below it, or a word in the next paragraph.
_SHOWN = re.compile(
    r'\.\. code-block:: text\n\n((?: +\S.*\n)+)|(?:(?!\.\. )\S.*\n)*?.*\bprints ``(.+?)``'
)


class Example(NamedTuple):
    """A block of Python."""

    source: str
    shown: str  # what it prints, or the error that it ends with, as the text says; or empty


def find_examples(path: Path) -> list[Example]:
    """The examples of a page, or those of all docstrings of a module, from top to bottom.

    Blocks without a language count where they are Python: a shell's are not, nor are drawings.

    Raises:
        SyntaxError: A block is said to be Python, and is none.
        ValueError: There is one that is not understood here.
    """
    text = path.read_text()
    if path.suffix == '.py':
        return [each for doc in _docstrings(text) for each in _examples(doc, path.parent)]
    return _examples(text, path.parent)


def check_output(got: str, expected: str) -> None:
    """Fail unless an output is as expected; three dots there stand for anything."""
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS
    if not checker.check_output(expected, got, flags):
        example = doctest.Example('', expected)
        pytest.fail(checker.output_difference(example, got, flags), pytrace=False)


def _docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield (ast.get_docstring(node) or '') + '\n'


def _examples(text: str, folder: Path) -> list[Example]:
    found = {}
    for block in _BLOCK.finditer(text):
        source = textwrap.dedent(block[3]).strip('\n') + '\n'
        if block[2] or _is_python(source):
            ast.parse(source)
            shown = _SHOWN.match(text, block.end())
            found[block.start()] = Example(source, shown[1] or shown[2] if shown else '')
    if len(_DIRECTIVE.findall(text)) != len([each for each in _BLOCK.finditer(text) if each[2]]):
        raise ValueError('there is a code-block with options, or without a line below it')
    for part in _PART_OF_FILE.finditer(text):
        lines = (folder / part[1]).read_text().splitlines(keepends=True)
        found[part.start()] = Example(''.join(lines[int(part[2]) - 1 : int(part[3])]), '')
    return [found[start] for start in sorted(found)]


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
