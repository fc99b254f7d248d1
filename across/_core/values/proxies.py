"""Proxies: handles to objects that live at the peer.

A proxy has a type made for it, with the public methods of the remote object's class and those
special methods of it that are forwarded. Calling one of them calls it over there.

Layer: values. The link that a proxy belongs to is known to it as ``connection``.
"""

from __future__ import annotations

from types import ModuleType

from ..errors import OperationError
from ..threads.context import context

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Tuple

    # The qualified name of a class, and the names of its methods.
    Description = Tuple[str, Tuple[str, ...]]

SPECIAL_METHODS = (
    '__call__', '__contains__', '__delitem__', '__enter__', '__exit__', '__getitem__', '__len__',
    '__setitem__',
)  # fmt: skip
ITERATION = ('__iter__', '__next__')  # made of operations of their own, as is `__exit__`


class Handle:
    """Where a proxy leads. Kept in the proxy's attribute ``__across__``."""

    __slots__ = ('connection', 'count', 'description', 'owner', 'ref_id')

    def __init__(self, connection: Any, ref_id: int, description: Description) -> None:
        self.connection = connection
        self.owner = connection.owner  # stays alive as long as its proxies
        self.ref_id = ref_id
        self.count = 1  # references that this proxy stands for; guarded by the import table
        self.description = description

    def __del__(self) -> None:
        # Here, and not in the proxy: a weak reference gives out an object while its finalizer
        # runs, and it runs only once. Nothing refers weakly to a handle.
        # May run at any bytecode of any thread: takes no lock and calls nothing but an append.
        try:
            count = self.count
        except AttributeError:
            return
        if count:
            self.connection.dropped((self.ref_id, count))


class Proxy:
    """A handle to an object that lives in the remote process.

    Proxies come from :meth:`Connection.call_ref`, :meth:`Connection.replicate` and :func:`ref`.
    They forward public methods (whose name doesn't start with an underscore), ``__len__``,
    ``__contains__``, ``__getitem__``, ``__setitem__``, ``__delitem__``, ``__call__``, iteration and
    the ``with`` statement, as far as the remote object has them. Each is a call over the
    connection, with arguments and results passed by value unless wrapped by :func:`ref`.

    Passed back to where its object lives, a proxy arrives as that object.
    :func:`copy.deepcopy` gives a local copy of the object. When the last proxy of an object goes
    away, the remote process drops its reference.
    """

    __slots__ = ('__across__', '__weakref__')
    __across__: Handle

    def __repr__(self) -> str:
        handle = self.__across__
        return f'<proxy of {handle.description[0]} at {handle.connection.peer_name}>'

    def __reduce_ex__(self, protocol: Any) -> Any:
        session = context.thread.session
        if session is None:
            raise TypeError(
                f'{self!r} can only be pickled by its connection; copy.deepcopy() copies the object'
            )
        handle = self.__across__
        if handle.connection is not session.connection:
            raise OperationError(
                f'{self!r} belongs to another connection; '
                'pass ref(proxy) to let this peer use it through this process'
            )
        session.owned.append(handle.ref_id)
        return unpack_owned, (handle.ref_id,)

    def __copy__(self) -> Proxy:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return call_operation(self, 'copy', self)


def call_operation(proxy: Proxy, name: str, *args: Any) -> Any:
    """Have an operation run at the peer of a proxy's connection."""
    return proxy.__across__.connection.calls.operation(name, *args)


def get_proxy_connection(proxy: Proxy) -> Any:
    """Return the connection that a proxy belongs to.

    Raises:
        TypeError: ``proxy`` is not a proxy.
    """
    if not isinstance(proxy, Proxy):
        raise TypeError(f'expected a proxy, not {type(proxy).__name__!r}')
    return proxy.__across__.owner


class Reference:
    """The type of what :func:`ref` returns: an object that is to be passed as a proxy."""

    __slots__ = ('value',)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f'ref({self.value!r})'

    def __reduce_ex__(self, protocol: Any) -> Any:
        session = context.thread.session
        if session is None:
            raise TypeError(
                'a reference can only be passed over a connection, as an argument or a result'
            )
        value = self.value
        if isinstance(value, Proxy) and value.__across__.connection is session.connection:
            return value.__reduce_ex__(protocol)
        ref_id = session.connection.exports.export(value)
        session.exported.append(ref_id)
        return unpack_ref, (ref_id, describe(value))


def ref(obj: Any) -> Reference:
    """Mark an object to be passed, or returned, as a :class:`Proxy` instead of by value.

    A reference to a reference is the same reference.
    """
    return obj if isinstance(obj, Reference) else Reference(obj)


def describe(obj: Any) -> Description:
    """What the peer has to know of an object to make a proxy of it."""
    cls = type(obj)
    if isinstance(obj, Proxy):
        return obj.__across__.description  # a proxy of a proxy looks like the object itself
    if isinstance(obj, (ModuleType, type)):
        public = [
            name for name in dir(obj) if name[:1] != '_' and callable(getattr(obj, name, None))
        ]
        label = obj.__name__
    else:
        public = [
            name for name in dir(cls) if name[:1] != '_' and callable(getattr(cls, name, None))
        ]
        label = f'{cls.__module__}.{cls.__qualname__} object'
    special = [name for name in SPECIAL_METHODS + ITERATION if _defines(cls, name)]
    if '__iter__' not in special and '__getitem__' in special:
        special.append('__iter__')  # the old sequence protocol; iter() over there decides
    return label, tuple(public + special)


def _defines(cls: type, name: str) -> bool:
    """Whether instances have a special method; that of a metaclass is not theirs."""
    for each in cls.__mro__:
        if name in vars(each):
            return vars(each)[name] is not None
    return False


def unpack_ref(ref_id: int, description: Description) -> Any:
    """Unpickle a reference to an object of the peer: its proxy."""
    session = context.thread.session
    session.taken[ref_id] = session.taken.get(ref_id, 0) + 1
    connection = session.connection

    def make() -> Proxy:
        proxy: Proxy = proxy_type(description).__new__(proxy_type(description))
        proxy.__across__ = Handle(connection, ref_id, description)
        return proxy

    return connection.imports.receive(ref_id, make)


def unpack_owned(ref_id: int) -> Any:
    """Unpickle a proxy that came home: the object itself."""
    try:
        return context.thread.session.connection.exports.get(ref_id)
    except LookupError:
        raise OperationError('the object behind a proxy is gone') from None


_types: dict[Description, type[Proxy]] = {}


def proxy_type(description: Description) -> type[Proxy]:
    """The type of the proxies of such objects, made when first needed."""
    try:
        return _types[description]
    except KeyError:
        label, methods = description
        namespace: dict[str, Any] = {'__slots__': (), '__module__': 'across'}
        for name in methods:
            own = _OWN_METHODS.get(name)
            if own is not None:
                namespace[name] = own
            elif name not in _RESERVED:
                namespace[name] = _forward(name)
        made = type('Proxy', (Proxy,), namespace)
        made.__qualname__ = f'Proxy[{label}]'
        if len(_types) < 10_000:  # a bound, should a peer make up types for ever
            _types[description] = made
        return made


def _forward(name: str) -> Callable[..., Any]:
    def method(self: Proxy, *args: Any, **kwargs: Any) -> Any:
        return call_operation(self, 'method', self, name, args, kwargs)

    method.__name__ = name
    method.__qualname__ = f'Proxy.{name}'
    return method


def _iter(self: Proxy) -> Iterator[Any]:
    iterator: Iterator[Any] = call_operation(self, 'iter', self)
    return iterator


def _next(self: Proxy) -> Any:
    item = call_operation(self, 'next', self)
    if not item:
        raise StopIteration
    return item[0]


def _exit(self: Proxy, exc_type: Any, exc: Any, traceback: Any) -> Any:
    return call_operation(self, 'exit', self, exc)  # a traceback can't travel: it's made anew there


_OWN_METHODS = {'__iter__': _iter, '__next__': _next, '__exit__': _exit}
_RESERVED = frozenset(dir(Proxy)) - {'__init__'}

# Names inside pickles are part of the wire format: these are short, and no path of a module.
for _public, _function in (('_ref', unpack_ref), ('_owned', unpack_owned)):
    _function.__module__, _function.__qualname__, _function.__name__ = 'across', _public, _public
for _cls in (Proxy, Reference, ref, get_proxy_connection):
    _cls.__module__ = 'across'
del _public, _function, _cls
