"""What there is in a directory, as it travels to those that make a copy of it.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import os
import stat
from typing import Callable, Iterator, NamedTuple

__all__ = ['DIRECTORY', 'FILE', 'LINK', 'LINK_INSIDE', 'Entry', 'list_tree']

DIRECTORY = 'directory'
FILE = 'file'
LINK = 'link'
#: A link with an absolute path that leads into the directory: over there it leads into the copy.
LINK_INSIDE = 'link inside'


class Entry(NamedTuple):
    """A directory, file or link.

    Attributes:
        path: Its parts, below the top; none for the top itself.
        kind: One of the constants above.
        mode: The permission bits.
        size: Of a file, in bytes.
        modified: When a file or directory was changed, in nanoseconds.
        target: Of a link.
    """

    path: tuple[str, ...]
    kind: str
    mode: int
    size: int = 0
    modified: int = 0
    target: str = ''

    def is_same_file(self, found: os.stat_result) -> bool:
        """Whether size and time say that a file is this one; as rsync judges it."""
        return self.size == found.st_size and self.modified == found.st_mtime_ns


def list_tree(top: str, keep: Callable[[str], bool]) -> Iterator[Entry]:
    """List a directory, each part behind the directory that it is in.

    Args:
        top: A directory or file.
        keep: Says of a path, the top excepted, whether it and all below it counts.

    Raises:
        OSError: The top can't be read.
        ValueError: There is something else than files, directories and links.
    """
    found = os.stat(top)
    if stat.S_ISDIR(found.st_mode):
        yield _directory((), found)
        yield from _below(top, top, (), keep)
    else:
        yield _file((), found)


def _below(
    top: str, folder: str, parts: tuple[str, ...], keep: Callable[[str], bool]
) -> Iterator[Entry]:
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not keep(path):
            continue
        try:
            found = os.lstat(path)
            target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else None
        except FileNotFoundError:
            continue  # gone since the directory was read
        below = (*parts, name)
        if target is not None:
            yield _link(below, top, target)
        elif stat.S_ISDIR(found.st_mode):
            yield _directory(below, found)
            yield from _below(top, path, below, keep)
        elif stat.S_ISREG(found.st_mode):
            yield _file(below, found)
        else:
            raise ValueError(
                f'cannot copy {path}: it is neither a file nor a directory nor a link; '
                'leave it out with a filter'
            )


def _directory(parts: tuple[str, ...], found: os.stat_result) -> Entry:
    return Entry(parts, DIRECTORY, stat.S_IMODE(found.st_mode), modified=found.st_mtime_ns)


def _file(parts: tuple[str, ...], found: os.stat_result) -> Entry:
    return Entry(parts, FILE, stat.S_IMODE(found.st_mode), found.st_size, found.st_mtime_ns)


def _link(parts: tuple[str, ...], top: str, target: str) -> Entry:
    if os.path.isabs(target):
        inside = os.path.relpath(target, os.path.abspath(top))
        if inside != os.pardir and not inside.startswith(os.pardir + os.sep):
            return Entry(parts, LINK_INSIDE, 0, target=inside)
    return Entry(parts, LINK, 0, target=target)
