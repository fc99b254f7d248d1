"""What pages of the documentation, and docstrings, show: Python, and sessions with a shell."""

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

__all__ = [
    'PAGES',
    'ROOT',
    'Command',
    'Example',
    'check_output',
    'find_examples',
    'find_commands',
]

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.rst', *sorted((ROOT / 'docs').rglob('*.rst'))]

# The directive, or a paragraph that ends in two colons; what is indented below it.
_BLOCK = re.compile(
    r'^( *)(?:\.\. code-block:: (python|console)|(?!\.\. ).*::)\n\n((?:\1 +\S.*\n|\s*\n)+)',
    re.MULTILINE,
)
_DIRECTIVE = re.compile(r'^ *\.\. code-block:: (?:python|console)', re.MULTILINE)
_PART_OF_FILE = re.compile(
    r'^\.\. literalinclude:: (.+\.py)\n   :lines: (\d+)-(\d+)\n', re.MULTILINE
)
# What an example is said to print: a block of text right below it, or a word in the next paragraph.
_SHOWN = re.compile(
    r'\.\. code-block:: text\n\n((?: +\S.*\n)+)|(?:(?!\.\. )\S.*\n)*?.*\bprints ``(.+?)``'
)


class Command(NamedTuple):
    """What is typed at a shell; several lines if it is continued, or its status is shown, too."""

    line: str
    output: str  # what is shown below it


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


def find_commands(page: Path) -> list[Command]:
    """What the blocks of a page have that are for a shell, from top to bottom.

    Those without a language count where they are no Python.
    """
    found = []
    for block in _BLOCK.finditer(page.read_text()):
        text = textwrap.dedent(block[3]).strip('\n')
        if block[2] == 'console' or (not block[2] and not _is_python(text)):
            found += _commands(text)
    return found


def _commands(text: str) -> list[Command]:
    if not text.startswith('$ '):  # nothing but commands
        text = re.sub(r'^(?! )', '$ ', text, flags=re.MULTILINE)
    text = re.sub(r'\\\n(?:> )? *', '', text)
    typed: list[Command] = []
    for line in text.splitlines(keepends=True):
        if line.startswith('$ ') and line.strip() != '$ echo $?':
            typed.append(Command(line[2:].rstrip('\n') + '\n', ''))
        elif line.startswith('$ '):
            typed[-1] = typed[-1]._replace(line=typed[-1].line + 'echo $?\n')
        else:
            typed[-1] = typed[-1]._replace(output=typed[-1].output + line.rstrip('\n') + '\n')
    return typed


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
        if block[2] == 'python' or (not block[2] and _is_python(source)):
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
