"""The peer's side of exported modules: importing what the owner at the other end has.

Layer: travel. Goes to bare peers: what is seldom needed is in `resources` and `mainmodule`.
"""

from __future__ import annotations

import marshal
import sys
import threading
import zlib
from _frozen_importlib import ModuleSpec  # what importlib.machinery has, without importing that
from zipimport import zipimporter

from ..errors import AcrossError, OperationError

TYPE_CHECKING = False  # importing `typing` would cost milliseconds
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any, Callable, Iterable, Sequence

#: What a bare peer imports from its owner from the start: the library, and what it depends on.
ALWAYS_EXPORTED = ('across', 'cloudpickle', 'tblib')

_mutex = threading.Lock()
_current: Importer | None = None


class Importer:
    """A finder for ``sys.meta_path`` that gets modules from the process at the other end.

    Modules of accepted names come before what is installed here. A module that has been imported
    already stays as it is, and so do the submodules of a package that has. ``__main__`` is the
    exception: once accepted, it is replaced by a module made of the owner's definitions, which is
    fetched when it is first used.

    Args:
        ask: Runs the method of that name of the owner's `Exporter` with the arguments given, and
            returns its result.
        here: Names this process in messages: ``wonderland (CPython 3.8.18)``.

    Threads: any.
    """

    def __init__(self, ask: Callable[..., Any], here: str) -> None:
        self._ask = ask
        self._here = here
        self._names: frozenset[str] = frozenset()
        self._main: ModuleType | None = None
        self._former_main: ModuleType | None = None

    def accept(self, names: Iterable[str]) -> None:
        """Import these modules from the owner from now on, with all that is inside them."""
        accepted = frozenset(names)
        with _mutex:
            self._names |= accepted
        if '__main__' in accepted and self._main is None:
            from .mainmodule import make_main

            self._former_main = sys.modules.get('__main__')
            self._main = sys.modules['__main__'] = make_main(self.load)

    def install(self) -> None:
        """Make imports come here first.

        Raises:
            OperationError: Another connection supplies modules to this process.
        """
        global _current
        with _mutex:
            if _current is not None and _current is not self:
                raise OperationError(
                    'this process accepts exported modules from another connection; '
                    'it can again once that one is closed'
                )
            _current = self
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """Let imports go their usual way again. What was imported stays and works."""
        global _current
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        main, self._main = self._main, None
        if main is not None and sys.modules.get('__main__') is main and self._former_main:
            sys.modules['__main__'] = self._former_main
        with _mutex:
            if _current is self:
                _current = None

    def abandon(self) -> None:
        """In a forked child: the connection is not there, nor who may hold the lock."""
        global _mutex
        _mutex = threading.Lock()
        self.uninstall()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Find a module; part of the protocol of ``sys.meta_path``.

        Raises:
            ModuleNotFoundError: The name was accepted, and the owner has no such module.
            ImportError: The module cannot travel, or the connection is gone.
        """
        top, dot, _ = fullname.partition('.')
        if top not in self._names or fullname == '__main__' or (dot and _is_local(fullname)):
            return None
        loader = self.load(fullname)
        spec = ModuleSpec(fullname, loader, origin=loader.filename)  # type: ignore[arg-type]
        spec.has_location = loader.filename is not None  # or else there is no __file__
        if loader.locations is not None:
            entry = _Entry(loader.modules)
            spec.submodule_search_locations = list(loader.locations)
            for location in loader.locations:
                # For pkgutil, and lest the folder of that name on this machine be looked at.
                sys.path_importer_cache[location] = entry
        return spec

    def load(
        self, fullname: str, cache_tag: str | None = sys.implementation.cache_tag
    ) -> ModuleLoader:
        """Get a module from the owner, not executed yet; raises like `find_spec`."""
        found = self.ask(fullname, 'find_module', fullname, cache_tag)
        if found is None:
            raise ModuleNotFoundError(
                f'No module named {fullname!r}: {fullname.partition(".")[0]!r} is imported from '
                f'the process that exported it to {self._here}, and that has no such module',
                name=fullname,
            )
        refusal = found[-1]
        if refusal is not None:
            raise ImportError(refusal, name=fullname)
        return ModuleLoader(self, fullname, *found[:-1])

    def ask(self, fullname: str, method: str, *args: object) -> Any:
        """Ask the owner on behalf of a module.

        Raises:
            ImportError: The connection is gone, or the owner failed.
        """
        try:
            return self._ask(method, *args)
        except AcrossError as exc:
            raise ImportError(
                f'cannot get {fullname!r} from the process that exported it: {exc}', name=fullname
            ) from exc


def _is_local(fullname: str) -> bool:
    """Whether the package that this module is in was imported from this machine."""
    parent = sys.modules.get(fullname.rpartition('.')[0])
    loader = getattr(getattr(parent, '__spec__', None), 'loader', None)
    return parent is not None and not getattr(loader, 'from_owner', False)


class ModuleLoader(zipimporter):
    """The loader of one module that came from the owner.

    It is a `zipimporter` because libraries go to the file system for the data of their packages
    unless the package is in an archive, and ask the loader then (``jinja2.PackageLoader``, and
    ``importlib.resources.files`` of Python 3.9).
    """

    #: Tells this kind of loader, and the one of a bare peer's first modules, from all others.
    from_owner = True
    prefix = ''

    def __init__(
        self,
        importer: Importer,
        fullname: str,
        filename: str | None,
        locations: list[str] | None,
        modules: list[tuple[str, bool]],
        code: bytes | None,
        source: bytes | None,
        package: str,
    ) -> None:
        # Not the parent's: that opens an archive.
        self._importer = importer
        self.fullname = fullname
        self.filename = filename
        self.locations = locations
        self.modules = modules
        self.package = package
        self._code = code
        self._source = source

    def __repr__(self) -> str:
        return f'<module {self.fullname!r} from another process>'

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(self.fullname), module.__dict__)

    def get_code(self, fullname: str) -> CodeType:
        if self._code is not None:
            code: CodeType = marshal.loads(zlib.decompress(self._code))
            return code
        filename = self.filename or f'<namespace {fullname}>'
        return compile(self._text(), filename, 'exec', dont_inherit=True)

    def get_source(self, fullname: str) -> str | None:
        return None if self._source is None else self._text()

    def _text(self) -> str:
        return zlib.decompress(self._source or b'').decode('utf-8', 'surrogatepass')

    def fetch_source(self, fullname: str) -> str | None:
        """The source also of a module that came without one, for a peer of this process.

        Asks the owner, which `get_source` must not do: that is called while errors are shown.
        """
        return self.get_source(fullname) or fetch_source(fullname)

    def is_package(self, fullname: str) -> bool:
        return self.locations is not None

    def get_filename(self, fullname: str) -> str:
        if self.filename is None:
            raise ImportError(f'{fullname!r} is a namespace package', name=fullname)
        return self.filename

    def get_data(self, path: str) -> bytes:
        """Read a file below the package, by the path that it has in the owner's process."""
        if path == self.filename and self._source is not None and self.locations is None:
            return zlib.decompress(self._source)
        from .resources import get_data

        return get_data(self, path)

    def get_resource_reader(self, fullname: str) -> Any:
        if self.locations is None:
            return None
        from .resources import ResourceReader

        return ResourceReader(self)

    @property
    def archive(self) -> str:  # type: ignore[override]
        from .resources import archive_of

        return archive_of(self)

    def _get_files(self) -> dict[str, None]:
        from .resources import files_of

        return files_of(self)

    _files = property(_get_files)  # before 3.13

    def ask(self, method: str, *args: object) -> Any:
        """Ask the owner; see `Importer.ask`."""
        return self._importer.ask(self.fullname, method, *args)


class _Entry:
    """Stands for a folder of the owner in ``sys.path_importer_cache``."""

    def __init__(self, modules: list[tuple[str, bool]]) -> None:
        self._modules = modules

    def find_spec(self, fullname: str, target: object = None) -> None:
        return None  # the importer was asked before

    def iter_modules(self, prefix: str = '') -> list[tuple[str, bool]]:
        return [(prefix + name, is_package) for name, is_package in self._modules]


def fetch_source(fullname: str) -> str | None:
    """Get the source of a module from the process that it was imported from, if that is there."""
    importer = _current
    if importer is None:
        return None
    return importer.load(fullname, cache_tag='').get_source(fullname)
