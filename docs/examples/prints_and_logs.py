"""What remote code prints and logs appears here."""

import logging
import sys

import across.logging
from across import Connection, Options, get_bios

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def work():
    # Over there: all that this logger gets goes to the logger of the same name over here.
    logger = logging.getLogger('rainbow')
    logger.setLevel(logging.INFO)
    logger.addHandler(across.logging.AcrossHandler())

    print('printed over there')
    logger.info('logged over there')
    return 'done'


def main():
    logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s', stream=sys.stdout)
    options = Options(forward_stdio=True)
    with Connection.from_command(COMMAND, options=options) as conn:
        print(conn.call(work))


if __name__ == '__main__':
    main()
