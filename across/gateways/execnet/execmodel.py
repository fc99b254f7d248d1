"""What code finds of threads, queues and so on at a gateway: the standard library's.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import threading
import time
from typing import Any, Callable

__all__ = ['ExecModel', 'get_execmodel']

BACKENDS = ('thread', 'main_thread_only')


class ExecModel:
    """How code is run over there: in threads, or in the main thread only.

    Attributes:
        backend: Which of the two.
    """

    queue = queue
    subprocess = subprocess
    socket = socket
    Lock = staticmethod(threading.Lock)
    RLock = staticmethod(threading.RLock)
    Event = threading.Event
    get_ident = staticmethod(threading.get_ident)
    sleep = staticmethod(time.sleep)
    fdopen = staticmethod(os.fdopen)

    def __init__(self, backend: str) -> None:
        if backend not in BACKENDS:
            raise ValueError(f'the execmodel must be {" or ".join(BACKENDS)}, not {backend!r}')
        self.backend = backend

    def start(self, func: Callable[..., object], args: tuple[Any, ...] = ()) -> None:
        """Run a function in a thread of its own."""
        threading.Thread(target=func, args=args, daemon=True).start()

    def __repr__(self) -> str:
        return f'<ExecModel {self.backend!r}>'


def get_execmodel(backend: str | ExecModel) -> ExecModel:
    """Return the execution model of that name.

    Raises:
        ValueError: There is none.
    """
    return backend if isinstance(backend, ExecModel) else ExecModel(backend)


for _public in (ExecModel, get_execmodel):
    _public.__module__ = 'across.gateways.execnet'
del _public
