"""Enumerations, rebuilt on the side where they arrive: see :mod:`.rebuild`.

Layer: values. Standard library only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .rebuild import known


class _Member(NamedTuple):
    data: tuple[Any, ...]
    value: Any


def _new_member(cls: Any, spec: Any) -> Any:
    made = cls._member_type_.__new__(cls, *spec[0].data)
    made._value_ = spec[0].value
    return made


def enum(
    key: str,
    meta: Any,
    name: str,
    bases: tuple[Any, ...],
    about: dict[str, Any],
    members: tuple[tuple[str, tuple[Any, ...], Any], ...],
) -> Any:
    """Make an enumeration without its methods.

    Args:
        members: Name, arguments for the data type that is mixed in, and value of each.
    """

    def make() -> Any:
        names = meta.__prepare__(name, bases)
        for each, value in about.items():
            names[each] = value
        if members:
            # Neither __new__ nor __init__ of the user's: the values are theirs already.
            names['__new__'] = _new_member
            names['__init__'] = lambda self, *_: None
        for each, data, value in members:
            # A list is no value that the enum module looks into. (It wraps tuples differently.)
            names[each] = [_Member(data, value)]
        made = meta(name, bases, names)
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
