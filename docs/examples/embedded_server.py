"""A program that others may look into while it runs, over a Unix socket."""

import os
import tempfile

from across import Connection
from across.servers import LocalConnectionHandler, Server

STATE = {'requests': 0}


def client(path):
    with Connection.from_unix(path) as conn:
        conn.execute("import __main__; __main__.STATE['requests'] += 1")
        return conn.execute('__import__("__main__").STATE')


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'control')
        with Server.listen_unix(path, handler=LocalConnectionHandler()):
            # The program goes on with its own work; the server has a thread.
            print(client(path))  # any other program of this user could do the same
            print(client(path))


if __name__ == '__main__':
    main()
