"""The program: its parser, dispatch to the subcommands, errors as sentences."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from typing import Any

from across import AcrossError, __version__

from .arguments import add_debug
from .far import INTERRUPTED
from .targets import COMMAND, is_target

COMMANDS = ('exec', 'run', 'shell', 'ping', 'info', 'serve', 'bios')
_WITH_TARGET = ('exec', 'run', 'shell', 'ping', 'info')

FAILED = 1
MISUSED = 2


def main(argv: list[str] | None = None) -> int:
    """See :func:`across.cli.main`."""
    parser = make_parser()
    words, command = split_command(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(words)
    if args.name is None:
        parser.print_usage(sys.stderr)
        return MISUSED
    if getattr(args, 'target', None) is not None and args.target.scheme == 'command':
        if not command:
            parser.error('there is no command after --')
        args.target = args.target._replace(command=tuple(command))
    return _run(args)


def _run(args: Namespace) -> int:
    try:
        status: int = _module(args.name).run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads our output: not worth a word, neither from us nor from Python's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as exc:
        if args.debug:
            import traceback

            traceback.print_exc()
        complain(sentence(exc))
        return FAILED


def complain(text: str) -> None:
    """Tell the user what went wrong."""
    if sys.stderr is not None:
        print(f'across: {text}', file=sys.stderr)


def sentence(exc: Exception) -> str:
    """An error, said to a user."""
    if isinstance(exc, AcrossError) and str(exc):
        return str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        where = '' if exc.filename is None else f'{exc.filename}: '
        return where + exc.strerror
    return str(exc) if isinstance(exc, (ImportError, ValueError)) else repr(exc)


def split_command(argv: list[str]) -> tuple[list[str], list[str] | None]:
    """Take the command after ``--`` out of the words, and put `COMMAND` where TARGET stands.

    Where there is a TARGET, ``--`` means what it always does, or belongs to a script's arguments.
    """
    end = argv.index('--') if '--' in argv else len(argv)
    before = argv[:end]
    start = next((at for at, word in enumerate(before) if word in _WITH_TARGET), None)
    if end == len(argv) or start is None or any(map(is_target, before)):
        return argv, None
    return [*before[: start + 1], COMMAND, *before[start + 1 :]], argv[end + 1 :]


def make_parser() -> ArgumentParser:
    """The parser of everything; the reference is made from it, too."""
    parser = ArgumentParser(
        prog='across',
        description='Run Python code in other Python processes, with nothing installed there.',
        epilog='TARGET is local: (a bare interpreter on this machine), tcp://host:port, '
        'unix:///path, ssh://user@host:port, or, in its place, a command at the end, after --.',
    )
    parser.add_argument('--version', action='version', version=f'across {__version__}')
    add_debug(parser, of_command=False)
    commands = parser.add_subparsers(dest='name', metavar='COMMAND', title='commands')
    for name in COMMANDS:
        module = _module(name)
        child = commands.add_parser(name, help=module.SUMMARY, description=module.DETAILS)
        module.add_arguments(child)
        add_debug(child, of_command=True)
    return parser


def _module(name: str) -> Any:
    return import_module(f'across.cli.commands.{name}')
