"""The owner's side of resources: the files inside the packages of this process.

Layer: travel. Packages may be folders, archives, or whatever has a resource reader.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator
from zipimport import zipimporter

from .sources import find_spec, search_path


def list_folder(package: str, folder: str) -> list[tuple[str, bool]] | None:
    """List a folder inside a package; see `Exporter.list_resources`."""
    found: dict[str, bool] = {}
    exists = False
    for entry in _find(package, folder):
        if entry.is_dir():
            exists = True
            for child in entry.iterdir():
                found.setdefault(child.name, child.is_dir())
    return sorted(found.items()) if exists else None


def read_file(package: str, path: str) -> bytes | None:
    """Read a file inside a package; see `Exporter.read_resource`."""
    for entry in _find(package, path):
        if entry.is_file():
            data: bytes = entry.read_bytes()
            return data
    return None


def _find(package: str, path: str) -> Iterator[Any]:
    """Every file or folder of that path, as there may be more than one root of a package."""
    parts = [part for part in path.split('/') if part not in ('', '.')]
    if '..' in parts:
        return
    for root in _roots(package):
        entry = root
        for part in parts:
            # Step by step: archives don't take whole paths before 3.10.
            entry = entry.joinpath(part) if entry.is_dir() else None
            if entry is None or not _exists(entry):
                break
        else:
            yield entry


def _exists(entry: Any) -> bool:
    # What resource readers give has no exists(); an archive answers is_file() for what isn't there.
    exists = getattr(entry, 'exists', None)
    return bool(exists()) if exists else bool(entry.is_dir() or entry.is_file())


def _roots(package: str) -> Iterator[Any]:
    """Objects with the interface of a path (is_dir, is_file, iterdir, joinpath, read_bytes)."""
    spec = find_spec(package)
    locations = search_path(package, spec) if spec else None
    if spec is None or locations is None:
        return
    loader: Any = spec.loader
    folders = [location for location in locations if os.path.isdir(location)]
    if folders:
        yield from map(Path, folders)
    elif isinstance(loader, zipimporter) and not getattr(loader, 'from_owner', False):
        from zipfile import Path as ZipPath

        for location in locations:
            inside = os.path.relpath(location, loader.archive).replace(os.sep, '/')
            yield ZipPath(loader.archive, inside + '/')
    else:
        get_reader = getattr(loader, 'get_resource_reader', None)
        reader: Any = get_reader(package) if get_reader else None
        if hasattr(reader, 'files'):
            yield reader.files()
