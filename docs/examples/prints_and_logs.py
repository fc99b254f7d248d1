"""What remote code prints and logs appears here."""

import logging
import sys

import across.logging
from across import Connection, Options, get_bios

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def work():
    # All that this logger gets over there goes to the one of its name over here.
    logger = logging.getLogger('rainbow')
    logger.setLevel(logging.INFO)
    logger.addHandler(across.logging.AcrossHandler())
    logger.info('logged over there')


def main():
    layout = '%(name)s: %(message)s'
    logging.basicConfig(level=logging.INFO, format=layout, stream=sys.stdout)
    options = Options(forward_stdio=True)
    with Connection.from_command(COMMAND, options=options) as conn:
        conn.call(print, 'printed over there')
        conn.call(work)


if __name__ == '__main__':
    main()
