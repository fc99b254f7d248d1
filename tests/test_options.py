"""`across._core.options`: what is refused, in which words, and that nothing changes afterwards."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

from across._core.options import FIELDS, Options


def test_defaults() -> None:
    options = Options()
    assert options.timeout == 60.0
    assert options.accept_exported_modules is False
    assert options.forward_stdio is False
    assert options.max_frame_size == 8 * 2**30
    assert options.max_calls == 10_000


def test_every_field_is_annotated_and_documented() -> None:
    assert list(Options.__annotations__) == list(FIELDS)
    for name in FIELDS:
        assert f'        {name}: ' in str(Options.__doc__)


def test_defaults_pass_their_own_checks() -> None:
    for name, field in FIELDS.items():
        assert field.check(name, field.default) == field.default


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('timeout', 0.001),
        ('timeout', 3),
        ('timeout', None),
        ('accept_exported_modules', True),
        ('forward_stdio', True),
        ('max_frame_size', 65536),
        ('max_frame_size', None),
        ('max_calls', 1),
        ('max_calls', None),
    ],
)
def test_allowed(name: str, value: object) -> None:
    assert getattr(Options(**{name: value}), name) == value


def test_timeout_becomes_a_float() -> None:
    assert type(Options(timeout=3).timeout) is float


@pytest.mark.parametrize('value', [0, 0.0, -1, -0.5, math.nan, -math.inf])
def test_timeout_out_of_range(value: float) -> None:
    with pytest.raises(ValueError) as caught:
        Options(timeout=value)
    assert str(caught.value) == (
        f"option 'timeout' must be a number of seconds above 0, or None for no limit, not {value!r}"
    )


@pytest.mark.parametrize('value', [math.inf, 1e300, 10**400])
def test_endless_timeout_is_spelt_none(value: float) -> None:
    with pytest.raises(ValueError, match='use None for no limit'):
        Options(timeout=value)


@pytest.mark.parametrize('value', ['x', '5', True, [], object(), 1j])
def test_timeout_of_wrong_type(value: object) -> None:
    with pytest.raises(TypeError) as caught:
        Options(timeout=value)
    assert "'timeout' must be a number of seconds" in str(caught.value)
    assert str(caught.value).endswith(f'not {value!r}')


@pytest.mark.parametrize('value', [0, 1, None, 'yes'])
@pytest.mark.parametrize('name', ['accept_exported_modules', 'forward_stdio'])
def test_switches_take_nothing_but_booleans(name: str, value: object) -> None:
    with pytest.raises(TypeError) as caught:
        Options(**{name: value})
    assert str(caught.value) == f'option {name!r} must be True or False, not {value!r}'


@pytest.mark.parametrize(
    ('name', 'value', 'error'),
    [
        ('max_frame_size', 65535, ValueError),
        ('max_frame_size', -1, ValueError),
        ('max_frame_size', 1e6, TypeError),
        ('max_frame_size', True, TypeError),
        ('max_calls', 0, ValueError),
        ('max_calls', '10', TypeError),
        ('max_calls', True, TypeError),
    ],
)
def test_limits_refuse(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Options(**{name: value})
    assert type(caught.value) is error
    for part in (repr(name), repr(value), 'or more, or None for no limit'):
        assert part in str(caught.value)


def test_authkey() -> None:
    assert Options().authkey is None
    assert Options(authkey=b'key').authkey == b'key'
    assert Options(authkey='schlüssel').authkey == 'schlüssel'.encode()


@pytest.mark.parametrize(
    ('value', 'error', 'text'),
    [
        (b'', ValueError, 'must not be empty; use None for no authentication'),
        ('', ValueError, 'must not be empty'),
        (313, TypeError, 'must be bytes or a str, not int'),
        (bytearray(b'313'), TypeError, 'must be bytes or a str, not bytearray'),
        ('\ud800313', ValueError, 'characters that UTF-8 cannot encode'),
    ],
)
def test_authkey_refuses_without_showing_it(value: Any, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        Options(authkey=value)
    assert text in str(caught.value)
    assert '313' not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_shows_the_authkey() -> None:
    options: Any = Options(authkey='secret', timeout=5)
    assert repr(options) == 'Options(timeout=5.0, authkey=<hidden>)'
    assert 'secret' not in f'{options}{options!s}'
    with pytest.raises(AttributeError) as caught:
        options.authkey = 'secret'
    assert str(caught.value).endswith('options.copy(authkey=…)')


def test_the_authkey_is_neither_lost_nor_given_away() -> None:
    """Options without it would be less safe than those that were pickled."""
    options = Options(authkey='secret')
    assert pickle.loads(pickle.dumps(options)).authkey == b'secret'
    assert options.copy(timeout=5).authkey == b'secret'
    assert options.copy(authkey=None) == Options()
    assert options != Options(authkey='other')
    assert 'authkey' not in options.portable()


def test_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(TypeError) as caught:
        Options(timout=3)
    assert str(caught.value) == "unknown option 'timout'; did you mean 'timeout'?"


def test_unknown_option_lists_all() -> None:
    with pytest.raises(TypeError) as caught:
        Options().copy(zzz=3)
    assert str(caught.value) == f"unknown option 'zzz'; there are {', '.join(FIELDS)}"


def test_copy_overrides_and_leaves_the_original() -> None:
    options = Options(timeout=5)
    changed = options.copy(max_calls=7)
    assert (changed.timeout, changed.max_calls) == (5, 7)
    assert options == Options(timeout=5)
    with pytest.raises(ValueError, match="'timeout'"):
        options.copy(timeout=0)


def test_setting_is_refused_with_a_hint() -> None:
    options: Any = Options()
    with pytest.raises(AttributeError) as caught:
        options.timeout = 5
    assert str(caught.value) == (
        'options cannot be changed; make a copy instead: options.copy(timeout=5)'
    )
    with pytest.raises(AttributeError, match="did you mean 'timeout'"):
        options.timeot = 5
    with pytest.raises(AttributeError, match='make a copy'):
        del options.timeout
    assert options == Options()


def test_equality_and_hash() -> None:
    assert Options(timeout=5) == Options(timeout=5.0)
    assert hash(Options(timeout=5)) == hash(Options(timeout=5.0))
    assert Options(timeout=5) != Options()
    assert Options() != 'Options()'


def test_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(Options()) == 'Options()'
    assert repr(Options(max_calls=None, timeout=5)) == 'Options(timeout=5.0, max_calls=None)'


def test_public_path() -> None:
    assert Options.__module__ == 'across'


def test_copies_of_the_standard_library_work() -> None:
    options = Options(timeout=5)
    assert copy.copy(options) == copy.deepcopy(options) == options


def test_pickle() -> None:
    options = Options(timeout=5)
    assert pickle.loads(pickle.dumps(options)) == options


def test_portable_holds_plain_values_that_options_accept() -> None:
    options = Options(timeout=None, forward_stdio=True, accept_exported_modules=True)
    portable = options.portable()
    assert {type(value) for value in portable.values()} <= {int, float, bool, type(None)}
    # A bare peer accepts exported modules whatever the other side accepts.
    assert 'accept_exported_modules' not in portable
    assert Options(accept_exported_modules=True, **portable) == options
