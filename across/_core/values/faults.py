"""Exceptions as plain data, and exceptions made of it: causes, contexts, notes, groups, tracebacks.

An exception is rebuilt from its class, ``args`` and attributes, without a call of its
``__init__``: so it does not matter which arguments that takes.

Layer: values. Standard library only.
"""

from __future__ import annotations

from types import FunctionType, MemberDescriptorType
from typing import Any, Callable

from ..errors import ForeignError
from .tracebacks import pack_traceback, unpack_traceback

Dumps = Callable[[object], bytes]
Loads = Callable[[bytes], Any]

# What every exception has: these have entries of their own in the packed data.
_OWN_FIELDS = {'__traceback__', '__cause__', '__context__', '__suppress_context__', '__notes__'}

# The object that lacks an attribute: it would drag along whatever that is, a table of gigabytes.
_LEFT_OUT_FIELDS = {'obj'}


def pack_fault(exc: BaseException, *, here: str, dumps: Dumps) -> dict[str, object]:
    """Turn an exception, and all that it refers to, into plain data.

    Never fails because of the exception: what cannot be pickled of it travels as text.

    Args:
        here: Names this process, for the remote frames: "wonderland, process 4242".
        dumps: Pickles a class or value; may raise anything.

    Returns:
        A dict of builtin types only; each exception is in it once.
    """
    found = [exc]
    indexes = {id(exc): 0}

    def index_of(other: BaseException | None) -> int | None:
        if other is None:
            return None
        if id(other) not in indexes:
            indexes[id(other)] = len(found)
            found.append(other)
        return indexes[id(other)]

    packed = []
    for each in found:  # grows meanwhile; no recursion: chains may be long
        record = _pack_one(each, dumps)
        record['frames'] = pack_traceback(each.__traceback__, here)
        record['cause'] = index_of(each.__cause__)
        record['context'] = index_of(each.__context__)
        record['suppress'] = bool(each.__suppress_context__)
        record['members'] = [index_of(member) for member in _members(each)]
        packed.append(record)
    return {'faults': packed}


def unpack_fault(data: dict[str, Any], *, loads: Loads) -> BaseException:
    """Make an exception of plain data; its traceback has the remote frames.

    Args:
        loads: What undoes ``dumps``; may raise anything.

    Returns:
        The exception; a :exc:`ForeignError` where its class cannot be rebuilt here.
    """
    records = data['faults']
    made: dict[int, BaseException] = {}
    pending = list(range(len(records)))
    while pending:  # a group can only be made when its members are there
        index = pending[-1]
        missing = [each for each in records[index]['members'] if each not in made]
        if missing:
            pending += missing
            continue
        pending.pop()
        if index not in made:
            made[index] = _unpack_one(records[index], made, loads)
    for index, record in enumerate(records):
        _link(made[index], record, made)
    return made[0]


# ----------------------------------------------------------------------------------------- packing


def _members(exc: BaseException) -> tuple[BaseException, ...]:
    group = _group_type()
    return exc.exceptions if group is not None and isinstance(exc, group) else ()


def _group_type() -> Any:
    import builtins

    return getattr(builtins, 'BaseExceptionGroup', None)  # since Python 3.11


def _pack_one(exc: BaseException, dumps: Dumps) -> dict[str, Any]:
    cls = type(exc)
    module = '' if cls.__module__ == 'builtins' else f'{cls.__module__}.'
    record: dict[str, Any] = {'type': f'{module}{cls.__qualname__}', 'text': _text(exc)}
    record['notes'] = _notes(exc)
    record['body'] = _pack_reduced(exc, dumps)
    record['is_reduced'] = record['body'] is not None
    if record['body'] is None:
        record['body'] = _pack_body(exc, record['text'], dumps)
    return record


def _text(value: object, convert: Callable[[object], str] = str) -> str:
    try:
        return str.__str__(convert(value))  # exactly a str, not a subclass
    except Exception:
        return f'<{type(value).__qualname__} object whose text cannot be had>'


def _repr(value: object) -> str:
    return _text(value, repr)


def _notes(exc: BaseException) -> list[str] | None:
    notes = getattr(exc, '__notes__', None)
    if notes is None:
        return None
    try:
        return [each if type(each) is str else _text(each) for each in notes]
    except Exception:
        return [_repr(notes)]


def _pack_reduced(exc: BaseException, dumps: Dumps) -> bytes | None:
    """Pickle an exception that has its own way of being pickled, if that way works."""
    if _members(exc) or not any(
        isinstance(vars(cls).get(name), FunctionType)
        for cls in type(exc).__mro__
        for name in ('__reduce__', '__reduce_ex__')
    ):
        return None
    try:
        reduced: Any = exc.__reduce_ex__(4)
        func, args = reduced[:2]
        if isinstance(func(*args), BaseException):  # else it would fail over there
            return dumps(exc)
    except Exception:
        pass
    return None


def _pack_body(exc: BaseException, text: str, dumps: Dumps) -> bytes | None:
    """Pickle class, arguments and attributes; the ones that refuse, as text."""
    cls = type(exc)
    fields = _fields(exc)
    # The message is often all there is, and may be long: it travels as `text`, once.
    args = None if len(exc.args) == 1 and exc.args[0] is _plain(exc.args[0], text) else exc.args
    if _members(exc):
        args = exc.args[:1]
    try:
        return dumps((cls, args, fields))
    except Exception:
        pass
    try:
        dumps(cls)
    except Exception:
        return None

    def portable(value: object) -> object:
        try:
            dumps(value)
        except Exception:
            return _repr(value)
        return value

    if args is not None:
        args = tuple(map(portable, args))
    fields = {name: portable(value) for name, value in fields.items()}
    try:
        return dumps((cls, args, fields))
    except Exception:
        return None


def _plain(value: object, text: str) -> object:
    """The value, if it is that very text."""
    return value if type(value) is str and value == text else None


def _fields(exc: BaseException) -> dict[str, Any]:
    """All that an exception knows besides ``args``: in slots, in C structures, in its dict."""
    fields: dict[str, Any] = {}
    for cls in type(exc).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType) or name == 'characters_written':
                value = _get(exc, name)
                if value is not None:  # an unset field reads as None, and is another thing
                    fields.setdefault(name, value)
    fields.update(vars(exc))
    if _members(exc):
        fields.pop('message', None)
        fields.pop('exceptions', None)
    return {
        name: value
        for name, value in fields.items()
        if name not in _OWN_FIELDS and not (name in _LEFT_OUT_FIELDS and _is_lookup(exc))
    }


def _get(exc: BaseException, name: str) -> Any:
    try:
        return object.__getattribute__(exc, name)
    except Exception:
        return None


def _is_lookup(exc: BaseException) -> bool:
    return isinstance(exc, AttributeError) and 'obj' not in vars(exc)


# --------------------------------------------------------------------------------------- unpacking


def _unpack_one(
    record: dict[str, Any], made: dict[int, BaseException], loads: Loads
) -> BaseException:
    members = [made[each] for each in record['members']]
    try:
        if record['body'] is not None:
            return _make(loads(record['body']), record, members)
    except Exception:
        pass
    text = record['text']
    if members:
        lines = (f'{type(each).__name__}: {_text(each)}' for each in members)
        text = f'{text}: {"; ".join(lines)}'
    return ForeignError(record['type'], text)


def _make(body: Any, record: dict[str, Any], members: list[BaseException]) -> BaseException:
    if record['is_reduced']:
        if not isinstance(body, BaseException):
            raise TypeError('not an exception')
        return body
    cls, args, fields = body
    if args is None:
        args = (record['text'],)
    made: BaseException
    if members:
        made = _group_type().__new__(cls, args[0], members)
    else:
        made = _constructor(cls)(cls)
        object.__setattr__(made, 'args', args)  # the class may have a __setattr__ of its own
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _constructor(cls: Any) -> Callable[..., BaseException]:
    """The ``__new__`` of the builtin class at the base: others may want arguments."""
    for base in cls.__mro__:
        new = vars(base).get('__new__')
        if new is not None and not isinstance(new, (FunctionType, staticmethod)):
            return new  # type: ignore[no-any-return]
    return BaseException.__new__


def _link(exc: BaseException, record: dict[str, Any], made: dict[int, BaseException]) -> None:
    def get(index: int | None) -> BaseException | None:
        return None if index is None else made[index]

    put = object.__setattr__
    put(exc, '__cause__', get(record['cause']))
    put(exc, '__context__', get(record['context']))
    put(exc, '__suppress_context__', record['suppress'])
    put(exc, '__traceback__', unpack_traceback(record['frames']))
    if record['notes'] is not None:
        put(exc, '__notes__', record['notes'])
