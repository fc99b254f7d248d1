"""The states of a link, in the order in which it passes through them; some may be left out.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

NEW, CONNECTING, OPEN, CLOSING, CLOSED = range(5)

UP = frozenset([OPEN, CLOSING])  # the peer has shown who it is, and its frames count
