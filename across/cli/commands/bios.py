"""``across bios``: the script that makes a bare Python a peer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from across import get_bios

SUMMARY = 'print the script that makes a bare Python a peer'
DETAILS = (
    'Print the script that makes a bare Python 3.8 or newer a peer over its standard input and '
    'output, quoted for a shell, as in: ssh host python3 -c "$(across bios)"'
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--raw', action='store_true', help='without the quotes, where no shell is in between'
    )


def run(args: Namespace) -> int:
    from shlex import quote

    # Our own shell takes the words of "$(…)" as they are. The one over there, which is given all
    # words in one line, takes the quotes off.
    print(get_bios() if args.raw else quote(get_bios()))
    return 0
