"""The examples that the library was written after, with other import lines and today's spelling."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from across import Connection, get_bios
from across.gateways import PopenGateway, SocketGateway, Source, SshGateway
from servers.processes import has_ended
from support.waiting import SECOND, wait_until

BIOS = Path(__file__).parents[2] / 'bios'
LIMIT = 10 * SECOND


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(('localhost', 0))
        return int(sock.getsockname()[1])


def test_remote_exec() -> None:
    gw = PopenGateway()
    channel = gw.remote_exec("""
        import os
        channel.send(os.getpid())
    """)
    remote_pid = channel.receive()
    assert remote_pid != os.getpid()
    gw.exit()
    gw.join()


@pytest.mark.usefixtures('led_ssh')
def test_file_server() -> None:
    somefilelist = [str(BIOS / 'stdio.py'), '/etc/passwd']

    contentserverbootstrap = Source(
        """
        for fn in channel:
            f = open(fn, 'rb')
            try:
                channel.send(f.read())
            finally:
                f.close()
        """
    )
    # open a gateway to a fresh child process
    contentgateway = SshGateway('codespeak.net')
    channel = contentgateway.remote_exec(contentserverbootstrap)

    for fn in somefilelist:
        channel.send(fn)
        content = channel.receive()
        assert content == Path(fn).read_bytes()

    # later you can exit / close down the gateway
    contentgateway.exit()
    assert contentgateway.join(LIMIT)


def test_triangle() -> None:
    port = free_port()
    socketserverbootstrap = Source(
        (BIOS / 'socketserver.py').read_text(),
        f"""
        import socket
        sock = bind_and_listen(("localhost", {port!r}))
        channel.send("ok")
        startserver(sock)
    """,
    )
    # open a gateway to a fresh child process
    proxygw = PopenGateway()

    # execute asynchronously the above socketserverbootstrap on the other
    channel = proxygw.remote_exec(socketserverbootstrap)

    # the other side should start the socket server now
    assert channel.receive() == 'ok'
    gw = SocketGateway('localhost', port)
    print('initialized socket gateway to port', port)

    source = 'import os; channel.send((os.getpid(), os.getppid()))'
    pid, parent = gw.remote_exec(source).receive(LIMIT)
    assert parent == proxygw.info['pid']
    assert pid != os.getpid()
    gw.exit()
    assert gw.join(LIMIT)
    proxygw.kill()  # its server never ends by itself
    proxygw.exit()
    assert proxygw.join(LIMIT)
    wait_until(lambda: has_ended(pid), 'the end of the process of that client')


def test_script_on_its_own() -> None:
    port = free_port()
    script = str(BIOS / 'socketserver.py')
    server = subprocess.Popen([sys.executable, '-I', '-S', script, str(port)])
    try:

        def answers() -> bool:
            try:
                socket.create_connection(('localhost', port)).close()
            except ConnectionRefusedError:
                return False
            return True

        wait_until(answers, 'the server')
        with Connection.from_tcp('localhost', port) as conn:
            assert conn.call(os.getppid) == server.pid
    finally:
        server.kill()
        server.wait()


def test_script_holds_the_bios() -> None:
    assert runpy.run_path(str(BIOS / 'socketserver.py'))['BIOS'] == get_bios()
