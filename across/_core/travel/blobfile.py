"""Keeps the boot blob in a file, beside the compiled modules that Python itself keeps.

Making it takes several times as long as starting a peer, and short programs would pay that each
time. Like ``.pyc`` files, it is remade when a source has changed, written where Python may write
its own, and trusted as they are.

Layer: travel. Standard library only.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys
from typing import Callable

from .sources import find_spec


def kept(cache_tag: str, modules: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
    """Return what was kept for that version of Python, or make and keep it.

    Args:
        cache_tag: Names the version.
        modules: What the content is made of.
        make: Makes it.
    """
    path = _path(cache_tag)
    state = _state_of(modules) if path else None
    if path is None or state is None:
        return make()
    try:
        with open(path, 'rb') as file:
            if file.read(len(state)) == state:
                return file.read()
    except OSError:
        pass
    content = make()
    _write(path, state + content)
    return content


def _path(cache_tag: str) -> str | None:
    # In a bare peer, file names are those of another machine.
    is_here = not hasattr(globals().get('__loader__'), 'from_owner')
    if not is_here or sys.dont_write_bytecode or not cache_tag.replace('-', '').isalnum():
        return None
    try:
        folder = os.path.dirname(importlib.util.cache_from_source(__file__))
    except NotImplementedError:
        return None
    return os.path.join(folder, f'blob.{sys.implementation.cache_tag}.for.{cache_tag}')


def _state_of(modules: tuple[str, ...]) -> bytes | None:
    """What tells whether a source has changed; None if the sources are not in files."""
    found = []
    for name in modules:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            return None
        try:
            status = os.stat(spec.origin)
        except OSError:
            return None
        found.append((name, spec.origin, status.st_size, status.st_mtime_ns))
    state = marshal.dumps((sys.version, found))
    return b'%08x' % len(state) + state


def _write(path: str, content: bytes) -> None:
    own = f'{path}.{os.getpid()}'
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(own, 'wb') as file:
            file.write(content)
        os.replace(own, path)  # a reader finds all of it or nothing
    except OSError:
        pass  # Python may not write here, then this isn't kept either
