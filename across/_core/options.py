"""The options of a connection: checked when made, unchangeable afterwards, safe against typos.

All that is known about an option (its default, what is allowed, whether a bare peer takes it over)
stands in one table, `FIELDS`. To add an option, add a line there and an annotation to `Options`.

Layer: the lowest. Imports nothing.
"""

from __future__ import annotations

__all__ = ['Options']

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` would cost milliseconds
if TYPE_CHECKING:
    import ssl
    from typing import Any, Callable

# Room for the greeting and any control frame, so that a connection stays usable at the limit.
SMALLEST_FRAME_LIMIT = 64 * 1024
# 31 years. More overflows what the operating system's waits take, on some platforms.
LONGEST_TIMEOUT = 1e9


def _fail(error: type[Exception], name: str, value: object, allowed: str) -> Exception:
    return error(f'option {name!r} must be {allowed}, not {value!r}')


def _check_timeout(name: str, value: object) -> float | None:
    allowed = 'a number of seconds above 0, or None for no limit'
    if value is None:
        return None
    # bool is an int to Python, and timeout=True a mistake to anybody else.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fail(TypeError, name, value, allowed)
    if value == float('inf'):
        raise ValueError(f'option {name!r} cannot be inf; use None for no limit')
    if not value > 0:  # "not >" also catches nan
        raise _fail(ValueError, name, value, allowed)
    if value > LONGEST_TIMEOUT:
        raise ValueError(f'option {name!r} cannot be {value!r} seconds; use None for no limit')
    return float(value)


def _check_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _fail(TypeError, name, value, 'True or False')
    return value


def _at_least(minimum: int, unit: str) -> Callable[[str, object], int | None]:
    """A check for a count or size of at least `minimum`, or None."""
    allowed = f'a whole number of {unit}, {minimum} or more, or None for no limit'

    def check(name: str, value: object) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _fail(TypeError, name, value, allowed)
        if value < minimum:
            raise _fail(ValueError, name, value, allowed)
        return int(value)

    return check


def _check_authkey(name: str, value: object) -> bytes | None:
    # No message shows the value: it is a secret, also where it is a wrong one.
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = value.encode()
        except UnicodeEncodeError:
            raise ValueError(f'option {name!r} has characters that UTF-8 cannot encode') from None
    if not isinstance(value, bytes):
        raise TypeError(f'option {name!r} must be bytes or a str, not {type(value).__name__}')
    if not value:
        raise ValueError(f'option {name!r} must not be empty; use None for no authentication')
    return value


def _check_ssl_context(name: str, value: object) -> object:
    import sys  # not `ssl`, which takes longer to load than all of this library

    ssl = sys.modules.get('ssl')
    if value is None or callable(value) or (ssl and isinstance(value, ssl.SSLContext)):
        return value
    allowed = 'an ssl.SSLContext, a function without arguments that makes one, or None'
    raise _fail(TypeError, name, value, allowed)


class Field:
    """What there is to know about one option.

    Attributes:
        default: The value it has when not given.
        check: Takes the option's name and a value, and returns the value in its final type or
            raises `TypeError` or `ValueError`.
        portable: Whether a bare peer takes the value over from the side that boots it. True only
            for plain values (numbers, booleans, None), which any interpreter can rebuild.
        secret: Whether nothing ever shows the value.
    """

    __slots__ = ('check', 'default', 'portable', 'secret')

    def __init__(
        self,
        default: object,
        check: Callable[[str, object], object],
        *,
        portable: bool,
        secret: bool = False,
    ) -> None:
        self.default = default
        self.check = check
        self.portable = portable
        self.secret = secret


FIELDS: dict[str, Field] = {
    'timeout': Field(60.0, _check_timeout, portable=True),
    # Not portable: a bare peer has no modules to protect, it always accepts them.
    'accept_exported_modules': Field(False, _check_bool, portable=False),
    'forward_stdio': Field(False, _check_bool, portable=True),
    'max_frame_size': Field(8 * 2**30, _at_least(SMALLEST_FRAME_LIMIT, 'bytes'), portable=True),
    'max_calls': Field(10_000, _at_least(1, 'calls'), portable=True),
    # Not portable: it must not get to an interpreter that has not proved to have it.
    'authkey': Field(None, _check_authkey, portable=False, secret=True),
    'ssl_context': Field(None, _check_ssl_context, portable=False),
}


class Options:
    """What can be tuned about a connection.

    Options are given by keyword, are checked at once, and cannot be changed afterwards: make a
    changed copy with :meth:`copy`. Two `Options` with the same values are equal.

    Attributes:
        timeout: Seconds (float or None) after which connecting, or a silent peer, counts as
            failed. A busy peer is not a silent one. None means no limit. 60 by default.
        accept_exported_modules: Whether the other side may make its modules importable here with
            :meth:`Connection.export`. False by default, always true in a bare peer.
        forward_stdio: Whether what the other process prints appears on this process's
            ``sys.stdout`` and ``sys.stderr``, in order, before the call that printed it returns.
            False by default: it then goes to the other process's own standard error.
        max_frame_size: The largest frame accepted from the other side, in bytes (65536 or more,
            or None for no limit). A larger one is refused before memory is set aside for it.
            Output and log records of the other side that wait here may be as large together, and
            64 MiB at least. 8 GiB by default.
        max_calls: How many calls of the other side may run or wait here at a time (1 or more, or
            None for no limit). 10,000 by default.
        authkey: A key (bytes, or a str, which is encoded as UTF-8) that both sides have to prove
            to know before anything else happens. None, for no such proof, by default. Pickled
            options carry it along; nothing shows it.
        ssl_context: An :class:`ssl.SSLContext` for connections over TCP, which are then encrypted
            with TLS, or a function without arguments that makes one (for each connection, so that
            renewed certificates are taken up). What is verified is up to the context. None, for no
            encryption, by default.

    Raises:
        TypeError: An option is misspelt, or its value is of the wrong type.
        ValueError: A value makes no sense, such as a timeout of 0.

    Threads:
        May be shared between threads and connections.
    """

    timeout: float | None
    accept_exported_modules: bool
    forward_stdio: bool
    max_frame_size: int | None
    max_calls: int | None
    authkey: bytes | None
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None

    def __init__(self, **options: Any) -> None:
        for name in options:
            if name not in FIELDS:
                raise TypeError(_unknown(name))
        for name, field in FIELDS.items():
            # Past our own __setattr__, which refuses.
            self.__dict__[name] = (
                field.check(name, options[name]) if name in options else field.default
            )

    def copy(self, **options: Any) -> Options:
        """Return a copy, with the given options in place of this object's own.

        Raises:
            TypeError: An option is misspelt, or its value is of the wrong type.
            ValueError: A value makes no sense.
        """
        return type(self)(**{**self.__dict__, **options})

    def portable(self) -> dict[str, Any]:
        """Return what a bare peer takes over: plain values only, accepted by `Options` there."""
        return {name: self.__dict__[name] for name in FIELDS if FIELDS[name].portable}

    def __setattr__(self, name: str, value: object) -> None:
        if name not in FIELDS:
            raise AttributeError(_unknown(name))
        shown = '…' if FIELDS[name].secret else repr(value)
        raise AttributeError(
            f'options cannot be changed; make a copy instead: options.copy({name}={shown})'
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError('options cannot be changed; make a copy instead with options.copy()')

    def __deepcopy__(self, memo: object) -> Options:
        return self  # a context could not be copied, and need not be

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Options):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.items()))

    def __repr__(self) -> str:
        changed = (
            f'{name}=<hidden>' if FIELDS[name].secret else f'{name}={value!r}'
            for name, value in self.__dict__.items()
            if value != FIELDS[name].default
        )
        return f'Options({", ".join(changed)})'


def _unknown(name: str) -> str:
    import difflib  # needed for a typo only, and too slow to load for `import across`

    near = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(FIELDS)}'
    return f'unknown option {name!r}; {hint}'


Options.__module__ = 'across'  # the public path, as users import it and tracebacks show it
_DEFAULT = Options()


def check_options(options: Options | None, *, tls: bool = False) -> Options:
    """The options, or those that go without saying.

    Args:
        options: What the user has given.
        tls: Whether the connection can be encrypted by this library.

    Raises:
        TypeError: It is something else.
        ValueError: They ask for TLS where there is none.
    """
    if options is None:
        return _DEFAULT
    if not isinstance(options, Options):
        raise TypeError(
            f'options must be an instance of across.Options, not {type(options).__name__}'
        )
    if options.ssl_context is not None and not tls:
        raise ValueError('option ssl_context is for connections over TCP only')
    return options
