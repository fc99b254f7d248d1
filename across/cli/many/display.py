"""The progress of many hosts, on a terminal; drawn by ``rich``, if that is installed."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from .job import CONNECTING, DONE, FAILED, RUNNING, STOPPED, WAITING, Job

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

# How many hosts are shown, those at work for longest first.
ROWS = 10
_COLORS = {DONE: 'green', FAILED: 'red', RUNNING: 'cyan', CONNECTING: 'yellow'}


def make_display(jobs: list[Job], descriptors: dict[str, int]) -> Display | None:
    """A display on standard error, which is a terminal; None if there should be, or can be, none.

    If standard output is a pipe, the program at its other end has the terminal for itself.
    """
    if 'stdout' in descriptors and stat.S_ISFIFO(os.fstat(descriptors['stdout']).st_mode):
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    file = open(descriptors['stderr'], 'w', closefd=False)  # noqa: SIM115  # closes nothing
    console = Console(file=file)
    return None if console.is_dumb_terminal else Display(jobs, console)


class Display:
    """Shows how far all hosts are, below what they print.

    Threads: one at a time.
    """

    def __init__(self, jobs: list[Job], console: Console) -> None:
        self._jobs = jobs
        self._console = console
        self._began = time.monotonic()
        self._live: Live | None = None

    def show(self) -> None:
        """Draw it, or what has changed."""
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(self._drawing(), refresh=True)

    def hide(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _drawing(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow='ellipsis', no_wrap=True)
        table.add_column(no_wrap=True, min_width=len(CONNECTING))
        table.add_column(no_wrap=True, min_width=5, justify='right')
        at_work = sorted((job for job in self._jobs if job.at_work), key=lambda job: job.began)
        rows = max(1, min(ROWS, self._console.height - 4))
        for job in at_work[:rows]:
            state = job.state
            table.add_row(
                Text(job.host.label), Text(state, _COLORS.get(state, '')), _clock(now - job.began)
            )
        if len(at_work) > rows:
            table.add_row(f'and {len(at_work) - rows} more', '', '')
        outer = Table.grid()
        outer.add_row(table)
        outer.add_row(self._summary(now))
        return outer

    def _summary(self, now: float) -> Text:
        from rich.text import Text

        states = [job.state for job in self._jobs]
        finished = sum(states.count(each) for each in (DONE, FAILED, STOPPED))
        text = Text(
            f'{finished} of {len(states)} hosts finished', no_wrap=True, overflow='ellipsis'
        )
        for state in (DONE, FAILED, STOPPED, RUNNING, CONNECTING, WAITING):
            count = states.count(state)
            if count:
                text.append(f'  {count} {state}', _COLORS.get(state, ''))
        return text.append(f'  {_clock(now - self._began)}')


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
