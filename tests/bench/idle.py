"""What does an idle connection cost its server, and how many does one process hold?"""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil

from . import targets
from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings
from .sides import ACROSS, FLOOR, served

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sides import Peer

# Seconds until a connection is idle, and what it was made with has gone.
SETTLE = 1.5
# Descriptors that a process needs beside those of connections.
OTHER_DESCRIPTORS = 200


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """Resident memory (KiB) and threads of the server for each connection; how many it has."""
    with ExitStack() as stack:
        server = stack.enter_context(served(side, 'tcp', processor))
        process = psutil.Process(server.pid)
        server.connect().call(targets.noop)
        memory, threads = process.memory_info().rss, process.num_threads()
        peers = [server.connect() for _ in range(settings.idle)]
        time.sleep(SETTLE)
        figures = {
            'memory': (process.memory_info().rss - memory) / len(peers) / 1024,
            'threads': (process.num_threads() - threads) / len(peers),
        }
        if side == ACROSS:
            figures['held'] = _hold(server.connect, peers, settings.held)
    return figures


def _hold(connect: Callable[[], Peer], peers: list[Peer], count: int) -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_DESCRIPTORS
    while len(peers) < min(count, limit):
        peers.append(connect())
    for peer in peers[:: len(peers) // 10]:
        peer.call(targets.noop)
    return len(peers)


QUESTION = Question(
    'idle',
    (
        Row(
            'memory',
            'server memory for an idle connection, of 1,000, KiB',
            ANYWHERE,
            Goal(12, of_ratio=False),
        ),
        Row(
            'threads',
            'threads for an idle connection, of 1,000',
            ANYWHERE,
            Goal(0.05, of_ratio=False),
        ),
        Row(
            'held',
            'idle connections held by one server',
            ANYWHERE,
            Goal(10_000, is_minimum=True, of_ratio=False),
        ),
    ),
    sample,
    (FLOOR, ACROSS),
)
