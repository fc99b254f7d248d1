"""Data classes by value: their methods are generated, so there is no source of them to send.

Layer: values. Standard library only.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple


class FieldRecipe(NamedTuple):
    """One field of a data class, as plain data."""

    name: str
    kind: str  #: The name of the standard library's sentinel: '_FIELD', '_FIELD_CLASSVAR' ….
    options: dict[str, Any]  #: Arguments of ``dataclasses.field``.
    annotation: Any


# What dataclasses adds besides the methods that the sending side found to be generated.
_ADDED = ('__dataclass_fields__', '__dataclass_params__', '__match_args__', '__replace__')
_METHODS = (
    *('__init__', '__repr__', '__eq__', '__lt__', '__le__', '__gt__', '__ge__', '__hash__'),
    *('__setattr__', '__delattr__', '__getstate__', '__setstate__', '__replace__'),
)


def describe_dataclass(
    cls: Any,
) -> tuple[dict[str, bool], list[tuple[Any, ...]], list[str], bool]:
    """What :func:`apply_dataclass` needs to know of a data class."""
    params = cls.__dict__['__dataclass_params__']
    skipped = ('slots', 'weakref_slot')  # these were applied: the class has its slots already
    names = [name for name in params.__slots__ if name not in skipped]
    fields = [tuple(_describe_field(each)) for each in cls.__dataclass_fields__.values()]
    generated = [name for name in _METHODS if _is_generated(cls.__dict__.get(name))]
    options = {name: getattr(params, name) for name in names}
    return options, fields, generated, hasattr(cls, '__post_init__')


def _is_generated(method: Any) -> bool:
    import dataclasses
    import inspect

    method = getattr(method, '__wrapped__', method)  # __repr__ guards against recursion
    code = getattr(method, '__code__', None)
    if code is None or code.co_filename != '<string>':
        return code is not None and code.co_filename == dataclasses.__file__
    # Code of ``python -c`` has that file name, too. A generated function is inside another one.
    if hasattr(code, 'co_qualname'):  # since Python 3.11
        found: bool = code.co_qualname.startswith('__create_fn__.')
        return found
    return code.co_firstlineno == 2 and bool(code.co_flags & inspect.CO_NESTED)


def _describe_field(field: Any) -> FieldRecipe:
    import dataclasses

    options = {
        name: getattr(field, name)
        for name in ('default', 'default_factory', 'init', 'repr', 'hash', 'compare', 'kw_only')
        if getattr(field, name, dataclasses.MISSING) is not dataclasses.MISSING
    }
    if field.metadata:
        options['metadata'] = dict(field.metadata)
    return FieldRecipe(field.name, field._field_type.name, options, field.type)


def apply_dataclass(
    cls: Any,
    params: dict[str, bool],
    fields: list[tuple[Any, ...]],
    generated: list[str],
    post_init: bool,
) -> None:
    """Generate the methods of a data class anew, with the means of this Python.

    They are generated for a twin that has nothing but the fields, so that neither the bases nor
    the members that ``cls`` has already are in the way, and then moved.
    """
    import dataclasses
    import inspect

    known = inspect.signature(dataclasses.dataclass).parameters
    twin: Any = type(cls.__name__, (), _twin_members(fields, post_init))
    twin.__module__, twin.__qualname__ = cls.__module__, cls.__qualname__
    twin = dataclasses.dataclass(**{k: v for k, v in params.items() if k in known})(twin)
    for recipe in map(FieldRecipe._make, fields):
        twin.__dataclass_fields__[recipe.name].type = recipe.annotation
    for name, value in list(vars(twin).items()):
        if name in generated or (name in _ADDED and name not in vars(cls)):
            _move(value, twin, cls)
            type.__setattr__(cls, name, value)
    if '__setstate__' in generated and '__setstate__' not in vars(cls):
        _add_state_methods(cls)


def _twin_members(fields: list[tuple[Any, ...]], post_init: bool) -> dict[str, Any]:
    import dataclasses
    import inspect
    from typing import ClassVar

    known = inspect.signature(dataclasses.field).parameters
    annotations = {
        '_FIELD': object,
        '_FIELD_INITVAR': dataclasses.InitVar[object],
        '_FIELD_CLASSVAR': ClassVar[object],
    }
    members: dict[str, Any] = {'__annotations__': {}}
    for recipe in map(FieldRecipe._make, fields):
        members['__annotations__'][recipe.name] = annotations[recipe.kind]
        options = {k: v for k, v in recipe.options.items() if k in known}
        if recipe.kind != '_FIELD_CLASSVAR':
            members[recipe.name] = dataclasses.field(**options)
    if post_init:  # a base of the class may not have its members yet
        members['__post_init__'] = None  # __init__ calls it only where it is there
    return members


def _move(func: Any, twin: Any, cls: Any) -> None:
    """Make a generated method refer to the class instead of to its twin."""
    while isinstance(func, FunctionType):
        for cell in func.__closure__ or ():
            if cell.cell_contents is twin:
                cell.cell_contents = cls
        func = getattr(func, '__wrapped__', None)


def _add_state_methods(cls: Any) -> None:
    """Let frozen instances with slots be pickled, as dataclasses does since Python 3.10."""
    import dataclasses

    def __getstate__(self: Any) -> list[Any]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def __setstate__(self: Any, state: list[Any]) -> None:
        for field, value in zip(dataclasses.fields(self), state):
            object.__setattr__(self, field.name, value)

    type.__setattr__(cls, '__getstate__', __getstate__)
    type.__setattr__(cls, '__setstate__', __setstate__)
