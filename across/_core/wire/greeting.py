"""The greeting: one line of ASCII text that each side sends first, unless a key comes ahead of it.

::

    ACROSS 1 peer host=wonderland pid=4242 implementation=cpython version=3.11.7 …
    ACROSS 1 bios cpython-311
    ACROSS 1 refused this server has its 10 connections already

The number is the version of the protocol. The first form is sent by a process that has the library,
and is followed by frames. The second one is sent by a bare Python that waits for the library's
code; once it has that, it sends the first form. A side that has a key sends neither before the
other one has proved to know the key; see :mod:`.authentication`. The third form is sent by a server
that closes the connection then; it says why, to people, and comes ahead of keys and TLS.

Values are percent-encoded, so that a line can be split at spaces. Unknown keys are ignored; that
leaves room for later versions. Nothing in a greeting is ever unpickled or evaluated.

Layer: wire. No I/O.
"""

from __future__ import annotations

from collections import namedtuple

from ..errors import AuthenticationError, ProtocolError

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import NamedTuple

    class _PeerFields(NamedTuple):
        host: str
        pid: int
        implementation: str
        version: tuple[int, ...]
        cache_tag: str
        executable: str
        platform: str
        timeout: float | None
        max_frame_size: int | None

    class Greeting(NamedTuple):
        """A parsed greeting: of a peer, or of a bare Python (``info`` is None)."""

        cache_tag: str
        info: PeerInfo | None
else:
    _PeerFields = namedtuple(
        '_PeerFields',
        'host pid implementation version cache_tag executable platform timeout max_frame_size',
    )
    Greeting = namedtuple('Greeting', 'cache_tag info')

VERSION = 1
PREFIX = b'ACROSS '
# What needs no quotes in a value.
_PLAIN = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/:+,@')
# Longer than any greeting can be; bounds what a stranger can make us keep.
MAX_SIZE = 4096


class PeerInfo(_PeerFields):
    """What one side tells the other about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return f'{self.host} ({self.python})'

    @property
    def python(self) -> str:
        """Implementation and version for messages, as in ``CPython 3.11.7``."""
        name = 'CPython' if self.implementation == 'cpython' else self.implementation
        return f'{name} {".".join(map(str, self.version))}'

    def runs_code_of(self, other: PeerInfo) -> bool:
        """Whether byte code compiled over there runs here (PEP 3147: the cache tag says so)."""
        return self.cache_tag == other.cache_tag


def encode_greeting(info: PeerInfo) -> bytes:
    """The line that introduces this process."""
    global _encoded
    known, line = _encoded
    if known != info:
        fields = info._asdict()
        fields['version'] = '.'.join(map(str, info.version))
        text = ' '.join(
            f'{key}={_quote(str(value))}' for key, value in fields.items() if value is not None
        )
        line = PREFIX + f'{VERSION} peer {text}\n'.encode('ascii')
        _encoded = info, line
    return line


# The last one: a process introduces itself in the same words to all its peers.
_encoded: tuple[PeerInfo | None, bytes] = None, b''


def encode_refusal(reason: str) -> bytes:
    """The line that tells a client, in ASCII text, why it is not served."""
    return PREFIX + f'{VERSION} refused {reason}\n'.encode('ascii')


class GreetingDecoder:
    """Finds the greeting at the start of the stream."""

    def __init__(self) -> None:
        self._data = b''
        #: What was received behind the line.
        self.rest = b''

    def received(self, data: bytes) -> Greeting | None:
        """Take in bytes; the greeting once it is complete.

        Raises:
            ProtocolError: This is no greeting; the message shows what came instead.
            AuthenticationError: The peer wants a key.
            ConnectionRefusedError: The peer serves nobody else now.
        """
        line = self.received_line(data)
        return None if line is None else parse_greeting(line)

    def received_line(self, data: bytes) -> bytes | None:
        """Take in bytes; the first line once it is complete, whatever it says.

        Raises:
            ProtocolError: It begins like none of ours, or is too long.
        """
        self._data += data
        line, newline, rest = self._data.partition(b'\n')
        if not self._data.startswith(PREFIX[: len(self._data)]) or len(line) > MAX_SIZE:
            raise ProtocolError(self.describe())
        if not newline:
            return None
        self.rest = rest
        return line

    @property
    def is_empty(self) -> bool:
        return not self._data

    def describe(self) -> str:
        """What the peer sent instead of a greeting, for people."""
        if self._data[:1] in (b'\x15', b'\x16'):  # a record of TLS: an alert, or a handshake
            return 'the peer speaks TLS, and this side does not: Options(ssl_context=…)'
        return f'the peer does not speak the protocol of across; it sent: {show_bytes(self._data)}'


def show_bytes(data: bytes, limit: int = 500) -> str:
    """Bytes as text that people can read: as it is where it is text, escaped where it is not."""
    shown = data[:limit]
    try:
        text = shown.decode('utf-8').strip()
    except UnicodeDecodeError:
        text = ''
    if not text or not all(char.isprintable() or char in '\r\n\t' for char in text):
        shown = data[:60]  # nobody reads more of that
        text = repr(shown)[1:]
    return text + (' …' if len(data) > len(shown) else '')


def split_line(line: bytes) -> list[str]:
    """The words of a line that a peer begins with.

    Raises:
        ProtocolError: It is none, or of another version.
        ConnectionRefusedError: It says that the peer serves nobody else now.
    """
    words = line.decode('ascii', 'replace').split()
    if words[2:3] == ['refused']:  # in whatever version
        reason = show_bytes(' '.join(words[3:]).encode())
        raise ConnectionRefusedError(f'the peer refused the connection: {reason}')
    if len(words) < 3 or words[2] not in ('peer', 'bios', 'key'):
        raise ProtocolError(f'the peer sent a greeting that makes no sense: {show_bytes(line)}')
    if words[1] != str(VERSION):
        raise ProtocolError(
            f'the peer speaks version {words[1]} of the protocol, this side version {VERSION}; '
            'install the same version of across on both sides'
        )
    return words


def parse_greeting(line: bytes) -> Greeting:
    """Read a greeting.

    Raises:
        ProtocolError: It makes no sense.
        AuthenticationError: The peer wants a key.
    """
    words = split_line(line)
    if words[2] == 'key':
        raise AuthenticationError(
            'the peer wants a key, and this side has none: Options(authkey=…)'
        )
    if words[2] == 'bios':
        return Greeting(words[3] if len(words) > 3 else '', None)
    try:
        fields = dict([word.partition('=')[::2] for word in words[3:]])
        info = PeerInfo(
            host=_unquote(fields['host']),
            pid=int(fields['pid']),
            implementation=_unquote(fields['implementation']),
            version=tuple(map(int, fields['version'].split('.'))),
            cache_tag=_unquote(fields['cache_tag']),
            executable=_unquote(fields['executable']),
            platform=_unquote(fields['platform']),
            timeout=float(fields['timeout']) if 'timeout' in fields else None,
            max_frame_size=int(fields['max_frame_size']) if 'max_frame_size' in fields else None,
        )
        if not _is_sensible(info):
            raise ValueError
    except (KeyError, ValueError):
        raise ProtocolError(
            f'the peer sent a greeting that makes no sense: {show_bytes(line)}'
        ) from None
    return Greeting(info.cache_tag, info)


def _is_sensible(info: PeerInfo) -> bool:
    timeout, limit = info.timeout, info.max_frame_size
    # "not >" also refuses nan, which no comparison is true for.
    return not (timeout is not None and not timeout > 0) and not (limit is not None and limit < 1)


def _quote(text: str) -> str:
    # urllib.parse would do, but costs a bare peer more to import than these few lines.
    if _PLAIN.issuperset(text):
        return text
    return ''.join(
        char
        if char in _PLAIN
        else ''.join(f'%{byte:02x}' for byte in char.encode('utf-8', 'replace'))
        for char in text
    )


def _unquote(text: str) -> str:
    if '%' not in text and text.isascii():
        return text
    first, *rest = text.split('%')
    data = first.encode('ascii')
    for part in rest:
        data += bytes.fromhex(part[:2]) + part[2:].encode('ascii')
    return data.decode('utf-8', 'replace')
