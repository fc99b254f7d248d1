"""TLS over another transport.

OpenSSL does no I/O here: it reads and writes two buffers in memory, and what goes through the
transport below is copied from and to them. So its lock is held for no longer than a record of
16 KiB takes, and the reader and the sender use it side by side.

Ctrl-C waits until what OpenSSL did has been noted. An exception that the handler of another signal
raises before that breaks the connection off: nobody would know what it has taken or given.

Layer: transports. Standard library only. Imported where the options have a context, as :mod:`ssl`
takes longer to load than the rest of the library.
"""

from __future__ import annotations

import errno
import ssl
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from across._core.errors import ProtocolError
from across._core.interrupts import shield
from across._core.transports.base import Transport
from across._core.transports.tls_errors import NOT_TLS, check_first_bytes, explain
from across._core.transports.tls_output import Outflow, gather

if TYPE_CHECKING:
    from typing import Callable, Union

    from across._core.transports.base import Buffer

    ContextSource = Union[ssl.SSLContext, Callable[[], ssl.SSLContext]]

# How much is taken from the transport below at a time: some records.
READ_SIZE = 1 << 16
# How much is encrypted before it is written to there.
BATCH_SIZE = 1 << 16
# How often to read what nobody wants any more, at closing.
_LAST_READS = 16
# Where bytes are received to before OpenSSL takes them; those that nobody uses at the moment. If
# each connection had its own, they would be most of what idle ones cost.
_spare: deque[memoryview] = deque(maxlen=4)


class TlsTransport(Transport):
    """A transport that encrypts, over one that does not.

    Args:
        inner: The transport below; not yet connected, owned from now on. Says which side this is,
            and which name the certificate of the server has to show.
        context: An :class:`ssl.SSLContext`, or a function that makes one for this connection.

    Raises:
        ValueError: The context is made for the other side, or checks a name that is not given.
    """

    def __init__(self, inner: Transport, context: ContextSource) -> None:
        self.name = inner.name
        self.server_side: bool = bool(inner.server_side)  # TCP always knows
        self.received = []
        self.sent = []
        self._inner = inner
        self._context = context
        self.server_hostname = None if self.server_side else inner.server_hostname
        if isinstance(context, ssl.SSLContext):
            self._check(context)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        # Guards `_tls` and both buffers; held for one call of OpenSSL, never while anything waits.
        self._lock = threading.Lock()
        self._killed = False
        self._is_tls = False  # the first bytes of the peer looked like it

        # These belong to the reader. A byte that is decrypted ahead tells that there is something
        # to receive, and OpenSSL then knows exactly how much is behind it.
        self._first = bytearray(1)
        self._has_first = False
        self._dry = True  # OpenSSL needs more from the transport below
        self._failure: OSError | None = None
        self._broken: OSError | None = None  # nothing can be sent, either
        self._at_end = False

        # And these to the sender: what is encrypted, but not written; how many bytes at the start
        # of what is to be sent next are encrypted already.
        self._outflow = Outflow(inner, self._outgoing, self._lock)
        self._ahead = 0
        self._undisturbed = _Undisturbed(self)

    # --------------------------------------------------------------------------- connecting

    def connect(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        self._inner.connect(timeout)
        context = self._context
        if not isinstance(context, ssl.SSLContext):
            context = context()
            if not isinstance(context, ssl.SSLContext):
                raise TypeError(
                    'the function given as option ssl_context must return an ssl.SSLContext, not '
                    f'{type(context).__name__}'
                )
            self._check(context)
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=self.server_side,
            server_hostname=self.server_hostname,
        )
        while not self._try_handshake():
            self._flush_all(end)
            self._fetch_some(end)
        self._flush_all(end)

    def _check(self, context: ssl.SSLContext) -> None:
        wrong = ssl.PROTOCOL_TLS_CLIENT if self.server_side else ssl.PROTOCOL_TLS_SERVER
        if context.protocol == wrong:
            raise ValueError(
                'the ssl_context is one for clients; a server needs that of '
                'ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)'
                if self.server_side
                else 'the ssl_context is one for servers; a client needs that of '
                'ssl.create_default_context()'
            )
        if context.check_hostname and not self.server_side and not self.server_hostname:
            raise ValueError(
                'the ssl_context checks the host name in the certificate, so server_hostname is '
                'needed'
            )

    def _try_handshake(self) -> bool:
        assert self._tls is not None
        try:
            with self._lock:
                self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as exc:
            with suppress(OSError):
                self._outflow.flush()  # tells the peer
            raise explain(exc, self.name, self.server_side) from None
        return True

    def _flush_all(self, end: float | None) -> None:
        while not self._outflow.flush():
            self._inner.wait_writable(self._left(end))

    def _fetch_some(self, end: float | None) -> None:
        self._inner.wait_readable(self._left(end))
        if self._fetch() == 0:
            raise ConnectionError(f'{self._inner.ending()} before the TLS handshake was complete')

    def _left(self, end: float | None) -> float | None:
        if end is None:
            return None
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f'the TLS handshake with {self.name} took too long')
        return left

    # ---------------------------------------------------------------------------- receiving

    def wait_readable(self, timeout: float | None = None) -> bool:
        if self._has_something():
            self._inner.wait_readable(0.0)  # if cancelled, that counts
            return True
        end = None if timeout is None else time.monotonic() + timeout
        while self._inner.wait_readable(timeout):
            self._try_fetch()
            if self._has_something():
                return True
            timeout = None if end is None else end - time.monotonic()
        return False

    def wait_either(self, timeout: float | None = None) -> None:
        if self._has_something():
            timeout = 0.0
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._inner.wait_either(timeout)
            # What came may concern TLS alone; if nothing came there is room, or the time is up.
            if self._has_something() or not self._try_fetch() or self._has_something():
                return
            timeout = None if end is None else end - time.monotonic()

    def receive_into(self, view: memoryview) -> int:
        self.received = []
        while not self._has_something():
            if not self._try_fetch():
                return -1
        if self._has_first:
            count = self._take(view, 0)
            while count < len(view) and self._has_something() and self._has_first:
                count = self._take(view[count:], count)
            return count
        if self._failure is not None:
            raise self._failure
        return 0

    def _take(self, view: memoryview, done: int) -> int:
        """Receive the byte that was decrypted ahead, and what is behind it in its record.

        Args:
            view: Where to.
            done: How much was received before.

        Returns:
            How much is received now.
        """
        assert self._tls is not None
        with self._undisturbed, self._lock:
            count = 1 + min(self._tls.pending(), len(view) - 1)
            view[0] = self._first[0]
            if count > 1:
                self._tls.read(count - 1, view[1:count])
            self._has_first = False
            self.received = [done + count]
            # It takes records one by one: where nothing is left, trying would cost an exception.
            self._dry = not (self._incoming.pending or self._tls.pending())
        return done + count

    def _has_something(self) -> bool:
        """Whether there is something to receive without looking at the transport below."""
        if self._has_first or self._at_end or self._failure is not None:
            return True
        return not self._dry and self._decrypt_first()

    def _decrypt_first(self) -> bool:
        assert self._tls is not None
        with self._undisturbed, self._lock:
            try:
                if self._tls.read(1, self._first):
                    self._has_first = True
                else:
                    self._at_end = True
            except ssl.SSLWantReadError:
                self._dry = True
                return False
            except ssl.SSLZeroReturnError:
                self._at_end = True
            except ssl.SSLError as exc:
                self._failure = explain(exc, self.name, self.server_side)
        return True

    def _try_fetch(self) -> bool:
        """Look at the transport below, once; False if there is nothing."""
        try:
            count = self._fetch()
        except OSError as exc:
            self._failure = exc
            return True
        # Without the peer's close_notify. Frames have a length, and a connection ends with a
        # goodbye: nothing is taken for complete that was cut off.
        self._at_end = count == 0
        return count >= 0

    def _fetch(self) -> int:
        """Move bytes from the transport below to OpenSSL; returns what `receive_into` would."""
        with self._undisturbed:
            raw = _take_buffer()
            try:
                count = self._inner.receive_into(raw)
                if count > 0:
                    data = raw[:count]
                    if not self._is_tls:
                        self._check_first(data)
                    self._dry = False
                    with self._lock:
                        self._incoming.write(data)
            finally:
                _spare.append(raw)
        return count

    def _check_first(self, data: memoryview) -> None:
        try:
            check_first_bytes(data)
        except ProtocolError:
            with suppress(OSError):
                self._inner.send([NOT_TLS])
            raise
        self._is_tls = True

    # ------------------------------------------------------------------------------ sending

    def wait_writable(self, timeout: float | None = None) -> bool:
        return self._inner.wait_writable(timeout)

    def send(self, buffers: list[Buffer]) -> int:
        """As for every transport; besides, what is sent next must begin with what was not taken.

        Its start may be encrypted already: a record counts as sent when the transport below has
        taken all of it, or else nobody would see to its end.
        """
        self.sent = []
        if self._broken is not None:
            raise self._broken
        with self._undisturbed:
            if not self._outflow.flush():
                return 0
            while self._ahead < BATCH_SIZE:
                record = gather(buffers, self._ahead)
                if not len(record):
                    break
                self._encrypt(record)
            if not self._outflow.flush():
                return 0
            count, self._ahead = self._ahead, 0
            self.sent = [count]
            return count

    def _encrypt(self, record: Buffer) -> None:
        assert self._tls is not None
        try:
            with self._lock:
                self._ahead += self._tls.write(record)
        except ssl.SSLWantReadError:
            raise OSError(
                errno.EOPNOTSUPP, f'{self.name} wants to renegotiate, which is not supported'
            ) from None
        except ssl.SSLError as exc:
            raise explain(exc, self.name, self.server_side) from None

    # ------------------------------------------------------------------------------- ending

    def fileno(self) -> int:
        return self._inner.fileno()

    def cancel(self) -> None:
        self._inner.cancel()

    def kill(self) -> None:
        self._killed = True
        self._inner.kill()

    def close(self, timeout: float | None) -> None:
        if self._tls is not None and self._broken is None and not self._killed:
            self._say_goodbye()
        self.break_off('the transport is not open')
        self._inner.close(timeout)

    def _say_goodbye(self) -> None:
        assert self._tls is not None
        with suppress(OSError):  # SSLError is one: the peer's own goodbye may not have come
            with self._lock, suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()
            self._outflow.flush()
            # What is unread when a socket closes makes its peer see an error, and lose our last
            # words: the tickets that a server sends, say, which nobody asked for.
            raw = memoryview(bytearray(READ_SIZE))
            for _ in range(_LAST_READS):
                if self._inner.receive_into(raw) <= 0:
                    break

    def abandon(self) -> None:
        self.break_off('the transport is not open')
        self._inner.abandon()

    def break_off(self, why: str) -> None:
        """Let nothing be sent or received any more; the peer is told nothing."""
        self._failure = self._broken = OSError(errno.EBADF, why)

    def ending(self) -> str:
        return self._inner.ending()


class _Undisturbed:
    """A context in which the state of a transport may be half changed."""

    def __init__(self, transport: TlsTransport) -> None:
        self._transport = transport

    def __enter__(self) -> None:
        shield.__enter__()

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        if exc_type is not None and not issubclass(exc_type, (OSError, ProtocolError)):
            self._transport.break_off('interrupted while a message was being encrypted')
        shield.__exit__()


def _take_buffer() -> memoryview:
    try:
        return _spare.pop()
    except IndexError:
        return memoryview(bytearray(READ_SIZE))
