"""What a test must not leave behind: threads, child processes, descriptors, temporary files."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from typing import NamedTuple

import psutil

from support.waiting import SECOND, wait_until

__all__ = ['Resources', 'find_leaks']


class Resources(NamedTuple):
    """What this process holds at one moment.

    Each part maps what identifies an entry to what an error message says about it.
    """

    threads: dict[object, str]
    children: dict[object, str]
    descriptors: dict[object, str]
    files: dict[object, str]

    @classmethod
    def now(cls) -> Resources:
        """Take stock."""
        return cls(_threads(), _children(), _descriptors(), _files())

    def beyond(self, earlier: Resources) -> list[str]:
        """Return what is held now and was not held earlier."""
        return [
            text
            for now, before in zip(self, earlier, strict=True)
            for key, text in now.items()
            if key not in before
        ]


def _threads() -> dict[object, str]:
    return {t.ident: f'thread {t.name!r} (ident {t.ident})' for t in threading.enumerate()}


def _children() -> dict[object, str]:
    found: dict[object, str] = {}
    for child in psutil.Process().children():
        try:
            # A zombie counts: its parent, which is us, forgot to wait for it.
            dead = child.status() == psutil.STATUS_ZOMBIE
            command = 'ended, not waited for' if dead else ' '.join(child.cmdline())[:120]
        except psutil.NoSuchProcess:
            continue
        found[child.pid] = f'child process {child.pid} ({command})'
    return found


def _descriptors() -> dict[object, str]:
    found: dict[object, str] = {}
    folder = '/proc/self/fd' if os.path.isdir('/proc/self/fd') else '/dev/fd'
    for name in os.listdir(folder):
        try:
            target = os.readlink(f'{folder}/{name}')
        except FileNotFoundError:
            continue  # the one that listed the folder
        except OSError:
            target = ''  # not a link on this platform
        found[name, target] = f'descriptor {name} {target}'
    return found


def _files() -> dict[object, str]:
    folder = tempfile.gettempdir()
    return {name: f'file {os.path.join(folder, name)}' for name in os.listdir(folder)}


def find_leaks(before: Resources, timeout: float = 2 * SECOND) -> list[str]:
    """Return what is still there that was not there before.

    What ends by itself, such as an idle service thread, gets `timeout` seconds for it.
    """
    leaks = Resources.now().beyond(before)
    if not leaks:
        return []
    # Idle service threads end by themselves, later than a test should wait.
    cache = sys.modules.get('across._core.threads.cache')
    gc.collect()  # what only a reference cycle keeps is no leak

    def gone() -> bool:
        if cache:  # each time: one that still works turns idle only now
            cache.service_threads.dismiss()
        leaks[:] = Resources.now().beyond(before)
        return not leaks

    try:
        wait_until(gone, 'leaks to go', timeout)
    except TimeoutError:
        return leaks
    return []
