"""Objects that stay where they are, used from the other side."""

import copy
import sys

from across import Connection, get_bios, ref

COMMAND = [sys.executable, '-I', '-S', '-c', get_bios()]


def open_counter():
    from collections import Counter

    return ref(Counter())  # return it as a proxy, not as a copy


def report(tell, words):
    for word in words:
        tell(f'seen: {word}')


def main():
    with Connection.from_command(COMMAND) as conn:
        counter = conn.call(open_counter)
        counter.update('cheese')
        print(counter['e'], 'e' in counter, len(counter))

        here = copy.deepcopy(counter)  # now as a copy
        print(type(here).__name__, here['e'])

        # The other way round: the function over there calls print over here.
        conn.call(report, ref(print), ['brie', 'gouda'])

        words = conn.replicate(['feta', 'edam'])  # a copy there, a proxy here
        print([word.upper() for word in words])


if __name__ == '__main__':
    main()
