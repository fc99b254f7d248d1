"""The command line: ``across`` and ``python -m across``.

=============  ======================================================================
`program`      the parser, dispatch, errors as sentences
`targets`      what is written for TARGET, and connections to it
`commands`     one module for each subcommand
`near`         a session of remote code as this side sees it: streams, Ctrl-C
`interrupts`   waiting for Ctrl-C and for something else at the same time
`far`          the same on the other side; a bare peer fetches it
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
