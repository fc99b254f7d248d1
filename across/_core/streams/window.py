"""How much may be under way in one direction of a stream. Part of the wire format.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

#: Items that are sent and not yet taken by the receiving program, at most.
WINDOW_ITEMS = 1024
#: The same in bytes of frame bodies. The last item may go beyond, as it may have any size.
WINDOW_BYTES = 1 << 19
