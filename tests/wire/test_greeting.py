"""The greeting line."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from across import ProtocolError
from across._core.wire.greeting import (
    MAX_SIZE,
    Greeting,
    GreetingDecoder,
    PeerInfo,
    encode_greeting,
    encode_refusal,
    show_bytes,
)

INFO = PeerInfo(
    'wonderland',
    4242,
    'cpython',
    (3, 11, 7),
    'cpython-311',
    '/usr/bin/python3',
    'linux',
    20.0,
    None,
)
GOLDEN = (
    b'ACROSS 1 peer host=wonderland pid=4242 implementation=cpython version=3.11.7 '
    b'cache_tag=cpython-311 executable=/usr/bin/python3 platform=linux timeout=20.0\n'
)

text = st.text(max_size=40)
infos = st.builds(
    PeerInfo,
    host=text,
    pid=st.integers(1, 2**31),
    implementation=text,
    version=st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple),
    cache_tag=text,
    executable=text,
    platform=text,
    timeout=st.none() | st.floats(0.001, 1e6),
    max_frame_size=st.none() | st.integers(1 << 16, 1 << 62),
)


def greeting_of(data: bytes) -> Greeting:
    greeting = GreetingDecoder().received(data)
    assert greeting is not None
    return greeting


def decode(data: bytes) -> PeerInfo | None:
    return greeting_of(data).info


def refuse(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        GreetingDecoder().received(data)
    return str(caught.value)


def test_golden_bytes_of_a_peer() -> None:
    assert encode_greeting(INFO) == GOLDEN
    assert decode(GOLDEN) == INFO


def test_golden_bytes_of_a_bare_python() -> None:
    for line, cache_tag in (
        (b'ACROSS 1 bios cpython-38\n', 'cpython-38'),
        (b'ACROSS 1 bios\n', ''),
    ):
        greeting = greeting_of(line)
        assert (greeting.cache_tag, greeting.info) == (cache_tag, None)


def test_golden_bytes_of_a_quoted_value() -> None:
    info = INFO._replace(host='a b%=é\n', max_frame_size=65536)
    line = encode_greeting(info)
    assert b' host=a%20b%25%3d%c3%a9%0a ' in line
    assert line.endswith(b' max_frame_size=65536\n')
    assert decode(line) == info


@given(infos)
def test_every_peer_can_introduce_itself(info: PeerInfo) -> None:
    line = encode_greeting(info)
    assert line.count(b'\n') == 1
    assert decode(line) == info


def test_surrogates_do_not_break_the_line() -> None:
    assert decode(encode_greeting(INFO._replace(executable='/opt/\udcff/python'))) is not None


@given(infos, st.binary(max_size=20), st.lists(st.integers(1, 30), min_size=1))
def test_any_split_of_the_bytes_gives_the_same_greeting(
    info: PeerInfo, behind: bytes, sizes: list[int]
) -> None:
    decoder = GreetingDecoder()
    data = encode_greeting(info) + behind
    found = None
    turn = 0
    while found is None:
        size = sizes[turn % len(sizes)]
        found = decoder.received(data[:size])
        data = data[size:]
        turn += 1
    assert (found.cache_tag, found.info) == (info.cache_tag, info)
    assert decoder.rest + data == behind


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        (encode_refusal('it has enough'), 'it has enough'),
        (b'ACROSS 2 refused it  is\tnew\r\n', 'it is new'),
        (b'ACROSS 1 refused \x1b[2J\n', r"'\x1b[2J'"),
        (b'ACROSS 1 refused\n', "''"),
    ],
)
def test_refusals_give_their_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        GreetingDecoder().received(line)
    assert str(caught.value) == f'the peer refused the connection: {reason}'


def test_unknown_keys_are_ignored() -> None:
    assert decode(GOLDEN[:-1] + b' color=blue odd\n') == INFO


def test_nothing_received_yet() -> None:
    decoder = GreetingDecoder()
    assert decoder.is_empty
    assert decoder.received(b'ACR') is None
    assert not decoder.is_empty


# ----------------------------------------------------------------------------------------- refused


@given(st.one_of(st.binary(), st.binary().map(b'ACROSS 1 peer '.__add__)), st.booleans())
def test_garbage_raises_only_protocol_errors(data: bytes, ended: bool) -> None:
    try:
        GreetingDecoder().received(data + b'\n' * ended)
    except ProtocolError:
        pass


keys = ['host', 'pid', 'implementation', 'version', 'cache_tag', 'executable', 'platform']
odd_values = st.one_of(
    st.sampled_from(['', '%', '%4', '%zz', '-1', '1.x', '9' * 3000, 'nan', '1e999', '\x00']),
    st.text(st.characters(max_codepoint=255), max_size=5),
)


@given(st.fixed_dictionaries(dict.fromkeys([*keys, 'timeout', 'max_frame_size'], odd_values)))
def test_odd_values_raise_only_protocol_errors(fields: dict[str, str]) -> None:
    line = ' '.join(f'{key}={value}' for key, value in fields.items())
    try:
        GreetingDecoder().received(b'ACROSS 1 peer ' + line.encode('latin-1') + b'\n')
    except ProtocolError:
        pass


@pytest.mark.parametrize('missing', keys)
def test_missing_key(missing: str) -> None:
    words = [word for word in GOLDEN.split() if not word.startswith(missing.encode() + b'=')]
    assert 'makes no sense' in refuse(b' '.join(words) + b'\n')


def test_other_version_of_the_protocol() -> None:
    message = refuse(GOLDEN.replace(b'ACROSS 1', b'ACROSS 27'))
    assert 'version 27 of the protocol, this side version 1' in message
    assert 'install the same version of across' in message


@pytest.mark.parametrize('line', [b'ACROSS 1\n', b'ACROSS \n', b'ACROSS 1 cat x=1\n'])
def test_greeting_without_sense(line: bytes) -> None:
    assert refuse(line).startswith('the peer sent a greeting that makes no sense: ACROSS')


def test_banner_is_shown() -> None:
    message = refuse(b'bash: line 1: python3: command not found\n')
    assert message == (
        'the peer does not speak the protocol of across; it sent: '
        'bash: line 1: python3: command not found'
    )


def test_wrong_first_byte_is_refused_at_once() -> None:
    assert refuse(b'X').endswith('it sent: X')
    assert refuse(b'ACROSX').endswith('it sent: ACROSX')


def test_endless_line_is_refused() -> None:
    decoder = GreetingDecoder()
    assert decoder.received(b'ACROSS ' + b'x' * (MAX_SIZE - 7)) is None
    with pytest.raises(ProtocolError) as caught:
        decoder.received(b'x')
    assert len(str(caught.value)) < 1000
    assert refuse(b'ACROSS ' + b'x' * MAX_SIZE + b'\n')


# -------------------------------------------------------------------------------------- for people


@pytest.mark.parametrize(
    ('data', 'shown'),
    [
        (b'Welcome\r\n', 'Welcome'),
        ('Grüße'.encode(), 'Grüße'),
        (b'\x16\x03\x01', r"'\x16\x03\x01'"),
        (b'\xff\xfe', r"'\xff\xfe'"),
        (b'', "''"),
        (b' \n', r"' \n'"),
        (b'x' * 501, 'x' * 500 + ' …'),
    ],
)
def test_bytes_for_people(data: bytes, shown: str) -> None:
    assert show_bytes(data) == shown


def test_peer_for_people() -> None:
    assert str(INFO) == 'wonderland (CPython 3.11.7)'
    assert INFO._replace(implementation='pypy').python == 'pypy 3.11.7'


def test_byte_code_is_told_by_the_cache_tag() -> None:
    assert INFO.runs_code_of(INFO._replace(version=(3, 11, 2), host='other'))
    assert not INFO.runs_code_of(INFO._replace(cache_tag=sys.implementation.cache_tag + 'x'))
