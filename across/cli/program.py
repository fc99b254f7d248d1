"""The program: its parser, dispatch to the subcommands."""

from __future__ import annotations

import errno
import os
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from importlib import import_module
from typing import Any

from across import __version__

from .arguments import add_debug
from .errors import complain, named, sentence
from .far import INTERRUPTED
from .security import client_problem, server_problem
from .words import arrange

COMMANDS = ('exec', 'run', 'shell', 'ping', 'info', 'serve', 'bios')
_WITH_TARGET = ('exec', 'run', 'shell', 'ping', 'info')

# Of writing; and all that this program writes is its output.
_OF_FULL_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

FAILED = 1
MISUSED = 2


def main(argv: list[str] | None = None) -> int:
    """See :func:`across.cli.main`."""
    parser = make_parser()
    parsers = {name: each for name, each in parsers_of(parser).items() if name in _WITH_TARGET}
    words = arrange(sys.argv[1:] if argv is None else argv, parsers)
    args = parser.parse_args(words.argv)
    if args.name is None:
        parser.print_usage(sys.stderr)
        return MISUSED
    if args.name in parsers:
        problem = words.problem or _problem_with_target(args, words.command)
        if problem:
            parsers[args.name].error(problem)
    elif args.name == 'serve' and (problem := server_problem(args)):
        parsers_of(parser)['serve'].error(problem)
    return _run(args)


def _problem_with_target(args: Namespace, command: list[str] | None) -> str:
    """What the parser can't see; fills in the command after ``--``."""
    hosts = getattr(args, 'hosts', None)
    if hosts:
        return client_problem(args, [host.target for host in hosts])
    for name in ('width', 'fail_fast'):
        if getattr(args, name, None):
            return f'--{name.replace("_", "-")} goes with --on or --hosts-file'
    if args.target.scheme == 'command':
        if not command:
            return 'there is no command after --'
        args.target = args.target._replace(command=tuple(command))
    return client_problem(args, [args.target])


def _run(args: Namespace) -> int:
    try:
        status: int = _module(args.name).run(args)
        problem = _flush_output()
        if problem is not None:
            raise problem
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _flush_output()
        return FAILED  # nobody reads our output: not worth a word
    except Exception as exc:
        exc = _flush_output() or exc
        if isinstance(exc, OSError) and exc.errno in _OF_FULL_DISKS:
            exc = named(exc)
        if args.debug:
            import traceback

            traceback.print_exc()
        complain(sentence(exc))
        return FAILED


def _flush_output() -> OSError | None:
    """Flush standard output; an error of that is the answer, and Python will not say it again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return named(exc)
    return None


def make_parser() -> ArgumentParser:
    """The parser of everything; the reference is made from it, too."""
    parser = ArgumentParser(
        prog='across',
        description='Run Python code in other Python processes, with nothing installed there.',
        epilog='TARGET is local: (a bare interpreter on this machine), tcp://host:port, '
        'unix:///path, ssh://user@host:port, or, in its place, a command at the end, after --. '
        'exec and run take many hosts as well: --on a,b,c.',
        # An abbreviation that works today would be another option's tomorrow.
        allow_abbrev=False,
    )
    parser.add_argument('--version', action='version', version=f'across {__version__}')
    add_debug(parser, of_command=False)
    commands = parser.add_subparsers(dest='name', metavar='COMMAND', title='commands')
    for name in COMMANDS:
        module = _module(name)
        child = commands.add_parser(
            name, help=module.SUMMARY, description=module.DETAILS, allow_abbrev=False
        )
        module.add_arguments(child)
        add_debug(child, of_command=True)
    return parser


def parsers_of(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """Those of the subcommands, by name."""
    actions = (each for each in parser._actions if isinstance(each, _SubParsersAction))
    return dict(next(actions).choices)


def _module(name: str) -> Any:
    return import_module(f'across.cli.commands.{name}')
