"""Find the source of a function: exactly its own, also when several lambdas share a line.

Layer: values. Standard library only; the heavy modules are imported when they are needed.
"""

from __future__ import annotations

import re
import sys
import weakref
from types import CodeType, FunctionType, ModuleType
from typing import Any, Iterator

from .rebuild import AWAITABLE, Source, compile_source, parse_function, sources

# By code object; the code of functions that are sent again and again is looked up once. Code
# objects of two files may be equal: the file name tells them apart.
_found: weakref.WeakKeyDictionary[CodeType, Source] = weakref.WeakKeyDictionary()

# What `globals_of` found, by code object.
_globals: weakref.WeakKeyDictionary[CodeType, list[str]] = weakref.WeakKeyDictionary()

# By file name: the lines and what they parsed to. A script of 1,000 lines takes 10 ms to parse.
_parsed: dict[str, tuple[list[str], Any]] = {}
_PARSED_FILES = 16

# The options of the interpreter up to -c, if it is in this argument; then the code, if it is too.
_CODE_OPTION = re.compile(r'-[bBdEhiIOPqRsSuvVx?]*c(.*)', re.DOTALL)


class NoSourceError(Exception):
    """The text says why: "has no source here"."""


def find_source(function: FunctionType) -> Source:
    """Find the source of a function.

    Raises:
        NoSourceError: There is none, or it is not the one that the function was compiled from.
    """
    code = function.__code__
    known = _found.get(code)
    if known is not None and known.filename == code.co_filename:
        return known
    received = sources.get(code)
    if received is not None and received.filename == code.co_filename:
        found = _choose(code, list(_cut_received(code, received)))
    else:
        found = _choose(code, list(_cut_file(function)))
    _found[code] = found
    return found


def _choose(code: CodeType, candidates: list[Source]) -> Source:
    """Take the candidate that compiles to that very code."""
    if not candidates:
        raise NoSourceError('has no source here')
    compiled = [(compile_source(each, code.co_freevars), each) for each in candidates]
    if len(compiled) == 1:
        # Byte code may differ from the source on purpose: pytest rewrites assertions.
        same = [each for made, each in compiled if _signature(made) == _signature(code)]
    else:
        same = [each for made, each in compiled if _fingerprint(made) == _fingerprint(code)]
        # Since Python 3.11 the code of `os.getcwd()` depends on whether the file imports `os`. But
        # code knows its columns there.
        place = _place(code)
        if not same and place is not None:
            same = [each for made, each in compiled if _place(made) == place]
    if not same:
        raise NoSourceError(f'is not what {code.co_filename} says now')
    return same[0]  # if there are more, they do the same


def _signature(code: CodeType) -> tuple[Any, ...]:
    count = code.co_argcount + code.co_kwonlyargcount
    flags = code.co_flags & 0x2AC  # *args, **kwargs, generator, coroutine, async generator
    return code.co_varnames[:count], code.co_argcount, flags, sorted(code.co_freevars)


def _fingerprint(code: CodeType) -> tuple[Any, ...]:
    consts = tuple(
        _fingerprint(each) if isinstance(each, CodeType) else (type(each), repr(each))
        for each in code.co_consts
        # Before Python 3.11, the qualified names of nested functions: they depend on the scopes.
        if not (isinstance(each, str) and '<locals>' in each)
    )
    names = (code.co_names, code.co_varnames, code.co_cellvars)
    return (_signature(code), code.co_code, names, consts)


def _place(code: CodeType) -> tuple[Any, ...] | None:
    """Where the expressions of code begin and end, and its names; None if it does not know."""
    known = [
        ((line, column), (end_line, end_column))
        for line, end_line, column, end_column in getattr(code, 'co_positions', tuple)()
        if None not in (line, end_line, column, end_column)
    ]
    spans = [(start, end) for start, end in known if start != end]  # RESUME is at no expression
    if not spans:
        return None
    names = (code.co_names, code.co_varnames, code.co_cellvars)
    return min(start for start, _ in spans), max(end for _, end in spans), _signature(code), names


# ------------------------------------------------------------------------------------ where to look


def _cut_received(code: CodeType, received: Source) -> Iterator[Source]:
    """Cut a function out of the one around it, that another process sent."""
    tree = parse_function(received)
    lines = received.text.splitlines(keepends=True)
    if received.column >= 0:
        lines[0] = ' ' * max(received.column, 1) + lines[0]  # as parse_function() has it
    for node, scopes in _functions(tree, received.scopes):
        if _matches(node, code):
            yield _cut(node, scopes, code, lines, received.line, received.lazy_annotations)


def _cut_file(function: FunctionType) -> Iterator[Source]:
    code = function.__code__
    import __future__

    flag = __future__.annotations.compiler_flag
    lines, tree = _parse_file(function)
    for node, scopes in _functions(tree, ()):
        if _matches(node, code):
            yield _cut(node, scopes, code, lines, 1, bool(code.co_flags & flag))


def _parse_file(function: FunctionType) -> tuple[list[str], Any]:
    import ast

    filename = function.__code__.co_filename
    lines = _lines_of(filename, function.__globals__)
    known = _parsed.get(filename)
    if known is not None and known[0] == lines:
        return known
    try:
        tree = ast.parse(''.join(lines), filename)
    except (SyntaxError, ValueError):
        raise NoSourceError(f'is not what {filename} says now') from None
    if len(_parsed) >= _PARSED_FILES:
        _parsed.clear()
    _parsed[filename] = lines, tree
    return lines, tree


def _lines_of(filename: str, module: dict[str, Any]) -> list[str]:
    import linecache

    linecache.checkcache(filename)
    lines = linecache.getlines(filename, module)
    if not lines and filename == '<string>' and module.get('__name__') == '__main__':
        lines = _command_line_code().splitlines(keepends=True)
    return lines


def _command_line_code() -> str:
    """The code of ``python -c``, which linecache knows only since Python 3.13."""
    arguments = iter(getattr(sys, 'orig_argv', ())[1:])  # since Python 3.10
    for each in arguments:
        found = _CODE_OPTION.fullmatch(each)
        if found:
            return found.group(1) or next(arguments, '')
        if each in ('-W', '-X'):
            next(arguments, None)
    return ''


# ---------------------------------------------------------------------------------- syntax trees


def _functions(tree: Any, scopes: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield each function of a tree, with the scopes around it."""
    import ast

    pending = [(tree, scopes)]
    while pending:
        node, outer = pending.pop()
        inside: list[Any] = []
        inner = outer
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            kind = 'class' if isinstance(node, ast.ClassDef) else 'def'
            inside, inner = node.body, (*outer, f'{kind} {node.name}')
        elif isinstance(node, ast.Lambda):
            inside, inner = [node.body], (*outer, 'def <lambda>')
        if inner is not outer and not isinstance(node, ast.ClassDef):
            yield node, outer
        for child in ast.iter_child_nodes(node):  # decorators and defaults belong to the outside
            pending.append((child, inner if child in inside else outer))


def _matches(node: Any, code: CodeType) -> bool:
    first = min([node.lineno, *(each.lineno for each in getattr(node, 'decorator_list', ()))])
    # Where another process sent it, decorators are gone, and with them their lines.
    return getattr(node, 'name', '<lambda>') == code.co_name and code.co_firstlineno in (
        first,
        node.lineno,
    )


def _cut(
    node: Any, scopes: tuple[str, ...], code: CodeType, lines: list[str], first: int, lazy: bool
) -> Source:
    """Cut a function out of lines of which the first has the number ``first``."""
    own = lines[node.lineno - first : node.end_lineno - first + 1]
    column = -1
    if code.co_name == '<lambda>':
        column = node.col_offset
        own[-1] = own[-1].encode()[: node.end_col_offset].decode()
        own[0] = own[0].encode()[column:].decode()
    awaitable = bool(code.co_flags & AWAITABLE)
    return Source(code.co_filename, node.lineno, column, ''.join(own), scopes, lazy, awaitable)


# ------------------------------------------------------------------------------ what code refers to


def globals_of(code: CodeType) -> list[str]:
    """The names of the globals that code uses, code in it included; in the order of their use."""
    found = _globals.get(code)
    if found is not None:
        return found
    import dis

    names: dict[str, None] = {}
    pending = [code]
    while pending:
        each = pending.pop()
        pending += [const for const in each.co_consts if isinstance(const, CodeType)]
        for step in dis.get_instructions(each):
            # NAME: in the body of a class. FROM_DICT_OR: in annotation scopes, since Python 3.12.
            if step.opname.endswith(('_GLOBAL', '_NAME', '_FROM_DICT_OR_GLOBALS')):
                names[step.argval] = None
    found = _globals[code] = list(names)
    return found


def submodules_of(code: CodeType, space: dict[str, Any]) -> list[str]:
    """Modules that code reaches through their packages: ``os.path`` where it says ``os``."""
    names = set(code.co_names)
    packages = [space[name].__name__ for name in names if isinstance(space.get(name), ModuleType)]
    return [
        name
        for name in list(sys.modules)
        for package in packages
        if name.startswith(package + '.') and names.issuperset(name[len(package) + 1 :].split('.'))
    ]
