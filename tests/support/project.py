"""The source of a project that nobody here wrote, from the package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

__all__ = ['PROJECT', 'fetch_project']

PROJECT = 'packaging==26.0'

# Kept between runs: building its metadata, as pip insists on doing, takes seconds.
_CACHE = Path(__file__).parents[2] / '.pytest_cache' / 'projects'


def fetch_project() -> Path:
    """Return the folder with the unpacked source distribution.

    Raises:
        ConnectionError: It is not there, and can't be downloaded; says what is skipped.
    """
    archive = _CACHE / f'{PROJECT.replace("==", "-")}.tar.gz'
    if not archive.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(
            [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary=:all:']
            + ['--retries=0', '--timeout=10', f'--dest={_CACHE}', PROJECT],
            capture_output=True,
            text=True,
        )
        if got.returncode:
            raise ConnectionError(
                f'the test suite of {PROJECT}, which pip cannot download: '
                + got.stderr.strip()[-200:]
            )
    folder = _CACHE / archive.name[: -len('.tar.gz')]
    if not folder.exists():
        _unpack(archive, folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    unpacked = _CACHE / f'unpacking-{os.getpid()}'
    with tarfile.open(archive) as file:
        file.extractall(unpacked)
    try:
        (unpacked / folder.name).rename(folder)
    except OSError:
        pass  # another process was faster
    shutil.rmtree(unpacked)
