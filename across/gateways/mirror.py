"""The receiving side of `RSync`: makes a directory like one on another machine.

What passes over the channel, after the function was called:

====================================  =============================================================
lists of entries, then None           what the other side has
lists of (number, checksum), None     from here: files that are missing or differ; the checksum of
                                      the content where only that can tell
for each: a number, pieces, None      the content; or just None where the checksum is right already;
                                      or False where the file is gone
a number                              from here: that one is in place
True                                  from here: all is done
====================================  =============================================================

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .listing import DIRECTORY, FILE, LINK_INSIDE, Entry

if TYPE_CHECKING:
    from .channel import Channel

#: How many entries go into one item.
BATCH = 500
# Bytes read at once for a checksum.
_BLOCK = 1 << 20


def receive(channel: Channel, target: str, delete: bool) -> None:
    """Take in a directory.

    Args:
        target: Where it goes, from the working directory.
        delete: Remove what the other side does not have.

    Raises:
        OSError: Something can't be written.
    """
    top = os.path.abspath(target)
    entries: list[Entry] = []
    for batch in iter(channel.receive, None):
        entries += map(Entry._make, batch)
    os.makedirs(os.path.dirname(top), exist_ok=True)
    if delete:
        _delete_others(top, {entry.path for entry in entries})
    wanted = _prepare(top, entries)
    for start in range(0, len(wanted), BATCH):
        channel.send(wanted[start : start + BATCH])
    channel.send(None)
    for number, _ in wanted:
        _receive_file(channel, _path(top, entries[number]), entries[number])
        channel.send(number)
    # Now that all is in them, which changes their times; and they may become unwritable.
    for entry in reversed(entries):
        if entry.kind == DIRECTORY:
            os.chmod(_path(top, entry), entry.mode)
            os.utime(_path(top, entry), ns=(entry.modified, entry.modified))
    channel.send(True)


def _path(top: str, entry: Entry) -> str:
    return os.path.join(top, *entry.path)


def _delete_others(folder: str, known: set[tuple[str, ...]], parts: tuple[str, ...] = ()) -> None:
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        path, below = os.path.join(folder, name), (*parts, name)
        if below not in known:
            _remove(path)
        elif not os.path.islink(path):
            _delete_others(path, known, below)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        _open_up(path)
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _open_up(folder: str) -> None:
    """Let us remove what is in a directory, whatever its mode."""
    with suppress(OSError):
        os.chmod(folder, stat.S_IRWXU)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                _open_up(path)


def _prepare(top: str, entries: list[Entry]) -> list[tuple[int, bytes | None]]:
    """Make directories and links; say which files are needed."""
    wanted: list[tuple[int, bytes | None]] = []
    for number, entry in enumerate(entries):
        path = _path(top, entry)
        if entry.kind == DIRECTORY:
            _make_directory(path, is_top=not entry.path)
        elif entry.kind == FILE:
            found = _look_at_file(path)
            if found is None:
                wanted.append((number, None))
            elif entry.is_same_file(found):
                _set_mode(path, entry, found)
            else:
                wanted.append((number, _checksum(path) if found.st_size == entry.size else None))
        else:
            _make_link(path, _target_of(entry, top))
    return wanted


def _target_of(entry: Entry, top: str) -> str:
    return os.path.join(top, entry.target) if entry.kind == LINK_INSIDE else entry.target


def _make_directory(path: str, is_top: bool) -> None:
    exists = os.path.isdir(path) and (is_top or not os.path.islink(path))
    if not exists:
        _remove(path)
        os.mkdir(path)
    os.chmod(path, os.stat(path).st_mode | stat.S_IRWXU)


def _look_at_file(path: str) -> os.stat_result | None:
    """The status of a file; None if there is none, and nothing else in its place any more."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode):
        return found
    _remove(path)
    return None


def _set_mode(path: str, entry: Entry, found: os.stat_result) -> None:
    if stat.S_IMODE(found.st_mode) != entry.mode:
        os.chmod(path, entry.mode)


def _make_link(path: str, target: str) -> None:
    if os.path.islink(path) and os.readlink(path) == target:
        return
    _remove(path)
    os.symlink(target, path)


def _receive_file(channel: Channel, path: str, entry: Entry) -> None:
    piece = channel.receive()
    if piece is False:
        return
    if piece is None:
        os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.modified, entry.modified))
        return
    # Put in place when it is complete: nobody sees half of it.
    descriptor, name = tempfile.mkstemp(prefix='.across-', dir=os.path.dirname(path))
    try:
        with open(descriptor, 'wb') as file:
            while piece is not None:
                file.write(piece)
                piece = channel.receive()
        os.chmod(name, entry.mode)
        os.utime(name, ns=(entry.modified, entry.modified))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _checksum(path: str) -> bytes | None:
    try:
        with open(path, 'rb') as file:
            return checksum(file)
    except OSError:
        return None  # unreadable; it will be replaced


def checksum(file: Any) -> bytes:
    """A hash of what is left in a file."""
    found = hashlib.sha256()
    for block in iter(lambda: file.read(_BLOCK), b''):
        found.update(block)
    return found.digest()
