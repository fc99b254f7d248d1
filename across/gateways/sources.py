"""What `remote_exec` was given, made ready to travel.

Layer: gateways.
"""

from __future__ import annotations

import inspect
import textwrap
from types import FunctionType, ModuleType
from typing import Any, Callable

from .worker import Task

__all__ = ['Source', 'make_task']

# Functions of these travel by reference: every peer imports them from the process it belongs to.
_OURS = 'across'


class Source:
    """Pieces of source text put together, each with its common indentation taken off.

    Args:
        *parts: Strings, or objects that Python knows the source of: functions, classes, modules.
    """

    def __init__(self, *parts: Any) -> None:
        self._text = '\n'.join(textwrap.dedent(_text_of(part)) for part in parts)

    def __str__(self) -> str:
        return self._text


def _text_of(part: Any) -> str:
    return str(part) if isinstance(part, (str, Source)) else inspect.getsource(part)


def make_task(source: Any, kwargs: dict[str, Any]) -> Task:
    """Make a task of a string, a `Source`, a module or a function.

    Raises:
        TypeError: It is something else, or does not go with the arguments.
        ValueError: The source of a module can't be found.
    """
    if isinstance(source, ModuleType):
        _refuse_arguments('a module', kwargs)
        return Task(_source_of_module(source), source.__file__, {})
    if callable(source):
        _check_signature(source, kwargs)
        return Task(_by_value(source), None, kwargs)
    if not isinstance(source, (str, Source)):
        raise TypeError(
            f'expected source text, a function or a module to run, not {type(source).__name__}'
        )
    _refuse_arguments('source text', kwargs)
    return Task(textwrap.dedent(str(source)), None, {})


def _refuse_arguments(what: str, kwargs: dict[str, Any]) -> None:
    if kwargs:
        raise TypeError(
            f'{what} takes no arguments; send {", ".join(kwargs)} over the channel, or give a '
            'function'
        )


def _source_of_module(module: ModuleType) -> str:
    import linecache

    linecache.checkcache(getattr(module, '__file__', None))
    try:
        return inspect.getsource(module)
    except (OSError, TypeError) as exc:
        raise ValueError(f'the source of module {module.__name__!r} cannot be found') from exc


def _check_signature(function: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C; the call over there will tell
    try:
        signature.bind(None, **kwargs)
    except TypeError as exc:
        name = getattr(function, '__qualname__', repr(function))
        raise TypeError(
            f'{name}{signature} cannot be called with a channel and {kwargs}: {exc}'
        ) from None


def _by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a function that no import finds, so that it travels with what it needs."""
    if not isinstance(function, FunctionType) or function.__module__ == '__main__':
        return function
    if (function.__module__ or '').partition('.')[0] == _OURS or '<' in function.__qualname__:
        return function
    space = function.__globals__
    calls_itself = space.get(function.__name__) is function
    if calls_itself:
        space = space.copy()
    copy = FunctionType(
        function.__code__,
        space,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    if calls_itself:
        space[function.__name__] = copy  # the original would be looked for in its module
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__.update(function.__dict__)
    copy.__annotations__ = {}
    copy.__module__ = function.__module__
    copy.__qualname__ = f'<remote_exec>.{function.__name__}'
    return copy


for _public in (Source,):
    _public.__module__ = 'across.gateways'
del _public
