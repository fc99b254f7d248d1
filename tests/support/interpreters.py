"""The Python interpreters of this machine, and the commands that start them bare."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ['MINORS', 'Interpreter', 'bare_command', 'find_interpreters']

MINORS = (8, 9, 10, 11, 12, 13)


class Interpreter(NamedTuple):
    """A CPython of this machine."""

    name: str  # '3.8'
    version: tuple[int, int]
    path: str

    def __str__(self) -> str:
        return self.path


def _candidates(name: str) -> list[str]:
    versions = Path.home() / '.pyenv' / 'versions'
    found = [str(path) for path in sorted(versions.glob(f'{name}.*/bin/python{name}'))]
    on_path = shutil.which(f'python{name}')
    if on_path:
        found.append(on_path)
    if name == '{}.{}'.format(*sys.version_info):
        # The one we run in comes first: a wheel installed for it is then the matching one.
        found.insert(0, sys.executable)
    return found


def _is_cpython(path: str, name: str) -> bool:
    # Run it, as the file may be the shim of a version manager, of a version that isn't there.
    code = 'import sys; print(sys.implementation.name, "%d.%d" % sys.version_info[:2])'
    try:
        run = subprocess.run([path, '-I', '-S', '-c', code], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.stdout.decode().split() == ['cpython', name]


@cache
def find_interpreter(minor: int) -> Interpreter | None:
    """Return a working CPython 3.`minor` of this machine."""
    name = f'3.{minor}'
    for path in _candidates(name):
        if _is_cpython(path, name):
            return Interpreter(name, (3, minor), path)
    return None


def find_interpreters() -> list[Interpreter]:
    """Return one CPython for each supported minor version that this machine has."""
    return [found for found in map(find_interpreter, MINORS) if found]


def bare_command(python: object = sys.executable) -> list[str]:
    """Return the command of a bare peer: no site packages, no environment, the BIOS script."""
    from across import get_bios

    return [str(python), '-I', '-S', '-c', get_bios()]
