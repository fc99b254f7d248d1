"""Which gateway object stands for a connection in this process.

Near it is the `Gateway`, over there the `Worker`. A channel that arrives over a connection belongs
to that.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import weakref
from typing import Any, Callable

from across import Connection, OperationError

# Functions, as an object that refers to its connection would keep both for ever.
_ends: weakref.WeakKeyDictionary[Connection, Callable[[], Any]] = weakref.WeakKeyDictionary()


def register(connection: Connection, find: Callable[[], Any]) -> None:
    """Remember how to find what stands for a connection.

    Args:
        find: Returns it, or None if it is gone.
    """
    _ends[connection] = find


def end_of(connection: Connection) -> Any:
    """What stands for a connection.

    Raises:
        OperationError: It belongs to no gateway.
    """
    find = _ends.get(connection)
    end = find() if find is not None else None
    if end is None:
        raise OperationError(f'{connection!r} belongs to no gateway, so no channel can use it')
    return end
