"""Uses a package that only this side has."""

import sys

import shapes
from shapes.circle import Circle

from across import Connection, get_bios

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def main():
    with Connection.from_command(COMMAND) as conn:
        conn.export('shapes')  # its submodules and data files come with it
        print(conn.call(shapes.total_area, [Circle(1), Circle(2)]))
        print(conn.call(Circle(10).area))


if __name__ == '__main__':
    main()
