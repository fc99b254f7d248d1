"""Functions and classes by value, for peers that cannot import them.

Between equal Python versions byte code travels. Between different ones source travels, and
:mod:`.rebuild` compiles it over there. All else is the same for both; classes travel as their
members: see :mod:`.classes`.

Layer: values. cloudpickle is used for values of a few types, where it can be imported.
"""

from __future__ import annotations

import functools
import io
import marshal
import sys
from types import (
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, Callable, Container

from ..errors import OperationError
from . import cpickle as pickle
from . import rebuild, rebuild_enum, rebuild_typing
from .classes import portable_annotations, reduce_class
from .sourcecode import NoSourceError, find_source, globals_of, submodules_of

Reduced = Any  # what __reduce_ex__ returns, or NotImplemented

# Types, mostly of the interpreter, that cloudpickle has reducers for, and we have not. Those it has
# for files and modules make copies of them, which is not what a user would expect.
_KNOWN_TO_CLOUDPICKLE = {
    *('dict_keys', 'dict_values', 'dict_items', 'odict_keys', 'odict_values', 'odict_items'),
    *('WeakSet', 'cell', 'getset_descriptor', '_FIELD_BASE'),
    *('abstractclassmethod', 'abstractstaticmethod', 'abstractproperty'),
}


def is_importable(obj: Any, by_reference: Container[str]) -> bool:
    """Whether a function or class goes by reference."""
    module, name = getattr(obj, '__module__', None), getattr(obj, '__qualname__', None)
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return False
    if module == '__main__' and module not in by_reference:
        return False
    found: Any = sys.modules[module]
    for part in name.split('.'):
        found = getattr(found, part, None)
    return found is obj


class ByValuePickler(pickle.Pickler):
    """A pickler that packs functions and classes by value, if the peer can't import them.

    These are what is defined in ``__main__``, inside a function, or interactively.

    Args:
        file: Where ``dump`` writes to.
        buffer_callback: As for :class:`pickle.Pickler`.
        same_python: The peer runs this implementation and minor version of Python.
        peer: The name of the peer, for messages.
        by_reference: ``__main__``, if the peer can import ours. It is asked for this name only.

    Raises:
        OperationError: From ``dump``: a function has no source and the peer needs it.
    """

    def __init__(
        self,
        file: Any,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None,
        *,
        same_python: bool,
        peer: str,
        by_reference: Container[str],
    ) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self.by_reference = by_reference
        self._same_python = same_python
        self._peer = peer
        self._spaces: dict[int, _Space] = {}
        self._cells: dict[int, _Cell] = {}

    def reducer_override(self, obj: Any) -> Reduced:
        kind = type(obj)
        reduce = _REDUCERS.get(kind)
        if reduce is not None:
            return reduce(obj)
        if kind is FunctionType:
            if is_importable(obj, self.by_reference):
                return NotImplemented
            if obj.__globals__ is vars(functools) and 'registry' in vars(obj):
                return _reduce_dispatching(obj)
            return self._reduce_function(obj)
        if kind is CodeType:
            return self._reduce_code(obj)
        if isinstance(obj, type):
            if obj.__module__ == 'enum' and obj.__name__ == 'EnumType':  # since Python 3.11
                return getattr, (sys.modules['enum'], 'EnumMeta')
            if is_importable(obj, self.by_reference):
                return NotImplemented
            return reduce_class(obj)
        return reduce_value(obj, self.by_reference)

    def _reduce_function(self, func: FunctionType) -> Reduced:
        code, space = func.__code__, func.__globals__
        body = code if self._same_python else self._find_source(func)
        cells = [self._cells.setdefault(id(each), _Cell(each)) for each in func.__closure__ or ()]
        contents = [(each, content) for each in cells for content in each.contents()]
        attributes = {
            '__name__': func.__name__,
            '__qualname__': func.__qualname__,
            '__module__': func.__module__,
            '__doc__': func.__doc__,
            '__defaults__': func.__defaults__,
            '__kwdefaults__': func.__kwdefaults__,
            '__annotations__': portable_annotations(func.__annotations__),
        }
        state = {
            'globals': {name: space[name] for name in globals_of(code) if name in space},
            'submodules': submodules_of(code, space),
            'cells': contents,
            'attributes': attributes,
            'dict': func.__dict__,
        }
        made_of = (
            body,
            self._spaces.setdefault(id(space), _Space(space)),
            dict(zip(code.co_freevars, cells)),
        )
        return rebuild.function, made_of, state, None, None, rebuild.fill_function

    def _reduce_code(self, code: CodeType) -> Reduced:
        if not self._same_python:  # where it would crash, not fail
            raise OperationError(
                f'the code object {code.co_name!r} cannot be sent: {self._peer} runs a different '
                'Python; send its source, or a function'
            )
        return rebuild.code, (marshal.dumps(code),)

    def _find_source(self, func: FunctionType) -> tuple[Any, ...]:
        try:
            return find_source(func)
        except NoSourceError as exc:
            raise OperationError(
                f'function {func.__qualname__!r} of module {func.__module__!r} {exc}, and '
                f'{self._peer} runs a different Python, so its byte code cannot be sent'
            ) from None


class _Space:
    """Stands for a module's globals: those functions share them over there, too."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names  # keeps them alive, and with them their id

    def __reduce__(self) -> Reduced:
        name, package, file = map(self._names.get, ('__name__', '__package__', '__file__'))
        return rebuild.space, (name, package, file)


class _Cell:
    """Stands for a closure cell without its content, which may refer to the function itself."""

    def __init__(self, cell: CellType) -> None:
        self._cell = cell

    def contents(self) -> list[Any]:
        try:
            return [self._cell.cell_contents]
        except ValueError:  # nothing was assigned yet
            return []

    def __reduce__(self) -> Reduced:
        return rebuild.cell, ()


# ------------------------------------------------------------------------------ values of few types


def reduce_value(obj: Any, by_reference: Container[str]) -> Reduced:
    """Reduce what pickle can't."""
    kind = type(obj)
    if kind.__name__ in _KNOWN_TO_CLOUDPICKLE:
        return _reduce_by_cloudpickle(obj)
    if kind is memoryview:
        return _reduce_view(obj)
    if isinstance(obj, io.TextIOBase):
        return _reduce_stream(obj)
    if kind is TracebackType:
        return _reduce_traceback(obj)
    if kind is functools._lru_cache_wrapper and not is_importable(obj, by_reference):
        return _reduce_cached(obj)
    if kind.__module__ == 'dataclasses' and kind.__name__ == '_MISSING_TYPE':
        return getattr, (sys.modules['dataclasses'], 'MISSING')  # it is compared by identity
    if kind.__module__ == 'enum' and kind.__name__ == 'property':  # since Python 3.11
        made_of = (obj.fget, obj.fset, obj.fdel, obj.__doc__)
        return rebuild_enum.dynamic, made_of, {'name': obj.name, 'clsname': obj.clsname}
    if kind.__module__ == 'functools' and kind.__name__ == 'singledispatchmethod':
        # Since Python 3.13 it has a cache.
        return kind, (obj.func,), {'dispatcher': obj.dispatcher}
    if kind.__module__ == 'functools' and kind.__name__ == 'cached_property':
        # Before Python 3.12 it has a lock.
        return kind, (obj.func,), {'attrname': obj.attrname, '__doc__': obj.__doc__}
    return NotImplemented


def _reduce_stream(stream: io.TextIOBase) -> Reduced:
    for name in ('stdin', 'stdout', 'stderr'):
        if stream is getattr(sys, name):
            return getattr, (sys, name)  # that of the process where it arrives
    return NotImplemented


def _reduce_by_cloudpickle(obj: Any) -> Reduced:
    try:
        from cloudpickle import Pickler
    except ImportError:  # a bare peer whose owner lacks it
        return NotImplemented
    reduce = Pickler._dispatch_table.get(type(obj))
    return reduce(obj) if reduce else NotImplemented


def _reduce_traceback(obj: TracebackType) -> Reduced:
    """A traceback as a value of its own; those of raised exceptions are left to `faults`."""
    try:
        from tblib.pickling_support import pickle_traceback
    except ImportError:  # a bare peer that was not given it
        return NotImplemented
    reduced: tuple[Any, ...] = pickle_traceback(obj)
    return reduced


def _reduce_cached(obj: Any) -> Reduced:
    parameters = getattr(obj, 'cache_parameters', None)  # since Python 3.9
    typed = parameters()['typed'] if parameters else False
    return rebuild.cached, (obj.__wrapped__, obj.cache_info().maxsize, typed)


def _reduce_dispatching(func: Any) -> Reduced:
    registry = dict(func.registry)
    return rebuild.dispatching, (func.__wrapped__,), registry, None, None, rebuild.fill_dispatching


def _reduce_view(obj: memoryview) -> Reduced:
    buffer = pickle.PickleBuffer(obj if obj.c_contiguous else obj.tobytes())
    if obj.format == 'B' and obj.ndim == 1:
        return memoryview, (buffer,)
    return rebuild.view, (buffer, obj.format, obj.shape)


def _reduce_module(module: ModuleType) -> Reduced:
    from importlib import import_module

    if sys.modules.get(module.__name__) is not module:
        raise pickle.PicklingError(f'module {module.__name__!r} cannot be imported by its name')
    return import_module, (module.__name__,)


def _reduce_method(method: MethodType) -> Reduced:
    name = getattr(method.__func__, '__name__', None)  # a partial has none
    if isinstance(name, str) and getattr(method.__self__, name, None) == method:
        return getattr, (method.__self__, name)
    return rebuild.method, (method.__func__, method.__self__)


def _reduce_property(obj: property) -> Reduced:
    return property, (obj.fget, obj.fset, obj.fdel, obj.__doc__)


def _reduce_wrapped(obj: Any) -> Reduced:
    return type(obj), (obj.__func__,)


def _reduce_typevar(obj: Any) -> Reduced:
    home = obj.__module__
    if home != '__main__' and getattr(sys.modules.get(home), obj.__name__, None) is obj:
        return NotImplemented
    variance = obj.__covariant__, obj.__contravariant__
    made_of = (rebuild.key_of(obj), obj.__name__, obj.__constraints__, obj.__bound__, variance)
    return rebuild_typing.typevar, made_of


def _reduce_generic(obj: Any) -> Reduced:
    return rebuild_typing.generic, (obj.__origin__, obj.__args__)


def _reduce_union(obj: Any) -> Reduced:
    from typing import Union

    return rebuild_typing.generic, (Union, obj.__args__)


def _typing_reducers() -> dict[type, Callable[[Any], Reduced]]:
    import types
    from typing import TypeVar

    found: dict[type, Callable[[Any], Reduced]] = {TypeVar: _reduce_typevar}
    for name, reduce in (('GenericAlias', _reduce_generic), ('UnionType', _reduce_union)):
        if hasattr(types, name):  # since Python 3.9, 3.10
            found[getattr(types, name)] = reduce
    return found


_REDUCERS: dict[type, Callable[[Any], Reduced]] = {
    ModuleType: _reduce_module,
    MethodType: _reduce_method,
    property: _reduce_property,
    classmethod: _reduce_wrapped,
    staticmethod: _reduce_wrapped,
    MappingProxyType: lambda obj: (MappingProxyType, (dict(obj),)),
    **_typing_reducers(),
}
