"""Authentication: both sides prove to know a key, ahead of their greetings, and never send it.

::

    client                                         server
    ACROSS 1 key client <nonce of the client>  →
                                               ←   ACROSS 1 key server <nonce of the server>
    ACROSS 1 key proof <MAC of the client>     →
    ACROSS 1 peer … (the client's greeting)    →
                                               ←   ACROSS 1 key proof <MAC of the server>
                                               ←   ACROSS 1 peer … (the server's greeting)

A nonce is 32 random bytes in hexadecimal digits. The client is the side that connects, the server
the one that is connected to. A side that can be either, as the two ends of a socket pair can, says
``either``, and takes the role that the other side leaves to it; between two such sides, the one
whose first line comes first in the order of bytes is the client. A MAC is the HMAC-SHA256 (RFC
2104), under the key, of these parts, each behind its length in 8 bytes:

- ``across authentication``, and the role of the side that makes it: ``client`` or ``server``;
- the first lines of the client and of the server;
- the greeting of the client, and for the server's MAC also that of the server.

So what was recorded is of no use later (the nonces differ), what one side sent is of no use when
sent back to it, or to another one of its role (the roles differ), and no line can be exchanged for
another one. The server proves nothing to a client that has not: a stranger gets nothing to guess
keys with, and does not even get a greeting. To a client that fails it says ``ACROSS 1 key refused``
and nothing else, whatever the reason.

Layer: wire. No I/O. Imported only where there is a key.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from ..errors import AuthenticationError, ProtocolError
from .greeting import PREFIX, VERSION, Greeting, GreetingDecoder, parse_greeting, split_line

NONCE_SIZE = 32
CLIENT = 'client'
SERVER = 'server'
EITHER = 'either'
_OTHER = {CLIENT: SERVER, SERVER: CLIENT}
REFUSAL = PREFIX + b'%d key refused\n' % VERSION

# One text for all reasons, on both sides: which part was wrong helps only who guesses.
_FAILED = 'authentication failed: the two sides have different keys'


class Authentication:
    """One side's part in it; ends with the greeting of the peer.

    Args:
        key: What both sides know.
        greeting: The line that introduces this side, with its newline.
        server_side: Whether this side is the server; None if it can be either.
        nonce: Random bytes, never used before.

    Attributes:
        rest: What was received behind the peer's greeting.
    """

    def __init__(
        self, key: bytes, greeting: bytes, *, server_side: bool | None, nonce: bytes | None = None
    ) -> None:
        self._key = key
        self._greeting = greeting.rstrip(b'\n')
        self._role = {True: SERVER, False: CLIENT, None: EITHER}[server_side]
        opening = _line(self._role, os.urandom(NONCE_SIZE) if nonce is None else nonce)
        self._opening = opening
        # The first line of each role, once that of the peer has come.
        self._lines: dict[str, bytes] = {}
        self._proof: bytes | None = None  # the line with the peer's, once it has come
        self._decoder = GreetingDecoder()
        self._any = False
        self._output = opening + b'\n'
        self.rest = b''

    def take_output(self) -> bytes:
        """What to send to the peer now, be it nothing."""
        output, self._output = self._output, b''
        return output

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come from the peer."""
        return not self._any

    def describe(self) -> str:
        """How far it got, for people."""
        if not self._lines:
            return self._decoder.describe()
        return 'authentication was not completed'

    def received(self, data: bytes) -> Greeting | None:
        """Take in bytes; the greeting of the peer, once that has proved to know the key.

        Raises:
            AuthenticationError: It does not know it, or has none; there may be output still.
            ProtocolError: It speaks something else.
        """
        self._any = self._any or bool(data)
        while True:
            line = self._decoder.received_line(data)
            if line is None:
                return None
            data, self._decoder = self._decoder.rest, GreetingDecoder()
            greeting = self._received_line(line)
            if greeting is not None:
                self.rest = data
                return greeting

    def _received_line(self, line: bytes) -> Greeting | None:
        if not self._lines:
            self._receive_opening(line)
        elif self._proof is None:
            if not line.startswith(_line('proof', b'')):
                raise self._failed()
            self._proof = line  # verified together with the greeting
        else:
            return self._receive_greeting(line)
        return None

    def _receive_opening(self, line: bytes) -> None:
        kind, role = ([*split_line(line)[2:], '', ''])[:2]
        if kind == 'bios':
            raise AuthenticationError(
                'the peer is a bare interpreter: it has no key to prove anything with, and is sent '
                'none; leave out the option authkey where ssh, or the operating system, sees to it '
                'that the right one is at the other end'
            )
        if kind == 'peer':
            raise AuthenticationError(
                'the peer has no key, and this side wants one: both sides need Options(authkey=…)'
            )
        self._role = self._choose_role(role, line)
        self._lines = {self._role: self._opening, _OTHER[self._role]: line}
        if self._role == CLIENT:
            self._prove(None)

    def _choose_role(self, others: str, line: bytes) -> str:
        """Our role, given what the peer says about its own."""
        if others == EITHER and self._role == EITHER and line != self._opening:
            return CLIENT if self._opening < line else SERVER
        if others == EITHER and self._role != EITHER:
            return self._role
        if others not in _OTHER:
            raise self._failed()
        if others == self._role:
            raise AuthenticationError(
                f'both ends of the connection are set up as the {others}; say server_side=True '
                'where it was accepted, and server_side=False where it was made'
            )
        return _OTHER[others]

    def _receive_greeting(self, line: bytes) -> Greeting:
        assert self._proof is not None
        is_client = self._role == CLIENT
        expected = self._mac(_OTHER[self._role], line, self._greeting if is_client else None)
        if not hmac.compare_digest(_line('proof', expected), self._proof):
            raise self._failed()
        if not is_client:
            self._prove(line)
        greeting = parse_greeting(line)
        if greeting.info is None:
            raise ProtocolError('a bare interpreter cannot have a key')
        return greeting

    def _prove(self, clients_greeting: bytes | None) -> None:
        proof = self._mac(self._role, self._greeting, clients_greeting)
        self._output += _line('proof', proof) + b'\n' + self._greeting + b'\n'

    def _mac(self, role: str, greeting: bytes, clients_greeting: bytes | None) -> bytes:
        parts = [
            b'across authentication',
            role.encode(),
            self._lines[CLIENT],
            self._lines[SERVER],
            *([clients_greeting] if clients_greeting is not None else []),
            greeting,
        ]
        data = b''.join(len(part).to_bytes(8, 'little') + part for part in parts)
        return hmac.new(self._key, data, hashlib.sha256).digest()

    def _failed(self) -> AuthenticationError:
        if self._role == SERVER:
            self._output += REFUSAL  # a client would tell an impostor that it has noticed
        return AuthenticationError(_FAILED)


def _line(kind: str, data: bytes) -> bytes:
    return PREFIX + f'{VERSION} key {kind} {data.hex()}'.encode('ascii')
