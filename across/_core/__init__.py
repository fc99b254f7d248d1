"""The core of the library, private to it; the public names are those of `across` itself.

All modules in here are pure Python for 3.8 and newer, need the standard library only, and travel to
bare peers.
"""

from __future__ import annotations

#: The modules of the boot blob, each behind those that it imports. A bare peer fetches the others
#: over the connection, when they are imported there.
EAGER = (
    'across',
    'across._core',
    'across._core.errors',
    'across._core.options',
    'across._core.debug',
)
