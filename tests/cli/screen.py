"""The program in a terminal with a screen, as a user sees it; `pyte` knows what the bytes mean."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import select
import shlex
import struct
import termios
import time
from typing import TYPE_CHECKING, Any

import pyte

from cli.program import PROGRAM, TIMEOUT, InTerminal, environment

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 240, 24


class Screen(InTerminal):
    """The program, running.

    Args:
        *words: Its arguments.
        height: Lines of the screen.
        pipe_to: A program that has the terminal, and reads the output.
        out: A file that the output goes to.
        variables: Of the environment.
    """

    def __init__(
        self,
        *words: object,
        height: int = HEIGHT,
        pipe_to: str = '',
        out: Path | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self._screen = pyte.Screen(WIDTH, height)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder('utf-8')()
        self.raw = ''  # all that came
        command = shlex.join([*PROGRAM, *map(str, words)])
        if out is not None:
            command += f' > {shlex.quote(str(out))}'
        if pipe_to:
            command = f'{command} | {pipe_to}'
        super().__init__()
        if self.pid == 0:
            # Before the program looks.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', height, WIDTH, 0, 0))
            shell = command if pipe_to else f'exec {command}'
            known = environment(**{'TERM': 'xterm', **(variables or {})})
            for name in ('COLUMNS', 'LINES'):  # set where tests run in parallel
                known.pop(name, None)
            os.execve('/bin/sh', ['sh', '-c', shell], known)

    def lines(self) -> list[str]:
        """What the screen shows, without empty lines."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def shows_cursor(self) -> bool:
        return not self._screen.cursor.hidden

    def wait_for(self, pattern: str) -> None:
        """Wait until the screen shows a pattern, which must come soon."""
        deadline = time.monotonic() + TIMEOUT
        while not re.search(pattern, '\n'.join(self.lines())):
            left = max(0, deadline - time.monotonic())
            ready, _, _ = select.select([self._fd], [], [], left)
            assert ready, f'{pattern!r} is not on the screen: {self.lines()}'
            assert self._receive(), f'{pattern!r} will not be on the screen: {self.lines()}'

    def _receive(self) -> bytes:
        data = super()._receive()
        text = self._decoder.decode(data)
        self.raw += text
        self._stream.feed(text)
        return data

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()
