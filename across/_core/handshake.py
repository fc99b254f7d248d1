"""The handshake: greetings are exchanged, behind a proof of the key if there is one; a bare peer is
given the library first.

Layer: just below :mod:`.connection`. Runs in the link's first service thread.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from . import debug
from .errors import AuthenticationError, InterpreterError, ProtocolError
from .wire.greeting import Greeting, GreetingDecoder, PeerInfo, encode_greeting

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Protocol

    from .link import Link
    from .options import Options

    class Decoder(Protocol):
        """What takes in the first bytes of a peer, and finds its greeting in them."""

        @property
        def is_empty(self) -> bool: ...
        def received(self, data: bytes) -> Greeting | None: ...
        def describe(self) -> str: ...


# The greeting has a limit, and a character may take twelve bytes of it.
_LONGEST_PATH = 200


def describe_process(options: Options) -> PeerInfo:
    """What this process tells its peers about itself."""
    global _described
    info, pid, limits = _described, os.getpid(), (options.timeout, options.max_frame_size)
    if info is not None and info.pid == pid and limits == (info.timeout, info.max_frame_size):
        return info
    info = _described = PeerInfo(
        host=os.uname().nodename,
        pid=pid,
        implementation=sys.implementation.name,
        version=tuple(sys.version_info[:3]),
        cache_tag=sys.implementation.cache_tag or '',
        executable=(sys.executable or '')[:_LONGEST_PATH],
        platform=sys.platform,
        timeout=limits[0],
        max_frame_size=limits[1],
    )
    return info


_described: PeerInfo | None = None  # the last one: a server says the same to all its clients


class _Deadline:
    """What is left of the time that connecting and the handshake may take together."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f'no handshake within {self._timeout:g} s')
        return left


def shake_hands(link: Link) -> None:
    """Connect a link's transport and agree with the peer.

    Raises:
        ProtocolError: The peer speaks something else.
        AuthenticationError: It does not know the key.
        OSError, Cancelled: There is no connection.
    """
    deadline = _Deadline(link.options.timeout)
    link.transport.connect(deadline.left())
    peer, rest = (_greet if link.options.authkey is None else _authenticate)(link, deadline)
    _know_modules_of(peer)
    if debug.verbosity:
        link.log('INFO', f'connected to {peer}, process {peer.pid}')
    link.open(peer, rest)


def _greet(link: Link, deadline: _Deadline) -> tuple[PeerInfo, bytes]:
    """Exchange greetings; the peer's, and what came behind it."""
    decoder = GreetingDecoder()
    try:
        _send(link, encode_greeting(link.info), deadline)
    except OSError:
        pass  # a peer that left at once may have said why
    greeting = _receive(link, decoder, deadline)
    if greeting.info is None:
        _boot(link, greeting.cache_tag, deadline)
        decoder = GreetingDecoder()
        greeting = _receive(link, decoder, deadline)
        if greeting.info is None:
            raise ProtocolError('the peer asks for the library again and again')
    return greeting.info, decoder.rest


def _authenticate(link: Link, deadline: _Deadline) -> tuple[PeerInfo, bytes]:
    """Exchange proofs, then greetings; the peer's, and what came behind it."""
    from .wire.authentication import Authentication

    own = encode_greeting(link.info)
    auth = Authentication(link.options.authkey, own, server_side=link.transport.server_side)
    greeting = None
    try:
        while greeting is None:
            with suppress(OSError):  # a peer that left may have said why
                _send(link, auth.take_output(), deadline)
            greeting = _receive_once(link, auth, deadline)
        _send(link, auth.take_output(), deadline)
    except AuthenticationError:
        with suppress(OSError):
            link.transport.send([auth.take_output()])
        raise
    assert greeting.info is not None  # bare peers know no key
    return greeting.info, auth.rest


def _know_modules_of(peer: PeerInfo) -> None:
    """Let pickles of another version find what has moved in the standard library."""
    if peer.version >= (3, 13) and sys.version_info < (3, 13):
        import pathlib

        sys.modules.setdefault('pathlib._local', pathlib)  # where 3.13 says that its paths are


def _boot(link: Link, cache_tag: str, deadline: _Deadline) -> None:
    """Give a bare Python the library; it has skipped our greeting, and gets it again."""
    from .travel.bios import make_blob, refusal

    reason = refusal(cache_tag)
    if reason is not None:
        raise InterpreterError(reason)
    link.log('DEBUG', f'the peer is a bare {cache_tag}: sending the library')
    blob = make_blob(cache_tag, link.options.portable())
    _send(link, blob + encode_greeting(link.info), deadline)


def _send(link: Link, data: bytes, deadline: _Deadline) -> None:
    view = memoryview(data)
    while view:
        count = link.transport.send([view])
        view = view[count:]
        if view and not count and not link.transport.wait_writable(deadline.left()):
            deadline.left()


def _receive(link: Link, decoder: Decoder, deadline: _Deadline) -> Greeting:
    greeting = None
    while greeting is None:
        greeting = _receive_once(link, decoder, deadline)
    return greeting


def _receive_once(link: Link, decoder: Decoder, deadline: _Deadline) -> Greeting | None:
    buffer = link.reader.decoder.buffer
    if not link.transport.wait_readable(deadline.left()):
        deadline.left()
    count = link.transport.receive_into(buffer)
    link.transport.received = []  # these are no frames, and must never be taken for some
    if count == 0:
        raise _ended(link, decoder)
    return decoder.received(bytes(buffer[:count])) if count > 0 else None


def _ended(link: Link, decoder: Decoder) -> Exception:
    ending = link.transport.ending()
    if not decoder.is_empty:
        return ProtocolError(f'{decoder.describe()}; then {ending}')
    if ' ended with status ' in ending:
        return ConnectionError(f'{ending} before the handshake; its standard error says why')
    return ConnectionError(f'{ending} before the handshake')
