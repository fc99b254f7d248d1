"""Run a command, pass it our standard input, and append each byte passed on to a file as well.

Usage: python relay.py COPY COMMAND...

The size of the copy is what the command was sent so far. It is written first: when the command
answers, what it answers to has been counted.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys


def main() -> None:
    """Copy until our standard input ends, then wait for the command."""
    copy, *command = sys.argv[1:]
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        with open(copy, 'wb', buffering=0) as file:
            while True:
                select.select([0], [], [])  # whoever started us may have made it non-blocking
                data = os.read(0, 1 << 16)
                if not data:
                    break
                file.write(data)
                while data:
                    data = data[process.stdin.write(data) :]


if __name__ == '__main__':
    main()
