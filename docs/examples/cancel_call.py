"""Starts a long call, and cancels it."""

import sys
import time

import across
from across import Connection, get_bios, ref

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def count(progress):
    try:
        for number in range(1_000_000):
            across.check_cancelled()  # raises once the call is cancelled
            time.sleep(0.01)
            if number == 0:
                progress.append('started')
    finally:
        progress.append('stopped')


def main():
    progress = []
    with Connection.from_command(COMMAND) as conn:
        future = conn.submit(count, ref(progress))
        wait_for(progress, 'started')
        print('cancelled:', future.cancel())
        wait_for(progress, 'stopped')
    print(progress)


def wait_for(progress, entry):
    while entry not in progress:
        time.sleep(0.01)


if __name__ == '__main__':
    main()
