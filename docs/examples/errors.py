"""What can go wrong, and what arrives here."""

import sys

from across import Connection, DisconnectError, OperationError, get_bios

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def read(path):
    with open(path) as file:
        return file.read()


def main():
    with Connection.from_command(COMMAND) as conn:
        # What remote code raises arrives as itself.
        try:
            conn.call(read, '/no/such/file')
        except FileNotFoundError as error:
            print(type(error).__name__, error.filename)

        # Nothing special about imports that remote code tries itself.
        try:
            conn.call(__import__, 'this_is_missing')
        except ModuleNotFoundError as error:
            print(type(error).__name__, error.name)

        # This one call failed: a lock cannot be pickled. The connection goes on.
        try:
            conn.execute('import threading; threading.Lock()')
        except OperationError as error:
            print(type(error).__name__)

    # The other process died, and with it the connection: every later call fails too.
    try:
        with Connection.from_command(COMMAND) as conn:
            conn.execute('import os; os._exit(3)')
    except DisconnectError as error:
        print(type(error).__name__)
        print(str(error).rpartition(') ')[2])


if __name__ == '__main__':
    main()
