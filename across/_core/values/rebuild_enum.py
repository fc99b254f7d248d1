"""Enumerations, rebuilt on the side where they arrive: see :mod:`.rebuild`.

Layer: values. Standard library only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .rebuild import known


class _Member(NamedTuple):
    data: tuple[Any, ...]
    is_called: bool
    value: Any


def _new_member(cls: Any, spec: Any) -> Any:
    while not isinstance(spec, _Member):  # in a list; and that in a tuple, if a tuple is mixed in
        spec = spec[0]
    kind = cls._member_type_
    new = kind.__new__ if spec.data else object.__new__
    made = new(cls, *spec.data)
    if spec.is_called and kind.__init__ is not object.__init__:
        kind.__init__(made, *spec.data)
    made._value_ = spec.value
    return made


def dynamic(fget: Any, fset: Any, fdel: Any, doc: str | None) -> Any:
    """Make a property that a member may have the name of: ``enum.property``."""
    import enum
    import types

    kind = getattr(enum, 'property', types.DynamicClassAttribute)  # since Python 3.11
    return kind(fget, fset, fdel, doc)


def enum(
    key: str,
    meta: Any,
    name: str,
    bases: tuple[Any, ...],
    about: dict[str, Any],
    members: tuple[tuple[str, tuple[Any, ...], bool, Any], ...],
    boundary: str | None,
) -> Any:
    """Make an enumeration without its methods.

    Args:
        members: Of each the name, the arguments for the data type that is mixed in, whether that
            type is called with them, and the value.
        boundary: What a flag does with unknown bits, since Python 3.11, unless its base does, too.
    """

    def make() -> Any:
        import enum

        names = meta.__prepare__(name, bases)
        options = {}
        if boundary is not None and hasattr(enum, 'FlagBoundary'):
            options['boundary'] = enum.FlagBoundary[boundary]
        for each, value in about.items():
            names[each] = value
        if members:
            # Neither __new__ nor __init__ of the user's: the values are theirs already.
            names['__new__'] = _new_member
            names['__init__'] = lambda self, *_: None
        for each, *spec in members:
            # A list is no value that the enum module looks into. (It wraps tuples differently.)
            names[each] = [_Member._make(spec)]
        made = meta(name, bases, names, **options)
        if members:
            _restore_enum(made)
        return made

    return known(key, make)


def _restore_enum(made: Any) -> None:
    """Undo what :func:`enum` had to bend."""
    for name in ('__init__', '__new_member__'):
        if name in vars(made):
            type.__delattr__(made, name)
    if '_new_member_' in vars(made):  # since Python 3.11
        type.__setattr__(made, '_new_member_', made._member_type_.__new__)
        type.__setattr__(made, '_use_args_', made._member_type_ is not object)
