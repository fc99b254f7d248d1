"""Sockets that systemd listens on for this process, and messages to it.

Source: sd_listen_fds(3), sd_notify(3), systemd.socket(5).

Layer: servers. Imports nothing of ours.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading

# The first descriptor that is passed; the others follow.
_FIRST = 3

# Names and descriptors that were passed, and not yet asked for; None: nobody has looked.
_passed: list[tuple[str, int]] | None = None
_mutex = threading.Lock()  # guards `_passed`, and the variables it comes from


def inherited_sockets(name: str | None = None) -> list[socket.socket]:
    """Take the listening sockets that systemd passed to this process; each can be taken once.

    The variables of the environment that tell of them are removed, so that no child process takes
    them for its own.

    Args:
        name: Take only those of the socket units with this ``FileDescriptorName=``.

    Raises:
        OSError: There are none, or one of them is no stream socket that listens.
    """
    global _passed
    with _mutex:
        if _passed is None:
            _passed = _read_environment()
        found = [fd for each, fd in _passed if name in (None, each)]
        if not found:
            names = sorted({each for each, _ in _passed})
            raise FileNotFoundError(errno.ENOENT, _explain_none(name, names))
        sockets = _checked(found)
        _passed = [(each, fd) for each, fd in _passed if fd not in found]
    return sockets


def notify(state: str) -> bool:
    """Tell systemd about this service, if that wants to know (``Type=notify``).

    Args:
        state: As in ``READY=1``, ``STOPPING=1``, ``STATUS=text``; several are parted by newlines.

    Returns:
        False if nobody wants to know, or can't be told.
    """
    path = os.environ.get('NOTIFY_SOCKET')
    if not path:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            # @ stands for an abstract socket.
            sock.connect('\0' + path[1:] if path.startswith('@') else path)
            sock.sendall(state.encode())
    except OSError:  # inherited from a service that has ended, say
        return False
    return True


def _read_environment() -> list[tuple[str, int]]:
    pid, count = os.environ.get('LISTEN_PID'), os.environ.get('LISTEN_FDS', '')
    # Meant for a process that had started this one, and left in its environment.
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    names = os.environ.get('LISTEN_FDNAMES', '').split(':')
    for variable in ('LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'):
        os.environ.pop(variable, None)
    passed = []
    for i in range(int(count)):
        os.set_inheritable(_FIRST + i, False)
        passed.append((names[i] if i < len(names) and names[i] else 'unknown', _FIRST + i))
    return passed


def _checked(fds: list[int]) -> list[socket.socket]:
    for fd in fds:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode) or not _listens(fd):
            raise OSError(
                errno.ENOTSOCK,
                f'descriptor {fd}, passed by systemd, is no stream socket that listens; the socket '
                'unit needs ListenStream=, and Accept=no',
            )
    return [socket.socket(fileno=fd) for fd in fds]


def _listens(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as sock:
        return (
            sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
            and sock.type == socket.SOCK_STREAM
            and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        )


def _explain_none(name: str | None, names: list[str]) -> str:
    if name is not None and names:
        return f'systemd passed no socket named {name!r}, only {", ".join(names)}'
    return (
        'systemd passed no socket to this process; it has to be started by a socket unit, and '
        'directly, not by a script'
    )
