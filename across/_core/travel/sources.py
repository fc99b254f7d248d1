"""Finding modules of this process without importing them: specs, sources, compiled code.

Works through specs and loaders, not through files, so that archives and editable installs do too.

Layer: travel. Standard library only; imports nothing of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from types import CodeType

SOURCE_SUFFIXES = ('.py', '.pyw')


def find_spec(fullname: str) -> ModuleSpec | None:
    """Find a module, without importing it or the packages it is in.

    `importlib.util.find_spec` imports the parent packages. An import in the owner that nobody asked
    for may have effects, and would run in a thread that nobody expects.
    """
    module = sys.modules.get(fullname)
    spec = getattr(module, '__spec__', None)
    if spec is not None:
        return spec  # type: ignore[no-any-return]
    parent = fullname.rpartition('.')[0]
    if not parent:
        return _ask_finders(fullname, None)
    parent_spec = find_spec(parent)
    path = search_path(parent, parent_spec) if parent_spec else None
    if path is None:
        return None
    try:
        return _ask_finders(fullname, path)
    except KeyError:
        # A namespace package inside a package: its path object looks the parent up in sys.modules.
        importlib.import_module(parent)
        return _ask_finders(fullname, path)


def _ask_finders(fullname: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = getattr(finder, 'find_spec', None)
        try:
            spec = find(fullname, path) if find else None
        except ImportError:
            return None
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None


def search_path(fullname: str, spec: ModuleSpec) -> list[str] | None:
    """Where the submodules of a package are; None for a plain module."""
    # Code of a package may have extended its path when it was imported.
    path = getattr(sys.modules.get(fullname), '__path__', None)
    if path is None:
        path = spec.submodule_search_locations
    if path is None:
        return None
    # Iterating over the path of a namespace package looks its parent up in sys.modules.
    return list(getattr(path, '_path', path))


def is_namespace(spec: ModuleSpec) -> bool:
    """Whether this is a package without an ``__init__``."""
    return spec.submodule_search_locations is not None and not _has_file(spec)


def _has_file(spec: ModuleSpec) -> bool:
    return bool(spec.origin) and spec.origin != 'namespace'  # 'namespace' is how 3.8 puts it


def is_extension(spec: ModuleSpec) -> bool:
    """Whether the module is machine code in a file of its own."""
    return bool(spec.origin) and str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))


def read_source(spec: ModuleSpec) -> str | None:
    """The source of a module, decoded as the module itself says; None where there is none."""
    loader = spec.loader
    for name in ('get_source', 'fetch_source'):  # the second one: of a module that travelled here
        get_source = getattr(loader, name, None)
        try:
            source = get_source(spec.name) if get_source else None
        except ImportError:
            source = None
        if source is not None:
            return str(source)
    # Loaders that change the code on its way have no get_source(), like that of pytest.
    if not spec.origin or not spec.origin.endswith(SOURCE_SUFFIXES):
        return None
    try:
        get_data = getattr(loader, 'get_data', None) or _read_file
        return importlib.util.decode_source(get_data(spec.origin))
    except OSError:
        return None


def _read_file(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read()


def read_code(spec: ModuleSpec, source: str | None) -> CodeType | None:
    """The code of a module as this interpreter runs it; None where it can't be had."""
    get_code = getattr(spec.loader, 'get_code', None)
    try:
        if get_code is not None:
            code = get_code(spec.name)  # mostly from a cache
        elif source is not None:
            code = compile(source, spec.origin or spec.name, 'exec', dont_inherit=True)
        else:
            code = None
    except (ImportError, SyntaxError):
        return None  # the peer compiles the source, and so the error is raised where it is imported
    return code if isinstance(code, CodeType) else None
