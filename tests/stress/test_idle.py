"""Ten thousand idle connections to one server: alive, told apart, and told when it ends."""

from __future__ import annotations

import random
import resource
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from across import Connection, Options
from across._core.wire.frames import GOODBYE
from servers.processes import running
from support.ends import greeting, receive, receive_frame
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stress

COUNT = 10_000
# Beside the connections.
OTHER_DESCRIPTORS = 500

SERVER = """
import resource, sys
from across import Options
from across.servers import LocalConnectionHandler, Server

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
handler = LocalConnectionHandler(options=Options(timeout=float(sys.argv[1])))
with Server.listen_tcp('127.0.0.1', 0, handler=handler) as server:
    print(*server.address, flush=True)
    sys.stdin.readline()
    print(server.connection_count, flush=True)
    sys.stdin.readline()
    server.close(drain=10)
print('closed')
"""


@contextmanager
def many_descriptors() -> Iterator[int]:
    """Raise the limit of this process; how many connections it may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield min(COUNT, before[1] - OTHER_DESCRIPTORS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connect(address: tuple[str, int]) -> socket.socket:
    """A client that shakes hands, and then says nothing."""
    sock = socket.create_connection(address)
    sock.settimeout(30 * SECOND)
    sock.sendall(greeting())
    receive(sock, b'\n')
    return sock


@pytest.mark.timeout(120 * SECOND)
def test_ten_thousand_idle_clients() -> None:
    with ExitStack() as stack:
        count = stack.enter_context(many_descriptors())
        server = stack.enter_context(running(SERVER, 60))
        assert server.stdin is not None
        host, port = server.read_line().split()
        address = host, int(port)
        clients = [stack.enter_context(connect(address)) for _ in range(count)]
        process = psutil.Process(server.pid)
        wait_until(lambda: process.num_threads() < 20, 'the threads to go', 30 * SECOND)
        # Another one is served as if it were alone.
        options = Options(timeout=30 * SECOND)
        with Connection.from_tcp(*address, options=options) as conn:
            assert [conn.call(pow, 2, i) for i in range(50)] == [2**i for i in range(50)]
        server.stdin.write('\n')
        server.stdin.flush()
        assert count <= int(server.read_line()) <= count + 1
        # They hear from it, whichever they are: heartbeats come every six seconds.
        random.shuffle(clients)
        for client in clients[:20]:
            assert receive_frame(client)[0] != GOODBYE
        server.stdin.write('\n')
        server.stdin.flush()
        answering = threading.Thread(target=_answer_goodbyes, args=(clients,))
        answering.start()
        answering.join(60 * SECOND)
        assert server.finish(40 * SECOND) == ('closed', '', 0)


def _answer_goodbyes(clients: list[socket.socket]) -> None:
    for client in clients:
        while receive_frame(client)[0] != GOODBYE:
            pass
        client.close()
