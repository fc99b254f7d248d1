"""Runs a local function on another host: ``python over_ssh.py [SSH OPTIONS] HOST``."""

import os
import platform
import sys

from across import Connection


def load():
    return platform.system(), os.getloadavg()


def main():
    *ssh_options, host = sys.argv[1:]
    with Connection.from_ssh(host, ssh_options=ssh_options) as conn:
        system, averages = conn.call(load)
        print(f'{system}, load averages {averages}')


if __name__ == '__main__':
    main()
