"""The command line: ``across`` and ``python -m across``.

=============  ======================================================================
`program`      the parser, dispatch
`words`        what stands in place of TARGET
`targets`      what is written for TARGET, and connections to it
`hosts`        what is written for many of them
`errors`       errors as sentences
`commands`     one module for each subcommand
`near`         a session of remote code as this side sees it: streams, Ctrl-C
`interrupts`   waiting for Ctrl-C and for something else at the same time
`many`         the same code on many hosts at once
`far`          a session on the other side; a bare peer fetches it
`running`      how it runs a piece of code, and how that is interrupted
=============  ======================================================================

This file stays small, as a bare peer that fetches `far` fetches it, too.
"""

from __future__ import annotations


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Its arguments; those of this process unless given.

    Returns:
        The exit status.
    """
    from .program import main

    return main(argv)
