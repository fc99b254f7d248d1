"""Start a child process, a server in it, and a third process behind that server."""

from pathlib import Path

from across.gateways import PopenGateway, SocketGateway, Source

BIOS = Path(__file__).parents[2] / 'bios'


def main():
    server = Source(
        (BIOS / 'socketserver.py').read_text(),
        """
        sock = bind_and_listen(('localhost', 0))
        channel.send(sock.getsockname()[1])
        startserver(sock)
        """,
    )
    with PopenGateway(id='proxy') as proxy:
        port = proxy.remote_exec(server).receive()
        with SocketGateway('localhost', port) as gateway:
            source = 'import os; channel.send((os.getpid(), os.getppid()))'
            pid, parent = gateway.remote_exec(source).receive()
            print('three processes:', len({pid, parent, proxy.info['pid']}) == 2)
            print('the third was started by the second:', parent == proxy.info['pid'])
        proxy.kill()  # its server would go on for ever


if __name__ == '__main__':
    main()
