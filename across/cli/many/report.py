"""Who failed and why, and the exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from across.cli.errors import complain
from across.cli.far import INTERRUPTED

from .job import FAILED, STOPPED, WAITING, Job

if TYPE_CHECKING:
    from .fleet import Fleet

# The status counts failed hosts from here on: 1 and 2 have meanings of their own, and so have those
# above 125 in a shell.
NONE_FAILED_YET = 10
HIGHEST = 99

# How many names stand in one line.
_NAMES = 20


def report(jobs: list[Job]) -> None:
    """Say on standard error who failed and why, and what was not done."""
    failed = [job for job in jobs if job.state == FAILED]
    if failed:
        hosts = 'host' if len(jobs) == 1 else 'hosts'
        lines = [f'{len(failed)} of {len(jobs)} {hosts} failed']
        lines += [f'  {job.host.label}: {" ".join(job.reason.split())}' for job in failed]
        complain('\n'.join(lines))
    for state, text in ((STOPPED, 'stopped'), (WAITING, 'not begun')):
        those = [job for job in jobs if job.state == state]
        if those:
            complain(f'{text}: {names(those)}')


def names(jobs: list[Job]) -> str:
    """The names of hosts; the first of them, if there are many."""
    shown = ', '.join(job.host.label for job in jobs[:_NAMES])
    return shown if len(jobs) <= _NAMES else f'{shown} and {len(jobs) - _NAMES} more'


def exit_status(fleet: Fleet) -> int:
    """That of the program."""
    if fleet.interrupted:
        return INTERRUPTED
    failed = sum(job.state == FAILED for job in fleet.jobs)
    if failed:
        return min(NONE_FAILED_YET + failed, HIGHEST)
    return 0
