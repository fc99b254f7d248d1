"""The far side of ``Connection.iterate``: runs a generator, and sends what it yields.

Layer: just below :mod:`..connection`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Generator
from types import CoroutineType

from ..threads.context import context
from .outlet import Outlet
from .table import STOPPED, streams_of

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

    from ..link import Link


def produce(link: Link, func: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Call a function, and send what the result yields as the items of the current call."""
    call = context.thread.call
    route = streams_of(link).of_call(call.id, False)
    outlet = route.outlet
    assert outlet is not None
    packed: Any = None
    try:
        if call.cancelled:
            outlet.stop(STOPPED)
        try:
            _send_all(outlet, func, args, kwargs)
        except BaseException as exc:
            if outlet.stopped or not link.is_up:
                link.log('INFO', f'an iteration that nobody follows any more ended with {exc!r}')
            else:
                packed = link.handlers.pack_failure(exc)
        if link.forwarding is not None:
            link.forwarding.flush()  # what was printed appears before the end
    finally:
        call.done = True  # first: who sees the end may call again, and is not one too many
        outlet.end(packed)


def _send_all(outlet: Outlet, func: Callable[..., Any], args: Any, kwargs: Any) -> None:
    result = func(*args, **kwargs)
    if isinstance(result, (CoroutineType, AsyncIterable)):
        from ..execution import run_coroutine

        if type(result) is CoroutineType:
            result = run_coroutine(result)
        if isinstance(result, AsyncIterable):
            run_coroutine(_send_asynchronous(outlet, result))
            return
    try:
        iterator = iter(result)
    except TypeError as exc:
        name = getattr(func, '__qualname__', None) or repr(func)
        raise TypeError(
            f'{name}() returned {type(result).__qualname__!r}, which has no items ({exc})'
        ) from None
    del result
    try:
        _send_synchronous(outlet, iterator)
    finally:
        if isinstance(iterator, Generator):
            iterator.close()  # in this thread, that it ran in


def _send_synchronous(outlet: Outlet, iterator: Iterable[Any]) -> None:
    send = outlet.send
    for item in iterator:
        send(item)


async def _send_asynchronous(outlet: Outlet, iterable: AsyncIterable[Any]) -> None:
    import asyncio

    iterator = iterable.__aiter__()
    loop = asyncio.get_event_loop()
    try:
        async for item in iterator:
            try:
                outlet.send(item, 0)
            except TimeoutError:
                # Other tasks go on while this one waits.
                await loop.run_in_executor(None, outlet.send, item)
    finally:
        close = getattr(iterator, 'aclose', None)
        if close is not None:
            await close()
