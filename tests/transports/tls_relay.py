"""Between a TLS connection and a plain socket: the standard library's own TLS, in one thread."""

from __future__ import annotations

import select
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

CHUNK = 1 << 16


class TlsRelay:
    """Passes on bytes until one of the two is closed, and then closes the other.

    Args:
        sock: Connected; its handshake takes place in the thread.
        plain: What is passed on to, and from.
        context: See :meth:`ssl.SSLContext.wrap_socket`.
        server_side: The same.
    """

    def __init__(
        self, sock: socket.socket, plain: socket.socket, context: ssl.SSLContext, server_side: bool
    ) -> None:
        self._plain = plain
        self._tls = context.wrap_socket(
            sock,
            server_side=server_side,
            server_hostname=None if server_side else 'localhost',
            do_handshake_on_connect=False,
        )
        self._to_plain = self._to_tls = b''
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end; the other end of one of the two must be closed."""
        self._thread.join()

    def _run(self) -> None:
        with self._tls, self._plain, suppress(OSError):
            self._tls.do_handshake()
            self._tls.setblocking(False)
            self._plain.setblocking(False)
            while self._pass_on():
                self._wait()

    def _wait(self) -> None:
        if self._tls.pending() and not self._to_plain:
            return
        readable = ([] if self._to_plain else [self._tls]) + ([] if self._to_tls else [self._plain])
        writable = ([self._plain] if self._to_plain else []) + ([self._tls] if self._to_tls else [])
        select.select(readable, writable, [])

    def _pass_on(self) -> bool:
        """Move what can be moved; False at the end."""
        with suppress(BlockingIOError):
            if not self._to_tls:
                self._to_tls = self._plain.recv(CHUNK)
                if not self._to_tls:
                    return self._say_goodbye()
        with suppress(ssl.SSLWantReadError):
            if not self._to_plain:
                self._to_plain = self._tls.recv(CHUNK)
                if not self._to_plain:
                    return False
        with suppress(BlockingIOError):
            while self._to_plain:
                self._to_plain = self._to_plain[self._plain.send(self._to_plain) :]
        with suppress(ssl.SSLWantWriteError):
            while self._to_tls:
                self._to_tls = self._to_tls[self._tls.send(self._to_tls) :]
        return True

    def _say_goodbye(self) -> bool:
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        return False
