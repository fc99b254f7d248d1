"""Specs with keys that anybody may add.

Layer: gateways.
"""

from __future__ import annotations

from typing import Any

from ..spec import Spec

__all__ = ['XSpec']

# Doors of execnet that this library does not have.
_MISSING = ('installvia', 'vagrant_ssh')


class XSpec(Spec):
    """A :class:`across.gateways.Spec` as clients of execnet know it.

    Unknown keys are kept, as clients have their own; an attribute that was not given is None.
    """

    def __init__(self, string: str) -> None:
        super().__init__(string)

    def _set_unknown(self, text: str, key: str, value: str | bool) -> None:
        if key in _MISSING:
            raise ValueError(f'{text!r}: the stand-in for execnet does not have {key!r}')
        if not key or key.startswith('_'):
            raise AttributeError(f'{text!r}: {key!r} can be no key of a spec')
        setattr(self, key, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):
            raise AttributeError(name)
        return None


XSpec.__module__ = 'across.gateways.execnet'
