"""Sockets to listen on: TCP addresses, and Unix sockets that only their owner can use.

Layer: servers. Imports nothing of ours.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# How many clients may wait to be accepted; the system cuts it down to its own limit.
BACKLOG = 1024
# For how long (seconds) a server that starts on the same path may take; others take a moment.
LONGEST_START = 5.0
_LOOK_AGAIN = 0.02
# The system has no such address or kind of address; another one of the same host may do.
_UNUSABLE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of a host; they don't listen yet.

    Args:
        host: Name or address; empty for all interfaces.
        port: 0 lets the system choose one.

    Raises:
        OSError: That is not possible; the text names the address.
    """
    if not isinstance(host, str):
        raise TypeError(f'host must be a string, not {type(host).__name__}')
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f'port must be an integer, not {type(port).__name__}')
    if not 0 <= port < 65536:
        raise ValueError(f'port must be between 0 and 65535, not {port}')
    sockets: list[socket.socket] = []
    unusable: OSError | None = None
    try:
        for family, address in _resolve(host, port):
            if sockets:  # one port for all, also if the system has chosen it
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_bind(family, address))
            except OSError as exc:
                if exc.errno not in _UNUSABLE:
                    raise
                unusable = exc
        if unusable is not None and not sockets:
            raise unusable
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _resolve(host: str, port: int) -> list[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as exc:
        text = f'cannot find the address of {host}: {exc.strerror}'
        raise socket.gaierror(exc.errno, text) from exc
    # Some hosts files name an address twice.
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def _bind(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server, on their way out, must not keep the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        text = f'cannot listen on {address[0]}, port {address[1]}: {exc.strerror}'
        raise OSError(exc.errno, text) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def exposed_address(sockets: Sequence[socket.socket]) -> str | None:
    """The first address that other machines may reach; None if there is none."""
    for sock in sockets:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            host = sock.getsockname()[0].partition('%')[0]  # without an interface name
            if not ipaddress.ip_address(host).is_loopback:
                return str(host)
    return None


def path_open_to_all(sockets: Sequence[socket.socket]) -> str | None:
    """The first Unix socket that every user may connect to; None if there is none."""
    for sock in sockets:
        if sock.family == socket.AF_UNIX:
            path = sock.getsockname()
            # An abstract socket, a string of bytes, knows no permissions.
            if not path or isinstance(path, bytes):
                return repr(path)
            with suppress(OSError):
                if os.stat(path).st_mode & stat.S_IWOTH:
                    return str(path)
    return None


class UnixSocketFile:
    """A Unix socket that listens, and its file; nobody but the owner may connect to it.

    Args:
        path: Where; what an earlier server left there is removed.

    Raises:
        OSError: That is not possible: a server listens there, say.
        ValueError: The path is that of an abstract socket, which knows no permissions.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError(f'path must be a string or a path, not {type(path).__name__}')
        if not name or name.startswith('\0'):
            raise ValueError(
                'path must name a file: every user of the machine may connect to an abstract socket'
            )
        self.path = os.path.abspath(name)  # removed in the end, wherever we are then
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Another one that starts now would take what does not listen yet for stale.
            with _only_one(self.path):
                self._bind()
                found = os.lstat(self.path)
                self._identity = found.st_dev, found.st_ino
                # In time: nobody can connect before we listen.
                os.chmod(self.path, stat.S_IRUSR | stat.S_IWUSR)
                self.socket.listen(BACKLOG)
        except BaseException:
            self.socket.close()
            raise

    def _bind(self) -> None:
        for attempt in range(2):
            try:
                self.socket.bind(self.path)
                return
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE and attempt == 0:
                    _remove_stale(self.path)
                    continue
                # The system gives no number for a path that is too long.
                text = f'cannot listen on {self.path}: {exc.strerror or exc}'
                raise OSError(exc.errno or errno.ENAMETOOLONG, text) from exc

    def remove(self) -> None:
        """Remove the file, unless that was done, or somebody has put another one in its place."""
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._identity:
                os.unlink(self.path)


@contextmanager
def _only_one(path: str) -> Iterator[None]:
    """A context that one server at a time is in, for one path; leaves no file behind."""
    lock = f'{path}.across-lock'
    fd = _lock(lock, path)
    try:
        yield
    finally:
        try:
            with suppress(OSError):  # another user's directory: then it stays, and does no harm
                os.unlink(lock)  # as long as it is ours
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # a child forked meanwhile may have a copy
            os.close(fd)


def _lock(lock: str, path: str) -> int:
    give_up = time.monotonic() + LONGEST_START
    while True:
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR)
        except OSError as exc:
            raise OSError(exc.errno, f'cannot listen on {path}: {exc.strerror}') from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.lstat(lock)):
                    return fd
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(fd)
                text = f'cannot listen on {path}: another server has been starting there for long'
                raise OSError(errno.EADDRINUSE, f'{text}, and holds {lock}') from None
            time.sleep(_LOOK_AGAIN)
        except BaseException as exc:
            os.close(fd)
            if isinstance(exc, OSError):
                text = f'cannot listen on {path}: cannot lock {lock}: {exc.strerror}'
                raise OSError(exc.errno, text) from exc
            raise
        os.close(fd)  # whoever had it has removed it, or has it still


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on.

    Raises:
        OSError: It is something else.
    """
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, f'cannot listen on {path}: it exists and is no socket')
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a server whose backlog is full is alive, too
        code = probe.connect_ex(path)
    if code in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise OSError(errno.EADDRINUSE, f'cannot listen on {path}: another server does')
    if code == errno.ECONNREFUSED:
        with suppress(FileNotFoundError):
            os.unlink(path)
    elif code != errno.ENOENT:
        raise OSError(code, f'cannot listen on {path}: {os.strerror(code)}')
