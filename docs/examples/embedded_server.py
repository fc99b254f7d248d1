"""A program that others may look into while it runs, over a Unix socket."""

import os
import socket
import tempfile
import threading

from across import Connection

STATE = {'requests': 0}


def serve(listener):
    """Give each client a connection into this process, until the listener closes."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        conn = Connection.from_socket(sock)
        threading.Thread(target=wait_and_close, args=(conn,)).start()


def wait_and_close(conn):
    conn.wait()
    conn.close()


def client(path):
    with Connection.from_unix(path) as conn:
        conn.execute("import __main__; __main__.STATE['requests'] += 1")
        return conn.execute('__import__("__main__").STATE')


def main():
    listener = socket.socket(socket.AF_UNIX)
    with tempfile.TemporaryDirectory() as folder, listener:
        path = os.path.join(folder, 'control')
        # Whoever can connect can run anything in here: nobody but us may.
        mask = os.umask(0o177)
        listener.bind(path)
        os.umask(mask)
        listener.listen()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        print(client(path))  # any other program of this user could do the same
        print(client(path))
        listener.shutdown(socket.SHUT_RDWR)
        server.join()


if __name__ == '__main__':
    main()
