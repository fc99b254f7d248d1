"""Commands that run in namespaces of their own: without a network, or without a writable disk."""

from __future__ import annotations

import subprocess

import pytest

__all__ = ['without_network', 'without_writable_disk']

# Mounts are seen to one by one: a folder inside of one may be another one. What may not be changed
# stays as it is; a test has to look at what it needs.
_LOCK_DISKS = """
while read -r _ folder _; do
    mount -o remount,bind,ro "$(printf '%b' "$folder")" 2>&1
done < /proc/self/mounts > /dev/null
exec "$@"
"""


def without_network(command: list[str]) -> list[str]:
    """The command that runs a command where there is no network, not even the loopback."""
    return [*_unshare('--net'), *command]


def without_writable_disk(command: list[str]) -> list[str]:
    """The command that runs a command where all file systems are read-only."""
    return [*_unshare('--mount'), 'sh', '-c', _LOCK_DISKS, 'sh', *command]


def _unshare(kind: str) -> list[str]:
    """Skips the test where that can't be done."""
    words = ['unshare', '--user', '--map-root-user', kind]
    try:
        probe = subprocess.run([*words, 'true'], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip('no unshare here')
    if probe.returncode:
        pytest.skip(probe.stderr.strip())
    return words
