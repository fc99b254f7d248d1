"""Classes by value: taken apart into members, from which :mod:`.rebuild` makes them again.

Layer: values. Standard library only.
"""

from __future__ import annotations

import copyreg
import sys
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from . import cpickle as pickle
from . import rebuild, rebuild_enum, rebuild_typing

Reduced = Any

# Made anew with the class, or specific to one version of Python.
_LEFT_OUT = {
    *('__dict__', '__weakref__', '__module__', '__qualname__', '__slots__', '_abc_impl'),
    *('__firstlineno__', '__static_attributes__', '__type_params__', '__classcell__'),
    '__slotnames__',  # what copyreg found
}
_OF_SINGLETONS = (type(None), type(...), type(NotImplemented))
_OF_DATACLASSES = {'__dataclass_fields__', '__dataclass_params__'}
# Private functions of typing, and what they found, with other names in other versions.
_OF_PROTOCOLS = {
    *('__init__', '__subclasshook__', '__protocol_attrs__'),
    *('__callable_proto_members_only__', '__non_callable_proto_members__'),
}
_OF_NAMEDTUPLES = {
    *('__new__', '__repr__', '__getnewargs__', '__replace__', '__match_args__'),
    *('_make', '_replace', '_asdict', '_fields', '_field_defaults', '_fields_defaults'),
    '__class_getitem__',
}


def reduce_class(cls: Any) -> Reduced:
    """Reduce a class that the peer cannot import."""
    from_types = _find_in_types(cls)
    if from_types is not None:
        return from_types
    about = {'__module__': cls.__module__, '__qualname__': cls.__qualname__}
    if '__slots__' in cls.__dict__:
        slots = cls.__dict__['__slots__']
        about['__slots__'] = slots if isinstance(slots, (str, tuple, dict)) else tuple(slots)
    if cls.__dict__.get('_is_protocol') and '__orig_bases__' in cls.__dict__:
        about['__orig_bases__'] = cls.__dict__['__orig_bases__']
    state: dict[str, Any] = {'members': _members(cls)}
    make: Any
    made_of: Any
    enum = sys.modules.get('enum')
    if enum is not None and isinstance(cls, enum.EnumMeta):
        make, made_of = _take_enum_apart(cls, about, state)
    elif _is_namedtuple(cls):
        make, made_of = _take_namedtuple_apart(cls, about, state)
    else:
        make = rebuild.klass
        quiet = _has_hook(cls)
        made_of = (rebuild.key_of(cls), type(cls), cls.__name__, cls.__bases__, about, quiet)
    if '__dataclass_params__' in cls.__dict__:
        _take_dataclass_apart(cls, state)
    if '_abc_impl' in cls.__dict__:
        state['registered'] = _registered(cls)
    return make, made_of, state, None, None, rebuild.fill_class


def _find_in_types(cls: Any) -> Reduced:
    """Types of the interpreter that no module has under their name, such as ``function``."""
    import types

    if cls.__module__ != 'builtins':
        return None
    for name in types.__all__:
        # pickle knows the types of the singletons, and not all versions have a name for them.
        if getattr(types, name) is cls and cls not in _OF_SINGLETONS:
            return getattr, (types, name)
    return NotImplemented


def _members(cls: Any) -> dict[str, Any]:
    members = {
        name: value
        for name, value in cls.__dict__.items()
        if name not in _LEFT_OUT and not _is_slot(value, cls)
    }
    if '__annotations__' in members:
        members['__annotations__'] = portable_annotations(members['__annotations__'])
    if '_is_protocol' in members:  # it is one, or inherits from one
        for name in _OF_PROTOCOLS:
            if getattr(members.get(name), '__module__', 'typing') == 'typing':
                members.pop(name, None)
    return members


def _registered(cls: Any) -> list[Any]:
    """The virtual subclasses of an abstract class."""
    import abc

    try:
        references = abc._get_dump(cls)[0]  # type: ignore[attr-defined]  # as cloudpickle has it
    except AttributeError:  # an interpreter whose `abc` is not written in C
        return []
    return [found for found in (reference() for reference in references) if found is not None]


def _is_slot(value: Any, cls: Any) -> bool:
    is_descriptor = isinstance(value, (MemberDescriptorType, GetSetDescriptorType))
    return is_descriptor and value.__objclass__ is cls


def _has_hook(cls: Any) -> bool:
    """Whether making the class would call an ``__init_subclass__`` that did its work already."""
    hooks = [base for base in cls.__mro__[1:] if '__init_subclass__' in vars(base)]
    # The one of Protocol is needed: it adds what its version of `typing` looks for.
    return hooks[0] is not object and not cls.__dict__.get('_is_protocol')


def _take_dataclass_apart(cls: Any, state: dict[str, Any]) -> None:
    from .rebuild_dataclass import describe_dataclass

    recipe = describe_dataclass(cls)
    state['dataclass'] = recipe
    for name in (*recipe[2], *_OF_DATACLASSES):
        state['members'].pop(name, None)


def _is_namedtuple(cls: Any) -> bool:
    make = getattr(cls.__dict__.get('_make'), '__func__', None)
    return cls.__bases__[0] is tuple and getattr(make, '__module__', None) == 'collections'


def _take_namedtuple_apart(cls: Any, about: dict[str, Any], state: dict[str, Any]) -> Any:
    for name in list(state['members']):
        value = state['members'][name]
        home = getattr(getattr(value, '__func__', value), '__module__', 'collections')
        is_generated = home in ('collections', 'typing') or str(home).startswith('namedtuple_')
        if name in cls._fields or (name in _OF_NAMEDTUPLES and is_generated):
            del state['members'][name]
    del about['__slots__']
    defaults = tuple(cls._field_defaults.values())
    key = rebuild.key_of(cls)
    made_of = (key, cls.__name__, cls.__bases__, cls._fields, defaults, about)
    return rebuild_typing.namedtuple, made_of


def _take_enum_apart(cls: Any, about: dict[str, Any], state: dict[str, Any]) -> Any:
    names = set(cls.__members__)
    own_names = {'_missing_', '_generate_next_value_', '_ignore_'}
    members = {
        name: value
        for name, value in state['members'].items()
        if name not in names
        and (name in own_names or not _is_sunder(name))
        and not _is_of_enum(value)
    }
    if '__new_member__' in cls.__dict__:
        members['__new_member__'] = cls.__dict__['__new_member__']
    state['members'] = members
    known = {'_value_', '_name_', '__objclass__', '_sort_order_'}
    state['enum'] = {
        name: {key: value for key, value in vars(member).items() if key not in known}
        for name, member in cls.__members__.items()
    }
    values = []
    slots = state['slots'] = {}
    for name, member in cls.__members__.items():
        data, is_called = _enum_data(cls, member)
        values.append((name, data, is_called, member._value_))
        if not is_called:
            slots[name] = _slots_of(member)
    boundary = cls.__dict__.get('_boundary_')  # of flags, since Python 3.11
    if boundary is getattr(cls.__bases__[-1], '_boundary_', None):
        boundary = None
    name = boundary and boundary.name  # the type of it is not in older versions
    key = rebuild.key_of(cls)
    made_of = (key, type(cls), cls.__name__, cls.__bases__, about, tuple(values), name)
    return rebuild_enum.enum, made_of


def _is_of_enum(value: Any) -> bool:
    """Whether it is not the user's, but was added by the module ``enum``."""
    value = getattr(value, '__func__', value)
    value = getattr(value, 'fget', None) or value
    return getattr(value, '__module__', None) == 'enum'


def _is_sunder(name: str) -> bool:
    return len(name) > 2 and name[0] == name[-1] == '_' and '_' not in (name[1], name[-2])


def _enum_data(cls: Any, member: Any) -> tuple[tuple[Any, ...], bool]:
    """The arguments that make an equal value of the data type that an enumeration mixes in.

    Returns:
        The arguments; and whether the type is called with them, ``__init__`` included.
    """
    kind = cls._member_type_
    if kind is object:
        return (), False
    arguments = getattr(kind, '__getnewargs__', None)
    if arguments is not None:
        return tuple(arguments(member)), False
    make, made_of = kind.__reduce_ex__(member, 2)[:2]
    if make is copyreg.__newobj__:  # type: ignore[attr-defined]
        return made_of[1:], False
    if make is cls:
        return made_of, True
    raise pickle.PicklingError(
        f'enumeration {cls.__qualname__!r} has values of type {kind.__qualname__!r}'
    )


def _slots_of(member: Any) -> dict[str, Any]:
    names = copyreg._slotnames(type(member))  # type: ignore[attr-defined]  # pickle uses it, too
    return {name: getattr(member, name) for name in names if hasattr(member, name)}


# ------------------------------------------------------------------------------------- annotations


def portable_annotations(annotations: dict[str, Any]) -> dict[str, Any]:
    """Annotations that any Python can load: builtin types as they are, all others as text.

    An annotation is no reason for a call to fail because ``list[int]`` is too new for the peer,
    or because it lacks the module of a type that the function never touches.
    """
    return {name: _portable(value) for name, value in annotations.items()}


def _portable(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, type) and not hasattr(value, '__origin__'):
        if value.__module__ == 'builtins':
            return value
        module = '' if value.__module__ == '__main__' else f'{value.__module__}.'
        return f'{module}{value.__qualname__}'
    return repr(value)
