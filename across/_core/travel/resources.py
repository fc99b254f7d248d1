"""The peer's side of resources: data files inside exported packages.

Layer: travel. Not part of what a bare peer is first sent.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import IO, TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from .importer import ModuleLoader


def _not_found(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


class ResourcePath:
    """A file or folder inside a package of the owner; what `importlib.resources.files` gives."""

    def __init__(self, loader: ModuleLoader, path: str = '', is_folder: bool | None = True) -> None:
        self._loader = loader
        self._path = path
        self._is_folder = is_folder  # None: not known yet

    def __repr__(self) -> str:
        return f'<resource {self._path!r} of {self._loader.package!r} in another process>'

    def __str__(self) -> str:
        return os.path.join((self._loader.locations or [''])[0], self._path)

    @property
    def name(self) -> str:
        return self._path.rpartition('/')[2] or self._loader.package.rpartition('.')[2]

    def is_dir(self) -> bool:
        if self._is_folder is None:
            self._is_folder = self._list(self._path) is not None
        return self._is_folder

    def is_file(self) -> bool:
        if self._is_folder:
            return False
        folder, _, name = self._path.rpartition('/')
        return (name, False) in (self._list(folder) or ())

    def _list(self, folder: str) -> list[tuple[str, bool]] | None:
        found = self._loader.ask('list_resources', self._loader.package, folder)
        return None if found is None else [(name, is_folder) for name, is_folder in found]

    def iterdir(self) -> Iterator[ResourcePath]:
        entries = self._list(self._path)
        if entries is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self))
        return (ResourcePath(self._loader, self._join(name), kind) for name, kind in entries)

    def _join(self, *parts: str) -> str:
        return '/'.join(filter(None, (self._path, *parts)))

    def joinpath(self, *descendants: str | os.PathLike[str]) -> ResourcePath:
        parts = [part for path in descendants for part in os.fspath(path).split('/')]
        return ResourcePath(self._loader, self._join(*parts), None) if parts else self

    __truediv__ = joinpath

    def read_bytes(self) -> bytes:
        data = self._loader.ask('read_resource', self._loader.package, self._path)
        if data is None:
            raise _not_found(str(self))
        return bytes(data)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        text: str = self.open('r', encoding=encoding, errors=errors).read()
        return text

    def open(self, mode: str = 'r', *args: Any, **kwargs: Any) -> IO[Any]:
        if mode not in ('r', 'rt', 'rb'):
            raise ValueError(f'resources can be read only, not opened with mode {mode!r}')
        data = io.BytesIO(self.read_bytes())
        if 'b' in mode:
            return data
        if not args and kwargs.get('encoding') is None:
            kwargs['encoding'] = 'utf-8'  # as for sources; not what this machine is set to
        return io.TextIOWrapper(data, *args, **kwargs)


class ResourceReader:
    """What loaders give to `importlib.resources`: ``files`` is for 3.10 and newer."""

    def __init__(self, loader: ModuleLoader) -> None:
        self._root = ResourcePath(loader)

    def files(self) -> ResourcePath:
        return self._root

    def open_resource(self, resource: str) -> IO[bytes]:
        return self._root.joinpath(resource).open('rb')

    def resource_path(self, resource: str) -> str:
        raise _not_found(resource)  # so they are copied to a file where a file is a must

    def is_resource(self, path: str) -> bool:
        return self._root.joinpath(path).is_file()

    def contents(self) -> Iterator[str]:
        return (entry.name for entry in self._root.iterdir())


def get_data(loader: ModuleLoader, path: str) -> bytes:
    """Read a file by its path in the owner's process, if it is below the loader's package."""
    if loader.locations is not None:
        roots = loader.locations
    else:
        roots = [os.path.dirname(loader.filename or '')] if loader.package else []
    for root in roots:
        if path.startswith(root + os.sep):
            inside = path[len(root) + 1 :].replace(os.sep, '/')
            data = loader.ask('read_resource', loader.package, inside)
            if data is not None:
                return bytes(data)
    raise _not_found(path)


def archive_of(loader: ModuleLoader) -> str:
    """The folder of the owner that the top-level package is in, in the place of an archive."""
    depth = loader.package.count('.') + 1
    folder = loader.locations[0] if loader.locations else os.path.dirname(loader.filename or '')
    for _ in range(depth if loader.package else 0):
        folder = os.path.dirname(folder)
    return folder if sys.version_info[:2] != (3, 9) else _make_archive(folder, loader)


def files_of(loader: ModuleLoader) -> dict[str, None]:
    """The files below a package, by their paths from the `archive_of` it."""
    start = loader.package.replace('.', os.sep)
    found: dict[str, None] = {}
    folders = [ResourcePath(loader)]
    while folders:
        for entry in folders.pop().iterdir():
            if entry.is_dir():
                folders.append(entry)
            else:
                found[os.path.join(start, entry._path)] = None
    return found


def _make_archive(folder: str, loader: ModuleLoader) -> str:
    """An archive in the eyes of Python 3.9.

    Its ``importlib.resources.files`` asks no resource reader. It makes a `zipfile.Path` of the
    loader's ``archive``, which keeps what is a `CompleteDirs` already and opens anything else.
    """
    from zipfile import CompleteDirs

    class Archive(str, CompleteDirs):
        filename = folder

        def __init__(self, folder: str) -> None:
            pass  # there is no file to open

        def namelist(self) -> list[str]:
            names = list(files_of(loader))
            implied: Any = CompleteDirs._implied_dirs  # type: ignore[attr-defined]
            return names + list(implied(names))

        def open(self, name: Any, *args: Any, **kwargs: Any) -> IO[bytes]:
            return io.BytesIO(get_data(loader, os.path.join(folder, name)))

        def __del__(self) -> None:
            pass

    return Archive(folder)
