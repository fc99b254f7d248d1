"""Debug output: what a connection does, one line each on standard error.

Callers test `verbosity` before they build a message, so that nothing is paid while it is off::

    if debug.verbosity >= debug.DETAILED:
        debug.log('DEBUG', peer, f'received {size} bytes')

Written straight to the process's own standard error, not through `logging`: the logging of this
process may be forwarded over the very connection that reports, and `sys.stderr` too, and each line
would then cause the next one.

Layer: the lowest. Imports nothing of ours.
"""

from __future__ import annotations

import os
import sys
import time

__all__ = ['set_debug_level']

OFF = 0
NORMAL = 1  # INFO, WARNING and ERROR
DETAILED = 2  # DEBUG as well

verbosity = OFF


def set_debug_level(level: int) -> None:
    """Print what connections of this process do to standard error.

    Args:
        level: 0 prints nothing (the default), 1 INFO, WARNING and ERROR messages: that a connection
            was made, or has ended and why. 2 prints DEBUG messages as well: commands of child
            processes, modules exported and imported, refused calls.

    Raises:
        ValueError: `level` is none of these.
    """
    global verbosity
    if isinstance(level, bool) or level not in (OFF, NORMAL, DETAILED):
        raise ValueError(f'debug level must be 0, 1 or 2, not {level!r}')
    verbosity = level


def log(severity: str, peer: str, text: str) -> None:
    """Print one line about a connection, if its severity is of interest.

    Args:
        severity: ``'DEBUG'``, ``'INFO'``, ``'WARNING'`` or ``'ERROR'``.
        peer: Names the other side: ``host:port``, a path, a command.
        text: What happened.

    Threads:
        Any; one write call, so that lines of several threads do not mix.
    """
    if verbosity < (DETAILED if severity == 'DEBUG' else NORMAL):
        return
    stream = sys.__stderr__
    if stream is None:  # started without standard error
        return
    now = time.time()
    clock = time.strftime('%H:%M:%S', time.localtime(now))
    stamp = f'{clock}.{int(now * 1000) % 1000:03d}'
    line = f'{stamp} across [{os.getpid()}] {severity:<7} {peer}  {text}\n'
    try:
        stream.write(line)
        stream.flush()
    except (OSError, ValueError):
        pass  # standard error is closed; that must not break the connection


set_debug_level.__module__ = 'across'  # the public path, as users import it
