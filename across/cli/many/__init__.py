"""The same code on many hosts at once.

==========  =========================================================================
`fleet`     who works on which host, and when to stop: the main thread and its workers
`job`       one host: connecting, running, how it went
`output`    what all of them print, in whole lines, each with its host ahead
`streams`   which host it was that prints
`display`   the progress, on a terminal
`report`    who failed and why, and the exit status
==========  =========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from argparse import Namespace

    from across.cli.far import Outcome


def run_everywhere(
    args: Namespace, exports: list[str], method: Callable[..., Outcome], *arguments: Any
) -> int:
    """Run a method of `far.Session` on all hosts of a command line.

    Args:
        args: The command line.
        exports: Modules to be exported to them.
        method: What to run.
        *arguments: For it.

    Returns:
        The exit status.
    """
    from across.cli.security import client_options

    from .fleet import Fleet
    from .job import Task
    from .report import exit_status, report

    task = Task(method, arguments, exports, client_options(args), args.debug)
    fleet = Fleet(args.hosts, task, width=args.width, fail_fast=args.fail_fast)
    fleet.run()
    if fleet.output.broken is not None:
        raise fleet.output.broken
    report(fleet.jobs)
    return exit_status(fleet)
