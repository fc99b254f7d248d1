"""The tutorial's script, as it stands at its end."""

import sys

from across import Connection, get_bios

# A bare interpreter: no packages (-S), and nothing of this directory (-I).
COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def divide(total, parts):
    return total / parts


def main():
    with Connection.from_command(COMMAND) as conn:
        print(conn.call(divide, 10, 4))

        try:
            conn.call(divide, 10, 0)
        except ZeroDivisionError as error:
            print('it said:', error)

        print(conn.execute('import math; math.sqrt(x)', x=16))

        names = conn.call_ref(list)
        names.append('Alice')
        names.append('Bob')
        print(len(names), names[1])


if __name__ == '__main__':
    main()
