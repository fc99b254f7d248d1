"""Runs a local function on another host: ``python over_ssh.py [SSH OPTIONS] HOST``."""

import os
import platform
import shlex
import sys

from across import Connection, get_bios


def load():
    return platform.system(), os.getloadavg()


def main():
    # ssh hands this to the login shell over there, so it has to be quoted.
    script = 'python3 -c ' + shlex.quote(get_bios())
    with Connection.from_command(['ssh', *sys.argv[1:], script]) as conn:
        system, averages = conn.call(load)
        print(f'{system}, load averages {averages}')


if __name__ == '__main__':
    main()
