"""Takes what a remote generator yields, for as long as it is interesting."""

import sys
import threading

from across import Connection, get_bios, ref

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def primes(closed):
    """Runs over there; the loop below decides how far."""
    found = []
    number = 2
    try:
        while True:
            if all(number % prime for prime in found):
                found.append(number)
                yield number
            number += 1
    finally:
        closed.set()


def main():
    with Connection.from_command(COMMAND) as conn:
        closed = threading.Event()
        for prime in conn.iterate(primes, ref(closed)):
            print(prime)
            if prime > 10:
                break
        closed.wait()
        print('and its finally has run')


if __name__ == '__main__':
    main()
