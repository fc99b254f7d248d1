"""A server, in the background of a program, that lets in only those who know a key."""

import logging
import secrets
import sys

from across import AuthenticationError, Connection, Options
from across.servers import LocalConnectionHandler, Server

if __name__ == '__main__':
    logging.basicConfig(stream=sys.stdout, format='%(name)s: %(message)s')
    options = Options(authkey=secrets.token_bytes(32))
    with Server.listen_tcp(
        'localhost', 0, handler=LocalConnectionHandler(options=options)
    ) as server:
        with Connection.from_tcp(*server.address, options=options) as conn:
            print(conn.call(sum, [6, 7]))
        try:
            Connection.from_tcp(*server.address, options=Options(authkey='a guess')).close()
        except AuthenticationError as exc:
            error = exc
    print(str(error).partition(': ')[2])
