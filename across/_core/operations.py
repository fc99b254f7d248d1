"""What one side may ask the other by name, beside calling functions.

The names are part of the wire format: where a call's function is a string, it is one of these.

Layer: just below :mod:`.connection`.
"""

from __future__ import annotations

from types import CoroutineType

from .errors import OperationError
from .values.proxies import Proxy, Reference, ref

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable

    from .link import Link


def check_callable(func: object) -> None:
    if not callable(func):
        raise TypeError(f'expected a function to call, not {type(func).__name__!r}')


def call(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function; if it is an asynchronous one, wait for what it returns."""
    result = func(*args, **kwargs)
    if type(result) is CoroutineType:
        from .execution import run_coroutine

        return run_coroutine(result)
    return result


def export(link: Link, modules: tuple[str | ModuleType, ...]) -> None:
    """Make modules of this process importable at the peer; see :meth:`.Connection.export`."""
    with link.exporter.offer(*modules) as names:
        link.calls.operation('export', names)
    link.log('DEBUG', f'exported to it: {", ".join(names)}')
    if '__main__' in names:
        link.payloads.pickling.by_reference.add('__main__')


def _call_ref(link: Link, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    return _as_reference(call(func, args, kwargs))


def _as_reference(value: Any) -> Any:
    return value if isinstance(value, (Reference, Proxy)) else ref(value)


def _replicate(link: Link, value: Any) -> Any:
    return _as_reference(value)


def _method(link: Link, obj: Any, name: str, args: Any, kwargs: Any) -> Any:
    result = call(getattr(obj, name), args, kwargs)
    return ref(obj) if result is obj else result


def _iter(link: Link, obj: Any) -> Any:
    return ref(iter(obj))


def _next(link: Link, iterator: Any) -> Any:
    for item in iterator:
        return (item,)
    return ()


def _exit(link: Link, obj: Any, exc: BaseException | None) -> Any:
    if exc is None:
        return obj.__exit__(None, None, None)
    return obj.__exit__(type(exc), exc, exc.__traceback__)


def _copy(link: Link, obj: Any) -> Any:
    return obj


def _execute(link: Link, source: str, variables: dict[str, Any]) -> Any:
    from .execution import execute

    return execute(source, variables)


def _export(link: Link, names: list[str]) -> None:
    if not link.options.accept_exported_modules:
        raise OperationError(
            f'{link.here} does not accept exported modules; create the connection there with '
            'Options(accept_exported_modules=True)'
        )
    link.importer.accept(names)
    link.log('DEBUG', f'it exported: {", ".join(names)}')
    if '__main__' in names:  # what is defined there can go back by reference, too
        link.payloads.pickling.by_reference.add('__main__')


def _find_module(link: Link, fullname: str, cache_tag: str) -> Any:
    found = link.exporter.find_module(fullname, cache_tag)
    link.log('DEBUG', f'it {"imports" if found else "asked in vain for"} the module {fullname!r}')
    return found


def _list_resources(link: Link, package: str, *path: str) -> Any:
    return link.exporter.list_resources(package, *path)


def _read_resource(link: Link, package: str, *path: str) -> Any:
    return link.exporter.read_resource(package, *path)


def _forward_stdio(link: Link) -> None:
    from .forwarding import start_forwarding

    link.forwarding = start_forwarding(link)


def _print(link: Link, stream: str, data: bytes) -> None:
    from .forwarding import write_output

    write_output(link, stream, data)


def _iterate(link: Link, func: Callable[..., Any], args: Any, kwargs: Any) -> None:
    from .streams.producing import produce

    produce(link, func, args, kwargs)


def _finish_posts(link: Link) -> None:
    if link.posts is not None:
        link.posts.run()


TABLE: dict[str, Callable[..., Any]] = {
    'call_ref': _call_ref,
    'replicate': _replicate,
    'method': _method,
    'iter': _iter,
    'next': _next,
    'exit': _exit,
    'copy': _copy,
    'execute': _execute,
    'export': _export,
    'find_module': _find_module,
    'list_resources': _list_resources,
    'read_resource': _read_resource,
    'forward_stdio': _forward_stdio,
    'print': _print,
    'finish_posts': _finish_posts,
    'iterate': _iterate,
}
