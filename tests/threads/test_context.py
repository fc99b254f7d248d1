"""What a thread is doing is known to that thread alone."""

from __future__ import annotations

from across._core.threads.context import context
from support.interleaving import in_background


def test_each_thread_has_its_own() -> None:
    def look() -> list[object]:
        thread = context.thread
        return [thread.connection, thread.call, thread.session, thread.critical]

    fresh = [None, None, None, False]
    assert look() == fresh
    context.thread.connection = object()
    context.thread.critical = True
    try:
        assert in_background(look) == fresh
    finally:
        context.__dict__.clear()
        context.__init__()  # type: ignore[misc]
    assert look() == fresh
