"""Type variables, generic types and named tuples, rebuilt where they arrive: see :mod:`.rebuild`.

Layer: values. Standard library only; the heavy modules are imported when they are needed.
"""

from __future__ import annotations

from typing import Any

from .rebuild import known


def typevar(
    key: str, name: str, constraints: tuple[Any, ...], bound: Any, variance: tuple[bool, bool]
) -> Any:
    """Make a type variable."""
    from typing import TypeVar

    covariant, contravariant = variance
    return known(
        key,
        lambda: TypeVar(
            name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant
        ),
    )


def generic(origin: Any, args: Any) -> Any:
    """Make ``list[int]``; plain ``list`` where Python is too old for it."""
    try:
        return origin[args]
    except TypeError:
        return origin


def namedtuple(
    key: str,
    name: str,
    bases: tuple[Any, ...],
    fields: tuple[str, ...],
    defaults: tuple[Any, ...],
    about: dict[str, Any],
) -> Any:
    """Make a class of named tuples.

    Args:
        bases: ``tuple``, and ``Generic`` if it has type variables.
    """

    def make() -> Any:
        import collections

        make_type: Any = collections.namedtuple
        made = make_type(name, fields, rename=True, defaults=defaults)
        if len(bases) > 1:  # as typing does it, too
            made.__bases__ = bases
        for each, value in about.items():
            setattr(made, each, value)
        return made

    return known(key, make)
