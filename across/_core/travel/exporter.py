"""The owner's side of exported modules: what a peer may import from this process.

Layer: travel. The peer's `Importer` calls the public methods of `Exporter` over the connection;
what they return is plain data.
"""

from __future__ import annotations

import marshal
import sys
import threading
import zlib
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pkgutil import iter_modules
from types import CodeType, ModuleType
from typing import Iterator, NamedTuple

from ..errors import OperationError
from .importer import ALWAYS_EXPORTED
from .shrink import blank_source, compile_small
from .sources import find_spec, is_extension, is_namespace, read_code, read_source, search_path

_small: dict[tuple[str, bool], bytes] = {}  # of the library's own modules, which do not change


class ModuleInfo(NamedTuple):
    """What a peer needs to import one module.

    Attributes:
        filename: Where the module is in the owner's process; None for a namespace package.
        locations: Where the submodules of a package are in the owner's process; None for a plain
            module.
        modules: The modules in a package, and of each whether it is a package itself.
        code: Marshalled and compressed code, where it runs on the peer's Python and can be had.
        source: The source as compressed UTF-8, where there is one to show.
        package: What relative imports are relative to.
        refusal: Why the module cannot travel; None if it can.
    """

    filename: str | None
    locations: list[str] | None
    modules: list[tuple[str, bool]]
    code: bytes | None
    source: bytes | None
    package: str
    refusal: str | None = None


class Exporter:
    """The modules that one peer may import from this process.

    The library itself and what it depends on are always among them.

    Threads: any, for all methods; none waits for the peer.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._names = frozenset(ALWAYS_EXPORTED)

    def add(self, *modules: str | ModuleType) -> tuple[str, ...]:
        """Let the peer import more modules, with all that is inside them.

        Returns:
            The names of the modules.

        Raises:
            ValueError: One of them is a submodule, is compiled into the interpreter, is a C
                extension, or is a ``__main__`` that has no source. None was added then.
            ModuleNotFoundError: There is no such module here.
            TypeError: Something is neither a module nor a name.
        """
        names = tuple(_check(module) for module in modules)
        with self._mutex:
            self._names |= frozenset(names)
        return names

    @contextmanager
    def offer(self, *modules: str | ModuleType) -> Iterator[tuple[str, ...]]:
        """Add modules for a block that tells the peer; if it refuses them, they are taken back.

        The block is given their names. Raises as `add` does.
        """
        before = self._names
        names = self.add(*modules)  # first: the peer may ask for them at once
        try:
            yield names
        except OperationError:
            with self._mutex:
                self._names -= frozenset(names) - before
            raise

    def find_module(self, fullname: str, cache_tag: str) -> tuple[object, ...] | None:
        """Describe a module to a peer that wants to import it.

        Args:
            fullname: The module's name.
            cache_tag: ``sys.implementation.cache_tag`` of the peer, or anything else to be given
                the source in any case.

        Returns:
            The fields of a `ModuleInfo`; None if the module isn't exported or isn't there.
        """
        if not self._is_exported(fullname):
            return None
        info = describe_main() if fullname == '__main__' else describe(fullname, cache_tag)
        return tuple(info) if info else None

    def list_resources(self, package: str, folder: str = '') -> list[tuple[str, bool]] | None:
        """List a folder inside a package.

        Args:
            package: The package's name.
            folder: The path from there, with slashes; the package itself if empty.

        Returns:
            The name of each entry and whether it is a folder; None if there is no such folder.
        """
        from .files import list_folder

        return list_folder(package, folder) if self._is_exported(package) else None

    def read_resource(self, package: str, path: str) -> bytes | None:
        """Read a file inside a package; None if there is no such file.

        Args:
            package: The package's name.
            path: The path from there, with slashes.
        """
        from .files import read_file

        return read_file(package, path) if self._is_exported(package) else None

    def _is_exported(self, fullname: str) -> bool:
        return fullname.partition('.')[0] in self._names


def _check(module: str | ModuleType) -> str:
    name = module.__name__ if isinstance(module, ModuleType) else module
    if not isinstance(name, str):
        raise TypeError(f'export() takes modules and names of modules, not {name!r}')
    top, dot, _ = name.partition('.')
    if dot:
        raise ValueError(
            f'cannot export the submodule {name!r}; export {top!r} in its place, '
            'the submodules of a module come along'
        )
    if name == '__main__':
        _main_source()
        return name
    spec = find_spec(name) if name else None
    if spec is None:
        missing = f'cannot export {name!r}: there is no such module here'
        raise ModuleNotFoundError(missing, name=name)
    if spec.origin in ('built-in', 'frozen'):
        raise ValueError(
            f'cannot export {name!r}: it is part of the interpreter, and each has its own'
        )
    if is_extension(spec):
        raise ValueError(f'cannot export {_refuse_extension(name)}')
    return name


def _refuse_extension(name: str) -> str:
    return f'{name!r}: it is a C extension and cannot travel; it has to be installed on the peer'


def describe(fullname: str, cache_tag: str) -> ModuleInfo | None:
    """Describe a module of this process, exported or not; see `Exporter.find_module`."""
    spec = find_spec(fullname)
    if spec is None:
        return None
    locations = search_path(fullname, spec)
    modules = [(module.name, module.ispkg) for module in iter_modules(locations or [])]
    package = fullname if locations is not None else fullname.rpartition('.')[0]
    if is_namespace(spec):
        return ModuleInfo(None, locations, modules, None, zlib.compress(b''), package)
    if is_extension(spec):
        return ModuleInfo(spec.origin, None, [], None, None, package, _refuse_extension(fullname))
    if fullname.partition('.')[0] in ALWAYS_EXPORTED:
        code, text = _read_small(spec, cache_tag)
    else:
        code, text = _read(spec, cache_tag)
    refusal = None if code or text is not None else _refuse_compiled(fullname, cache_tag)
    return ModuleInfo(spec.origin, locations, modules, code, text, package, refusal)


def _refuse_compiled(name: str, cache_tag: str) -> str:
    return (
        f'{name!r}: its source cannot be had, and its compiled code is for '
        f'{sys.implementation.cache_tag}, not for {cache_tag or "the peer"}'
    )


def _read(spec: ModuleSpec, cache_tag: str) -> tuple[bytes | None, bytes | None]:
    source = read_source(spec)
    code = read_code(spec, source) if cache_tag == sys.implementation.cache_tag else None
    return (
        zlib.compress(marshal.dumps(code)) if code else None,
        None if source is None else zlib.compress(source.encode('utf-8', 'surrogatepass')),
    )


def _read_small(spec: ModuleSpec, cache_tag: str) -> tuple[bytes | None, bytes | None]:
    """Read a module of the library; its code travels without docstrings, comments and source."""
    same = cache_tag == sys.implementation.cache_tag
    known = _small.get((spec.name, same))
    if known is None:
        content = small_content(spec, same)
        if content is None:
            return None, None
        plain = marshal.dumps(content) if isinstance(content, CodeType) else content.encode()
        known = _small[spec.name, same] = zlib.compress(plain, 9)
    return (known, None) if same else (None, known)


def small_content(spec: ModuleSpec, as_code: bool) -> CodeType | str | None:
    """The code of a module, or its source, without what only people need."""
    source = None
    if not as_code or not hasattr(spec.loader, 'from_owner'):
        source = read_source(spec)
    if not as_code:
        return None if source is None else blank_source(source)
    if source is None:  # in a peer that was itself sent code only
        return read_code(spec, None)
    return compile_small(source, spec.origin or spec.name)


def _main_source() -> tuple[ModuleType, str]:
    """The main module of this process, and its source.

    Raises:
        ValueError: It has none.
    """
    main = sys.modules['__main__']
    spec = getattr(main, '__spec__', None)
    if spec is None:  # neither `python -m` nor an archive
        filename = getattr(main, '__file__', None)
        loader = getattr(main, '__loader__', None)
        # As if it had been found by the import system, which reads it by its declared encoding.
        spec = ModuleSpec('__main__', loader, origin=filename) if filename else None
    source = read_source(spec) if spec else None
    if source is None:
        raise ValueError(
            "cannot export '__main__': it has no source here (an interactive session, or code "
            'given with -c); its functions can be called without export, they travel by value'
        )
    return main, source


def describe_main() -> ModuleInfo:
    """Describe the main module of this process; the peer takes what it defines from its source."""
    main, source = _main_source()
    filename = getattr(main, '__file__', None)
    package = getattr(main, '__package__', None) or ''
    return ModuleInfo(filename, None, [], None, zlib.compress(source.encode()), package)
