"""``across exec``: a piece of code, and the value of its last expression."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from across.cli import far
from across.cli.arguments import add_export, add_hosts, add_target

SUMMARY = 'run a piece of code, and print the value of its last expression'
DETAILS = (
    'Run Python statements over there. The value of the last one is printed, if that is an '
    'expression and not None. What the code prints appears here. With --on or --hosts-file, on '
    'many hosts at once: each line of output has its host ahead, and standard input is empty.'
)


def add_arguments(parser: ArgumentParser) -> None:
    add_target(parser)
    add_hosts(parser)
    parser.add_argument('code', metavar='CODE', help='Python statements, in one argument')
    add_export(parser)


def run(args: Namespace) -> int:
    from across.cli.near import add_to_path, session

    add_to_path()
    if args.hosts:
        from across.cli.many import run_everywhere

        return run_everywhere(args, args.export, far.Session.evaluate, args.code)
    with session(args, args.export) as there:
        outcome = there.run(far.Session.evaluate, args.code)
        if outcome.value is not None:
            print(outcome.value)
    return outcome.status
