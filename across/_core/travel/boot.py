"""The first code that a bare peer is sent: makes the library importable there and starts it.

It is executed by the BIOS script in a namespace of its own, with what `bios.make_blob` packed, and
goes away when the process does.

Layer: travel. Standard library only; imports nothing of ours, as nothing of ours is there yet.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the other takes milliseconds
import marshal
import os
import sys
import threading
import time
from _frozen_importlib import ModuleSpec  # what importlib.machinery has, without importing that

TYPE_CHECKING = False  # importing `typing` would cost milliseconds
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any, Callable

# Seconds that threads of user code get to finish once the connection has ended.
LINGER_TIME = 5.0


class BlobImporter:
    """Finder and loader of the modules that came with the boot blob.

    Args:
        modules: For each name, whether it is a package, the file it was made from, and its code or
            source.
    """

    #: See `importer.ModuleLoader`: the rest of these packages comes from the same process.
    from_owner = True

    def __init__(self, modules: dict[str, tuple[bool, str, CodeType | str]]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        if fullname not in self._modules:
            return None
        is_package, filename, _ = self._modules[fullname]
        # A package gets an empty search path: what is not in the blob is left to the `Importer`.
        spec = ModuleSpec(fullname, self, origin=filename, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, fullname: str) -> CodeType:
        _, filename, content = self._modules[fullname]
        if not isinstance(content, str):
            return content
        # As for compiled code, docstrings and assertions are left out.
        return compile(content, filename, 'exec', dont_inherit=True, optimize=2)

    def get_source(self, fullname: str) -> str | None:
        content = self._modules[fullname][2]
        return content if isinstance(content, str) else None

    def fetch_source(self, fullname: str) -> str | None:
        """The source also where code was sent; see `importer.ModuleLoader.fetch_source`."""
        from across._core.travel.importer import fetch_source

        return self.get_source(fullname) or fetch_source(fullname)

    def is_package(self, fullname: str) -> bool:
        return self._modules[fullname][0]


def run(
    read: Callable[[int], bytes], modules: dict[str, tuple[bool, str, CodeType | str]], entry: str
) -> None:
    """Run the library until its connection has ended.

    Args:
        read: Reads that many bytes from the standard input.
        modules: See `BlobImporter`.
        entry: The function to run, ``package.module:function``. Its argument is a dict of options.
    """
    options = marshal.loads(read(int(read(8), 16)))
    _ignore_interrupts()
    sys.meta_path.insert(0, BlobImporter(modules))
    module, _, function = entry.partition(':')
    start: Any = getattr(__import__(module, fromlist=[function]), function)
    try:
        start(options)
    finally:
        # Threads that user code left behind would keep the process alive, and an atexit handler may
        # hang. The normal end of the interpreter is waiting for them meanwhile.
        threading.Thread(target=_end_later, daemon=True).start()


def _ignore_interrupts() -> None:
    """Keep a Ctrl-C from ending this process.

    A terminal sends it to every process of the foreground group: to the caller, and to a peer that
    runs as its child. The caller decides what it means; often the connection shall go on. A handler
    that does nothing, as SIG_IGN would be inherited by the programs that user code starts.
    """
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    # The process that spawned this one blocked the signal, lest it come before this handler is set.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _end_later() -> None:
    time.sleep(LINGER_TIME)
    os._exit(0)


if 'modules' in globals():  # executed by the BIOS script, not imported
    run(*(globals()[name] for name in ('read', 'modules', 'entry')))
