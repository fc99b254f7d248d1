"""The exchange of proofs, without any connection: both sides are fed by hand."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from across import AuthenticationError, ProtocolError
from across._core.wire.authentication import REFUSAL, Authentication
from across._core.wire.greeting import MAX_SIZE, Greeting, PeerInfo, encode_greeting

KEY = b'only we know'
FAILED = 'authentication failed: the two sides have different keys'


def greeting_of(host: str) -> bytes:
    info = PeerInfo(host, 42, 'cpython', (3, 11, 7), 'cpython-311', '/python', 'linux', 20.0, None)
    return encode_greeting(info)


HARE, HATTER = greeting_of('hare'), greeting_of('hatter')


def client(key: bytes = KEY, **more: Any) -> Authentication:
    return Authentication(key, HARE, server_side=False, **more)


def server(key: bytes = KEY, **more: Any) -> Authentication:
    return Authentication(key, HATTER, server_side=True, **more)


def lines_of(side: Authentication) -> list[bytes]:
    return side.take_output().splitlines(keepends=True)


def started(key: bytes = KEY) -> tuple[Authentication, Authentication]:
    """A client that has sent its proof to the other side, which has not got it yet."""
    hare, hatter = client(key), server()
    assert hatter.received(hare.take_output()) is None
    assert hare.received(hatter.take_output()) is None
    return hare, hatter


def host_of(greeting: Greeting | None) -> str:
    assert greeting is not None
    assert greeting.info is not None
    return greeting.info.host


def check_refused(side: Authentication, data: bytes) -> None:
    with pytest.raises(AuthenticationError) as caught:
        side.received(data)
    assert str(caught.value) == FAILED


def test_both_sides_get_the_greeting_of_the_other() -> None:
    hare, hatter = started()
    assert host_of(hatter.received(hare.take_output())) == 'hare'
    assert host_of(hare.received(hatter.take_output() + b'what follows')) == 'hatter'
    assert hare.rest == b'what follows'
    assert hatter.rest == b''


def test_golden_bytes() -> None:
    """Computed here once more, from the description."""
    hare, hatter = client(nonce=bytes(range(32))), server(nonce=bytes(32))
    first = b'ACROSS 1 key client ' + bytes(range(32)).hex().encode()
    second = b'ACROSS 1 key server ' + b'0' * 64
    assert hare.take_output() == first + b'\n'
    assert hatter.take_output() == second + b'\n'

    def proof(*parts: bytes) -> bytes:
        data = b''.join(len(part).to_bytes(8, 'little') + part for part in parts)
        return b'ACROSS 1 key proof ' + hmac.new(KEY, data, hashlib.sha256).hexdigest().encode()

    hare.received(second + b'\n')
    parts = b'across authentication', b'client', first, second, HARE[:-1]
    assert lines_of(hare) == [proof(*parts) + b'\n', HARE]
    hatter.received(first + b'\n' + proof(*parts) + b'\n' + HARE)
    parts = b'across authentication', b'server', first, second, HARE[:-1]
    assert lines_of(hatter) == [proof(*parts, HATTER[:-1]) + b'\n', HATTER]


def test_byte_by_byte() -> None:
    hare, hatter = client(), server()
    found: dict[Authentication, Greeting] = {}
    while len(found) < 2:
        for side, other in ((hare, hatter), (hatter, hare)):
            for byte in side.take_output():
                greeting = other.received(bytes([byte]))
                if greeting is not None:
                    found[other] = greeting
    assert host_of(found[hare]) == 'hatter'
    assert host_of(found[hatter]) == 'hare'


def test_nonces_are_fresh() -> None:
    assert len({side.take_output() for side in [client() for _ in range(100)]}) == 100


def test_wrong_key() -> None:
    hare, hatter = started(b'a guess')
    check_refused(hatter, hare.take_output())
    assert hatter.take_output() == REFUSAL
    check_refused(hare, REFUSAL)
    assert hare.take_output() == b''


def test_a_server_says_nothing_before_it_knows_its_client() -> None:
    """What would let a stranger try keys at home, or tell him where he is."""
    said = server().take_output()
    hare, hatter = started(b'a guess')
    with pytest.raises(AuthenticationError):
        hatter.received(hare.take_output())
    said += hatter.take_output()
    assert b'proof' not in said
    assert b'hatter' not in said


def test_the_key_is_not_sent() -> None:
    hare, hatter = started()
    sent = hare.take_output()
    hatter.received(sent)
    sent += hatter.take_output()
    for form in (KEY, KEY.hex().encode()):
        assert form not in sent


@pytest.mark.parametrize('make', [client, server])
def test_reflection(make: Any) -> None:
    side = make()
    with pytest.raises(AuthenticationError, match='both ends of the connection are set up as the'):
        side.received(side.take_output())
    assert side.take_output() == b''


def test_reflection_with_the_role_exchanged() -> None:
    hare = client()
    hare.received(hare.take_output().replace(b'client', b'server'))
    check_refused(hare, hare.take_output())
    hatter = server()
    hatter.received(hatter.take_output().replace(b'server', b'client'))
    check_refused(hatter, b'ACROSS 1 key proof ' + b'0' * 64 + b'\n' + HATTER)


def test_two_servers_prove_nothing_to_each_other() -> None:
    """Somebody in the middle, who opens a connection to each and passes on what they say."""
    for change in (False, True):
        one, other = server(), server()
        said = [one.take_output(), other.take_output()]
        for side, line in zip((other, one), said, strict=True):
            if change:
                assert side.received(line.replace(b'server', b'client')) is None
                assert side.take_output() == b''
            else:
                with pytest.raises(AuthenticationError):
                    side.received(line)


def test_replay_to_a_server() -> None:
    hare, hatter = client(), server()
    opening = hare.take_output()
    hatter.received(opening)
    hare.received(hatter.take_output())
    proof = hare.take_output()
    assert hatter.received(proof) is not None
    check_refused(server(), opening + proof)


def test_replay_to_a_client() -> None:
    hare, hatter = started()
    hatter.received(hare.take_output())
    answer = hatter.take_output()
    again, _ = started()
    check_refused(again, answer)


@pytest.mark.parametrize('to_server', [True, False])
def test_exchanged_greetings(to_server: bool) -> None:
    hare, hatter = started()
    proof, greeting = lines_of(hare)
    if to_server:
        check_refused(hatter, proof + greeting.replace(b'timeout=20.0', b'timeout=21.0'))
        return
    hatter.received(proof + greeting)
    proof, greeting = lines_of(hatter)
    check_refused(hare, proof + greeting.replace(b'hatter', b'knave'))


def completed(one: Authentication, other: Authentication) -> tuple[str, str]:
    """The hosts that two sides find at each other's place, once all has been said."""
    sides, found = (one, other), ['', '']
    for _ in range(3):
        said = [side.take_output() for side in sides]
        for index, data in enumerate(reversed(said)):
            greeting = sides[index].received(data) if data else None
            if greeting is not None:
                found[index] = host_of(greeting)
    return found[0], found[1]


def test_either_role() -> None:
    """Whoever can have either role takes the one that is left."""
    for _ in range(8):  # the nonces decide
        one, other = (
            Authentication(KEY, greeting, server_side=None) for greeting in (HARE, HATTER)
        )
        assert completed(one, other) == ('hatter', 'hare')
    either = Authentication(KEY, HATTER, server_side=None)
    assert completed(client(), either) == ('hatter', 'hare')
    either = Authentication(KEY, HARE, server_side=None)
    assert completed(either, server()) == ('hatter', 'hare')


def test_reflection_to_either_role() -> None:
    side = Authentication(KEY, HARE, server_side=None)
    check_refused(side, side.take_output())


def test_a_role_that_does_not_exist() -> None:
    for server_side in (True, False, None):
        side = Authentication(KEY, HARE, server_side=server_side)
        check_refused(side, b'ACROSS 1 key queen ' + b'0' * 64 + b'\n')


def test_proofs_hold_for_one_role() -> None:
    """The proof of a client is not that of a server."""
    hare, _ = started()
    proof, greeting = lines_of(hare)
    check_refused(hare, proof + greeting)


@pytest.mark.parametrize(
    'proof',
    [
        b'',
        b'proof',
        b'proof zz',
        b'proof \xff\xfe',
        b'proof ' + b'0' * 62,
        b'proof ' + b'0' * 64,
        b'proof ' + b'0' * 66,
        b'refused',
        b'server ' + b'0' * 64,
    ],
)
def test_no_proof_at_all(proof: bytes) -> None:
    """One text for all of them."""
    for side in started():
        side.take_output()
        check_refused(side, b'ACROSS 1 key ' + proof + b'\n' + HARE)


def test_a_greeting_in_place_of_the_proof() -> None:
    for side in started():
        check_refused(side, HARE)


def test_a_peer_without_a_key() -> None:
    for side in (client(), server()):
        with pytest.raises(AuthenticationError, match=r'both sides need Options\(authkey=…\)'):
            side.received(HARE)


def test_a_bare_interpreter() -> None:
    for side in (client(), server()):
        with pytest.raises(AuthenticationError, match='is sent none; leave out the option authkey'):
            side.received(b'ACROSS 1 bios cpython-311\n')


def test_another_version() -> None:
    with pytest.raises(ProtocolError, match='version 2'):
        client().received(b'ACROSS 2 key server 00\n')


@pytest.mark.parametrize('proven', [False, True])
def test_endless_lines_are_not_kept(proven: bool) -> None:
    side = started()[0] if proven else client()
    with pytest.raises(ProtocolError, match='it sent: ACROSS 1 key'):
        side.received(b'ACROSS 1 key ' + b'0' * MAX_SIZE)


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_garbage_raises_the_documented_error(data: bytes, proven: bool, near: bool) -> None:
    side = started()[0] if proven else client()
    with pytest.raises(ProtocolError):
        side.received((b'ACROSS 1 key ' if near else b'') + data + b'\n' + HARE)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, change: int) -> None:
    hare, hatter = started()
    data = bytearray(hare.take_output())
    data[position % len(data)] ^= change
    try:
        assert hatter.received(bytes(data)) is None  # its last newline is gone
    except ProtocolError:
        pass
