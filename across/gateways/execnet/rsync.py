"""Copying of directories as clients of execnet know it.

Layer: gateways.
"""

from __future__ import annotations

from typing import Any

from .. import rsync

__all__ = ['RSync']


class RSync(rsync.RSync):
    """A :class:`across.gateways.RSync` that tells what it sends unless told not to."""

    def __init__(self, sourcedir: Any, callback: Any = None, verbose: bool = True) -> None:
        super().__init__(sourcedir, callback, verbose)


RSync.__module__ = 'across.gateways.execnet'
