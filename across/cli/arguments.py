"""Options that several subcommands share."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError

from across import Options

from .targets import parse_target


def add_target(parser: ArgumentParser) -> None:
    """Add what all commands have that connect."""
    parser.add_argument(
        'target', metavar='TARGET', type=parse_target, help='where; see across --help'
    )
    parser.add_argument(
        '--timeout',
        type=_seconds,
        metavar='SECONDS',
        help='after which connecting, or a silent peer, counts as failed; 60 if not given',
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


def _seconds(text: str) -> float:
    try:
        timeout = Options(timeout=float(text)).timeout
    except ValueError:
        raise ArgumentTypeError(f'{text!r} is not a number of seconds above 0') from None
    assert timeout is not None
    return timeout
