"""``across info``: what runs over there."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from across.cli import far
from across.cli.arguments import add_target

SUMMARY = 'tell what runs over there'
DETAILS = 'Print host, process, Python version, implementation, platform and executable.'


def add_arguments(parser: ArgumentParser) -> None:
    add_target(parser)


def run(args: Namespace) -> int:
    from across.cli.near import connected

    with connected(args) as connection:
        facts = connection.call(far.describe_process)
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        print(f'{name + ":":{width}} {value}')
    return 0
