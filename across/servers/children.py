"""Child processes that serve one client each, as the server sees them.

Layer: servers.
"""

from __future__ import annotations

import functools
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from across import get_bios
from across._core.transports.sockets import check_socket

from . import leash
from .refusals import LONGEST
from .sessions import Session

if TYPE_CHECKING:
    from typing import Callable

# The arguments are two descriptors and the search path; `sys` needs none to be imported. The main
# module is left to the user's code.
_SCRIPT = (
    'import sys; sys.path[:] = sys.argv[3:]; '
    '__import__("across.servers.child", fromlist=["main"]).main()'
)


class Child(Session):
    """A child process, from its start until it was waited for.

    Args:
        command: Makes its command line; is given the descriptor of its end of the leash.
        sock: The client's socket; the child has a copy of it.
        as_stdio: Whether that is its standard input and output.
        first: What it can read from the leash.
    """

    def __init__(
        self,
        command: Callable[[int], list[str]],
        sock: socket.socket,
        *,
        as_stdio: bool,
        first: bytes = b'',
    ) -> None:
        check_socket(sock)
        end, self._leash = socket.socketpair()
        for each in (end, self._leash):  # whatever socket.setdefaulttimeout() was told
            each.setblocking(True)
        self._mutex = threading.Lock()  # guards `_leash`
        fds = (end.fileno(),) if as_stdio else (end.fileno(), sock.fileno())
        stdin, stdout = (sock.fileno(), sock.fileno()) if as_stdio else (subprocess.DEVNULL, None)
        # Undone in the child by leash.leave_interrupts_to_parent().
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                command(end.fileno()), stdin=stdin, stdout=stdout, pass_fds=fds
            )
        except BaseException:
            self._leash.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            end.close()
        with suppress(ConnectionError):  # it is dead: watch() will tell
            self._leash.sendall(first)

    def watch(self, on_end: Callable[[str], None]) -> None:
        # A thread for each child waits here. Beside the process that is next to nothing, and it is
        # the one way, on every platform, to wait for some children of a program but not for all.
        try:
            threading.Thread(
                target=self._wait, args=(on_end,), name='across-session', daemon=True
            ).start()
        except RuntimeError:  # the system has no more threads
            self.kill()
            self._wait(on_end)
            raise

    def _wait(self, on_end: Callable[[str], None]) -> None:
        refusal = b''
        try:
            self._process.wait()
            # Processes that it has left may hold its end.
            with self._mutex, suppress(OSError):
                refusal = self._leash.recv(LONGEST, socket.MSG_DONTWAIT)
            self.end()
        finally:
            on_end(refusal.decode('utf-8', 'replace'))

    def drain(self) -> None:
        with self._mutex, suppress(OSError):  # it has ended, or never reads what it is told
            self._leash.send(leash.DRAIN)

    def end(self) -> None:
        with self._mutex:
            self._leash.close()

    def kill(self) -> None:
        self._process.kill()

    def abandon(self) -> None:
        self._mutex = threading.Lock()
        self.end()
        self._process.returncode = 0  # the parent's child: the finalizer here has no say in it


def start_child(sock: socket.socket, options: bytes) -> Child:
    """Start an interpreter like this one that serves a socket.

    Args:
        sock: Of the client.
        options: For the connection, pickled.

    Raises:
        OSError: There are no resources for it.
    """
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return Child(
        lambda end: [sys.executable, '-c', _SCRIPT, str(sock.fileno()), str(end), *path],
        sock,
        as_stdio=False,
        first=options,  # not on the command line, which everybody can read
    )


def start_bare_child(sock: socket.socket, timeout: float | None) -> Child:
    """Start a bare interpreter that talks to its client over a socket.

    Args:
        sock: Of the client.
        timeout: Seconds it gets to end in, once its parent is gone.

    Raises:
        OSError: There are no resources for it.
    """

    def command(end: int) -> list[str]:
        # In a namespace of its own: the main module is for the user's code.
        script = (
            f'n = {{"__name__": {leash.__name__!r}}}; exec({_leash_source()!r}, n)\n'
            f'n["leave_interrupts_to_parent"](); n["hold"]({end}, {timeout})\n'
        )
        return [sys.executable, '-I', '-S', '-c', script + get_bios()]

    return Child(command, sock, as_stdio=True)


@functools.lru_cache(maxsize=None)
def _leash_source() -> str:
    import inspect

    return inspect.getsource(leash)
