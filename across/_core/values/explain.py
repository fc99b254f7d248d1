"""Find the part of a value that keeps it from being pickled.

Layer: values. Standard library only.
"""

from __future__ import annotations

import itertools
from types import FunctionType, MethodType, ModuleType
from typing import Any, Callable, Iterator, Tuple

# A value may be large, and each probe pickles a part of it.
MAX_DEPTH = 8
MAX_PROBES = 500

Part = Tuple[str, Any]  # its step in the path, and itself


def explain_unpicklable(value: object, can_pickle: Callable[[object], bool], root: str) -> str:
    """Tell which part of a value cannot be pickled, and where it sits.

    Args:
        can_pickle: Tries to pickle a part; raises nothing.
        root: What the value is, "the result" for example. A triple of function, positional and
            keyword arguments needs none: its parts have names of their own.

    Returns:
        "cannot pickle '_thread.lock' object: keyword argument 'job', attribute '_lock'".
    """
    path: list[str] = []
    parts = _parts_of_call(value)
    if parts is None:
        path = [root] if root else []
        parts = _parts(value)
    culprit, probes = value, MAX_PROBES
    for _ in range(MAX_DEPTH):
        for found in itertools.islice(parts, max(probes, 0)):
            probes -= 1
            if not can_pickle(found[1]):
                break
        else:
            break  # each part can be pickled: it is the whole that cannot
        if found[0]:
            path.append(found[0])
        culprit, parts = found[1], _parts(found[1])
    where = ', '.join(path)
    return f'cannot pickle {_name(culprit)}' + (f': {where}' if where else '')


def _name(obj: Any) -> str:
    if isinstance(obj, type):
        return f'class {obj.__qualname__!r}'
    if isinstance(obj, FunctionType):
        return f'function {obj.__qualname__!r}'
    if isinstance(obj, ModuleType):
        return f'module {obj.__name__!r}'
    kind = type(obj)
    module = '' if kind.__module__ in ('builtins', '__main__') else f'{kind.__module__}.'
    return f"'{module}{kind.__qualname__}' object"


def _parts_of_call(value: Any) -> Iterator[Part] | None:
    if type(value) is tuple and len(value) == 3 and callable(value[0]):
        _, args, kwargs = value
        if type(args) is tuple and type(kwargs) is dict:
            return _name_parts_of_call(*value)
    return None


def _name_parts_of_call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Part]:
    yield 'the function', func
    for i, each in enumerate(args, 1):
        yield f'argument {i}', each
    for name, each in kwargs.items():
        yield f'keyword argument {name!r}', each


def _parts(obj: Any) -> Iterator[Part]:
    """Yield what an object is made of, as pickle sees it."""
    if isinstance(obj, (list, tuple, set, frozenset)):
        for i, item in enumerate(obj, 1):
            yield f'item {i}', item
    if isinstance(obj, dict):
        for key, item in obj.items():
            yield f'key {_short(key)}', key
            yield f'key {_short(key)}', item
    if isinstance(obj, MethodType):
        yield 'its object', obj.__self__
    elif isinstance(obj, FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, type):
        if obj.__module__ != 'builtins':
            yield from ((f'attribute {k!r}', v) for k, v in list(vars(obj).items()))
    elif isinstance(obj, (staticmethod, classmethod)):
        yield '', obj.__func__
    elif not isinstance(obj, ModuleType):
        yield from _parts_of_instance(obj)


def _short(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:
        return f'of type {type(key).__name__!r}'
    return text if len(text) <= 60 else text[:57] + '...'


def _parts_of_function(func: FunctionType) -> Iterator[Part]:
    from .sourcecode import globals_of

    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or ()):
        try:
            yield f'variable {name!r} of {func.__qualname__}', cell.cell_contents
        except ValueError:
            pass  # nothing was assigned to it yet
    for name in globals_of(func.__code__):
        if name in func.__globals__:
            yield f'global {name!r} of {func.__qualname__}', func.__globals__[name]
    for i, value in enumerate(func.__defaults__ or (), 1):
        yield f'default {i} of {func.__qualname__}', value
    for name, value in (func.__kwdefaults__ or {}).items():
        yield f'default of {name!r} of {func.__qualname__}', value
    yield from ((f'attribute {k!r}', v) for k, v in func.__dict__.items())


def _parts_of_instance(obj: Any) -> Iterator[Part]:
    try:
        reduced = obj.__reduce_ex__(5)
    except Exception:
        return  # it is the culprit itself
    if not isinstance(reduced, tuple) or len(reduced) < 2:
        return
    args, *rest = reduced[1:]
    state = rest[0] if rest else None
    yield from _parts_of_state(state)
    if len(rest) > 1 and not isinstance(obj, list):
        yield from ((f'item {i}', item) for i, item in enumerate(rest[1] or (), 1))
    if len(rest) > 2 and not isinstance(obj, dict):
        yield from ((f'key {_short(key)}', item) for key, item in rest[2] or ())
    yield 'its type', type(obj)
    if isinstance(args, tuple):
        others = [each for each in args if each is not type(obj)]
        yield from ((f'constructor argument {i}', each) for i, each in enumerate(others, 1))


def _parts_of_state(state: Any) -> Iterator[Part]:
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        yield from _parts_of_state(state[0])  # with __slots__
        state = state[1]
    if isinstance(state, dict):
        yield from ((f'attribute {name!r}', value) for name, value in state.items())
    elif state is not None:
        yield 'its state', state
