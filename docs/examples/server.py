"""A program that serves others in the background, with a process for each of them."""

import os

from across import Connection
from across.servers import ProcessConnectionHandler, Server


def main():
    handler = ProcessConnectionHandler()
    with Server.listen_tcp('localhost', 0, handler=handler) as server:
        host, port = server.address
        # Any other program could connect as well; here it is this one.
        with Connection.from_tcp(host, port) as first, Connection.from_tcp(host, port) as second:
            pids = {os.getpid(), first.call(os.getpid), second.call(os.getpid)}
            print(len(pids), 'processes')
            print(server.connection_count, 'connections')
    print('closed')


if __name__ == '__main__':
    main()
