"""Options that several subcommands share."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError

from across import Options

from .hosts import parse_hosts, read_hosts
from .security import add_client_security
from .targets import parse_target

# How many hosts are at work at the same time: each takes a process of ssh, and two threads.
WIDTH = 32


def add_target(parser: ArgumentParser) -> None:
    """Add what all commands have that connect."""
    parser.add_argument(
        'target', metavar='TARGET', type=parse_target, help='where; see across --help'
    )
    add_connecting(parser)


def add_connecting(parser: ArgumentParser) -> None:
    """Add the options that say how to connect."""
    parser.add_argument(
        '--timeout',
        type=timeout_seconds,
        metavar='SECONDS',
        help='after which connecting, or a silent peer, counts as failed; 60 if not given',
    )
    add_client_security(parser)


def add_hosts(parser: ArgumentParser) -> None:
    """Add what all commands have that can run at many targets at once."""
    parser.add_argument(
        '--on',
        dest='hosts',
        action='extend',
        type=parse_hosts,
        metavar='HOST,…',
        help='in place of TARGET: hosts for ssh, or TARGETs, between commas',
    )
    parser.add_argument(
        '--hosts-file',
        dest='hosts',
        action='extend',
        type=read_hosts,
        metavar='FILE',
        help='in place of TARGET, or beside --on: a file with a host on each line; what follows '
        'a # is a comment',
    )
    parser.add_argument(
        '--width',
        type=positive,
        metavar='N',
        help=f'how many hosts are at work at the same time; {WIDTH} if not given',
    )
    parser.add_argument(
        '--fail-fast',
        action='store_true',
        help='as soon as one host has failed, interrupt the others and begin no more',
    )


def add_export(parser: ArgumentParser) -> None:
    """Add what all commands have that run the user's code."""
    parser.add_argument(
        '--export',
        action='append',
        default=[],
        metavar='MODULE',
        help='make a module of this machine importable over there; may be given several times',
    )


def add_debug(parser: ArgumentParser, *, of_command: bool) -> None:
    """Add what all commands have, and may stand ahead of them as well."""
    parser.add_argument(
        '--debug',
        action='store_true',
        # The default of a command would undo what stands ahead of it.
        default=SUPPRESS if of_command else False,
        help="show errors with the program's own traceback",
    )


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ArgumentTypeError(f'{text!r} is not a number of 1 or more')
    return int(text)


def frame_size(text: str) -> int:
    """Read a limit for the size of messages, in bytes."""
    try:
        size = Options(max_frame_size=int(text)).max_frame_size
    except ValueError:
        raise ArgumentTypeError(f'{text!r} is not a number of bytes, 65536 or more') from None
    assert size is not None
    return size


def timeout_seconds(text: str) -> float:
    """Read a time limit, in seconds."""
    try:
        timeout = Options(timeout=float(text)).timeout
    except ValueError:
        raise ArgumentTypeError(f'{text!r} is not a number of seconds above 0') from None
    assert timeout is not None
    return timeout
