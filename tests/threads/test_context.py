"""What a thread is doing is known to that thread alone."""

from __future__ import annotations

from across._core.threads.context import context
from support.interleaving import in_background


def test_each_thread_has_its_own() -> None:
    def look() -> list[object]:
        return [context.connection, context.call, context.session, context.critical]

    fresh = [None, None, None, False]
    assert look() == fresh
    context.connection = context.call = context.session = object()
    context.critical = True
    try:
        assert in_background(look) == fresh
    finally:
        context.__dict__.clear()
    assert look() == fresh
