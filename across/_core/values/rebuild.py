"""What pickles of functions and classes by value call to rebuild them.

The names of the public functions are wire format: pickles name them, so they are few and stay.
They run on a peer that has nothing installed, and are fetched when the first such pickle arrives.
:mod:`.byvalue` writes these pickles.

Layer: values. Standard library only.
"""

from __future__ import annotations

import functools
import marshal
import sys
import threading
import weakref
from contextlib import suppress
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, Callable, NamedTuple

from ..errors import OperationError

AWAITABLE = 0x100  # in the flags of code: CO_ITERABLE_COROUTINE


class Source(NamedTuple):
    """The source of one function, cut out of its file.

    It travels as a plain tuple. It is the statement from ``def`` on, or the lambda expression.
    """

    filename: str
    line: int  #: Number of the first line in the file.
    column: int  #: Where a lambda starts in that line, in bytes of UTF-8; -1 for a statement.
    text: str
    scopes: tuple[str, ...]  #: Outermost first: ``'def f'``, ``'class A'``.
    lazy_annotations: bool  #: Compiled under ``from __future__ import annotations``.
    awaitable: bool  #: A generator function that :func:`types.coroutine` has marked.


# By code object, for the functions that are rebuilt here and those nested in them: a peer has no
# file to look into when it sends one of them on.
sources: weakref.WeakKeyDictionary[CodeType, Source] = weakref.WeakKeyDictionary()


# --------------------------------------------------------------------------------------- functions


def space(name: str, package: str | None, file: str | None) -> dict[str, Any]:
    """Make the global namespace for the functions of one module."""
    import builtins

    names = {'__name__': name, '__package__': package, '__file__': file, '__builtins__': builtins}
    if file is None:
        del names['__file__']
    return names


def cell() -> CellType:
    """Make an empty closure cell, filled by :func:`fill_function`."""
    return CellType()


def code(marshalled: bytes) -> CodeType:
    """Make a code object of the same version of Python."""
    made: CodeType = marshal.loads(marshalled)
    return made


def function(
    body: CodeType | tuple[Any, ...], names: dict[str, Any], cells: dict[str, CellType]
) -> Any:
    """Make a function that lacks nothing but its state.

    Args:
        body: Its code, or its `Source`.
    """
    if isinstance(body, tuple):
        body = _compile_received(Source(*body), tuple(cells))
    return FunctionType(body, names, None, None, tuple(cells[name] for name in body.co_freevars))


def fill_function(made: Any, state: dict[str, Any]) -> None:
    """Give a function its state. What it refers to may refer to it."""
    from importlib import import_module

    for name in state['submodules']:
        import_module(name)
    made.__globals__.update(state['globals'])
    for each, content in state['cells']:
        each.cell_contents = content
    for name, value in state['attributes'].items():
        setattr(made, name, value)
    made.__dict__.update(state['dict'])


def method(func: Callable[..., Any], owner: object) -> MethodType:
    """Bind a function that its owner does not know by its name."""
    return MethodType(func, owner)


def cached(func: Callable[..., Any], size: int | None, typed: bool) -> Any:
    """Make what ``functools.lru_cache`` makes, with an empty cache."""
    return functools.lru_cache(size, typed)(func)


def dispatching(func: Callable[..., Any]) -> Any:
    """Make what ``functools.singledispatch`` makes."""
    return functools.singledispatch(func)


def fill_dispatching(made: Any, registry: dict[Any, Any]) -> None:
    """Register its functions, by the types they are for."""
    for kind, func in registry.items():
        made.register(kind, func)


@functools.lru_cache(maxsize=256)  # functions made in a loop share their code, as they did at home
def compile_source(source: Source, free: tuple[str, ...]) -> CodeType:
    """Compile a function under its own file name and line numbers.

    Args:
        free: Its free variables.

    Raises:
        OperationError: This Python does not know its syntax.
    """
    try:
        tree, depth = _parse(source, free)
        flags = 0
        if source.lazy_annotations:
            import __future__

            flags = __future__.annotations.compiler_flag
        code: CodeType = compile(tree, source.filename, 'exec', flags, dont_inherit=True)
    except SyntaxError as exc:
        version = '.'.join(map(str, sys.version_info[:2]))
        raise OperationError(
            f'the function at {source.filename}:{source.line} cannot be rebuilt by '
            f'Python {version}: {exc.msg} (line {exc.lineno})'
        ) from exc
    for _ in range(depth):  # defaults and annotations are gone, so there is no other code in it
        code = next(each for each in code.co_consts if isinstance(each, CodeType))
    return code


def parse_function(source: Source) -> Any:
    """Parse the source of a function: its syntax tree, at the positions it has in its file."""
    import ast

    tree: Any
    if source.column >= 0:
        # Parentheses, so that it may span lines; blanks, so that columns stay what they were.
        text = '(' + ' ' * (source.column - 1) + source.text + '\n)'
        tree = ast.parse('\n' * (source.line - 1) + text, source.filename, 'eval')
        return tree.body
    indented = source.text[:1].isspace()
    text = 'if 1:\n' * indented + source.text
    tree = ast.parse('\n' * (source.line - 1 - indented) + text, source.filename)
    return tree.body[0].body[0] if indented else tree.body[0]


def _parse(source: Source, free: tuple[str, ...]) -> tuple[Any, int]:
    """Parse a function, and put it into scopes like those it was defined in.

    They provide its free variables, ``__class__`` for super(), the class name that private names
    get, and the qualified names of what is defined in it.
    """
    import ast

    node = parse_function(source)
    arguments = node.args
    arguments.defaults = []
    arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg):
            each.annotation = None
    if isinstance(node, ast.Lambda):
        statement: Any = ast.parse('0').body[0]
        statement.value = node
    else:
        statement = node
        node.decorator_list = []  # they were applied already
        node.type_params = []
        node.returns = None
    for scope in reversed(source.scopes):
        kind, name = scope.split(' ', 1)
        header = 'class _: 0'
        if kind == 'def':
            header, free = f'def _({", ".join(free)}): 0', ()  # the innermost provides them all
        elif not any(each.startswith('def ') for each in source.scopes):
            free = tuple(each for each in free if each != '__class__')  # the class provides it
        wrapper: Any = ast.parse(header).body[0]
        wrapper.name, wrapper.body = name, [statement]
        statement = wrapper
    if free:  # of a comprehension, which was the only function around
        wrapper = ast.parse(f'def _({", ".join(free)}): 0').body[0]
        wrapper.body = [statement]
        if source.scopes:  # or else the name of the class would be a local variable here
            wrapper.body.insert(0, ast.parse(f'global {name}').body[0])
        statement = wrapper
    return ast.Module(body=[statement], type_ignores=[]), len(source.scopes) + 1 + bool(free)


@functools.lru_cache(maxsize=256)
def _compile_received(source: Source, free: tuple[str, ...]) -> CodeType:
    """Compile a function, and remember its source, and that of all code in it."""
    import os

    code = compile_source(source, free)
    if source.awaitable:
        code = code.replace(co_flags=code.co_flags | AWAITABLE)
    if not os.path.exists(source.filename):
        from .sourcelines import remember_lines

        lines = source.text.splitlines(keepends=True)
        lines[0] = ' ' * max(source.column, 0) + lines[0]
        if not lines[-1].endswith('\n'):
            lines[-1] += '\n'
        remember_lines(source.filename, source.line, lines)
    pending = [code]
    while pending:
        each = pending.pop()
        sources[each] = source
        pending += [const for const in each.co_consts if isinstance(const, CodeType)]
    return code


# ----------------------------------------------------------------------------------------- classes

_lock = threading.RLock()
_by_key: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_keys: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
# What was made here, and is at home elsewhere; with the names of the members that came last.
_received: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def key_of(obj: Any) -> str:
    """The key under which a class (or type variable) is known on both sides of a connection."""
    with _lock:
        key = _keys.get(obj)
        if key is None:
            import uuid

            key = _keys[obj] = uuid.uuid4().hex
            _by_key[key] = obj
        return key


def known(key: str, make: Callable[[], Any]) -> Any:
    """The object of that key; the very one that was sent from here, if it comes back."""
    with _lock:
        made = _by_key.get(key)
        if made is None:
            made = make()
            _by_key[key] = made
            _keys[made] = key
            _received[made] = set()
        return made


class _Quiet:
    """A first base that keeps ``__init_subclass__`` of the real bases from running once more."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        pass


class _QuietWithDict:
    """The same for bases with a ``__dict__``: the memory must be laid out like theirs."""

    def __init_subclass__(cls, **_: Any) -> None:
        pass


def klass(
    key: str, meta: Any, name: str, bases: tuple[Any, ...], about: dict[str, Any], quiet: bool
) -> Any:
    """Make a class without its members.

    The members are what the metaclass made of them already, so its ``__new__`` is left out.

    Args:
        about: The members that only count while a class is made: ``__slots__``, ``__module__`` ….
        quiet: There is an ``__init_subclass__`` that did its work already.
    """

    def make() -> Any:
        from abc import ABCMeta

        build: Any = ABCMeta if issubclass(meta, ABCMeta) else type
        for first in ((_Quiet,), (_QuietWithDict,)) if quiet else ((),):
            try:
                made = build.__new__(meta, name, (*first, *bases), about)
                if first:
                    type.__setattr__(made, '__bases__', bases)
            except TypeError:
                continue
            return made
        return meta(name, bases, about)  # a metaclass written in C

    return known(key, make)


def fill_class(made: Any, state: dict[str, Any]) -> None:
    """Give a class its members, anew with each call, unless it is at home here."""
    members = state['members']
    with _lock:
        before = _received.get(made)
    if before is None:
        return
    for name, value in members.items():
        type.__setattr__(made, name, value)
    for name in before.difference(members):
        with suppress(AttributeError):  # another thread was faster
            type.__delattr__(made, name)  # as it was at home
    if members.get('_is_protocol'):
        _find_protocol_members(made)
    for name, attributes in state.get('enum', {}).items():
        made.__members__[name].__dict__.update(attributes)
        for each, value in state['slots'].get(name, {}).items():
            object.__setattr__(made.__members__[name], each, value)
    for each in state.get('registered', ()):
        made.register(each)
    if 'dataclass' in state and not before:
        from .rebuild_dataclass import apply_dataclass

        apply_dataclass(made, *state['dataclass'])
    with _lock:  # not before it is complete: another thread may be about to use it
        _received[made] = set(members)


def _find_protocol_members(made: Any) -> None:
    """Have typing look for the members of a protocol; there were none when the class was made."""
    from typing import Protocol, runtime_checkable

    meta: Any = type(Protocol)
    if not isinstance(made, meta):
        return
    meta.__init__(made, made.__name__, made.__bases__, {})  # since Python 3.12 it is done here
    if vars(made).get('_is_runtime_protocol'):
        runtime_checkable(made)


# ------------------------------------------------------------------------------------------ values


def view(buffer: Any, kind: str, shape: tuple[int, ...]) -> memoryview:
    """Make a memoryview of items other than bytes, or of several dimensions."""
    plain: Any = memoryview(buffer).cast('B')
    # A shape with a 0 in it cannot be cast to.
    made: memoryview = plain.cast(kind, shape) if plain.nbytes else plain.cast(kind)
    return made
