"""Passes 64 MiB there and back."""

import sys

import numpy

from across import Connection, get_bios

# numpy has compiled parts, which cannot travel: it has to be installed there.
COMMAND = [sys.executable, '-c', get_bios()]


def double(array):
    array *= 2
    return array


def main():
    array = numpy.ones(8 * 1024 * 1024)
    with Connection.from_command(COMMAND) as conn:
        doubled = conn.call(double, array)
    print(doubled.nbytes, doubled.sum() / array.sum())


if __name__ == '__main__':
    main()
