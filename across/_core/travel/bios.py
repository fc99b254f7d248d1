"""What turns a bare Python into a peer: the script that it is started with, what that is then sent.

The script writes ``ACROSS 1 bios <cache tag>``. It skips the first line of what it reads, which is
the greeting that any peer gets, and goes on with the blob that `make_blob` returns::

    8 hexadecimal digits   size of the next part
    zlib(marshal(dict))    the namespace that `boot` is executed in: its code, the modules
    8 hexadecimal digits   size of the next part
    marshal(dict)          the options

The greeting has to be sent once more behind that, as the code in the blob waits for it.

Layer: travel.
"""

from __future__ import annotations

import marshal
import sys
import threading
import zlib
from typing import Any

from .blobfile import kept

__all__ = ['get_bios']

BOOT = 'across._core.travel.boot'
ENTRY = 'across._core.serving:serve_stdio'
OLDEST_VERSION = (3, 8)

# Made from bios/stdio.py, which explains it; a test compares them. No quote but ", and nothing that
# is special to a shell inside '…'.
_SCRIPT = (
    'import marshal,os,sys,zlib;v=sys.version_info[:2];o=v<(3,8);t="cpython-%d%d"%v if o else'
    ' sys.implementation.cache_tag;os.write(1,("ACROSS 1 bios %s"%t+chr(10)).encode());o and '
    'sys.exit("across needs Python 3.8 or newer, this is %s (%s)"%(sys.version.split()[0],sys'
    '.executable));list(iter(lambda:os.read(0,1)or sys.exit(1),chr(10).encode()));r=lambda s:'
    's and((lambda d:d+r(s-len(d)))(os.read(0,s)or sys.exit(1)))or b"";n=marshal.loads(zlib.d'
    'ecompress(r(int(r(8),16))));n["read"]=r;exec(n["boot"],n)'
)

_packed: dict[str, bytes] = {}
_mutex = threading.Lock()


def get_bios() -> str:
    """The script itself; see :func:`across.get_bios`."""
    return _SCRIPT


def refusal(cache_tag: str) -> str | None:
    """Why an interpreter can't be a peer, in one sentence; None if it can.

    Args:
        cache_tag: What it said in its first line. Interpreters older than
            ``sys.implementation.cache_tag`` say ``cpython-27``.
    """
    digits = cache_tag.partition('-')[2]
    if not digits.isdigit() or len(digits) < 2:
        return None
    version = int(digits[0]), int(digits[1:])
    if version >= OLDEST_VERSION:
        return None
    found = '.'.join(map(str, version))
    return f'across needs Python 3.8 or newer on the other side, there it is {found}'


def make_blob(cache_tag: str, options: dict[str, object]) -> bytes:
    """Make what a bare peer reads after its first line.

    Args:
        cache_tag: From that line; where it is ours, compiled code is sent.
        options: For `ENTRY`; plain values only.

    Threads: any. The first call for a Python version takes some 0.1 s where nothing can be kept.
    """
    with _mutex:
        if cache_tag not in _packed:
            _packed[cache_tag] = _with_size(kept(cache_tag, _modules(), lambda: _pack(cache_tag)))
    return _packed[cache_tag] + _with_size(marshal.dumps(options, 2))


def _with_size(data: bytes) -> bytes:
    return b'%08x' % len(data) + data


def _pack(cache_tag: str) -> bytes:
    # The highest level would take five times as long, for 2 % less.
    return zlib.compress(marshal.dumps(namespace_of_blob(cache_tag)), 6)


def _modules() -> tuple[str, ...]:
    """The modules that the blob is made of and by."""
    from .. import EAGER

    return *EAGER, BOOT, __name__, 'across._core.travel.shrink'


def namespace_of_blob(cache_tag: str) -> dict[str, Any]:
    """What `boot` is executed in, and its own code under the name ``boot``."""
    # Not imported above, as get_bios() needs none of it.
    from .. import EAGER
    from .exporter import small_content
    from .sources import find_spec

    as_code = cache_tag == sys.implementation.cache_tag

    def content(name: str) -> tuple[bool, str, object]:
        spec = find_spec(name)
        found = small_content(spec, as_code) if spec else None
        if spec is None or found is None:
            raise RuntimeError(f'the source of {name} is missing; is across installed properly?')
        return spec.submodule_search_locations is not None, str(spec.origin), found

    return {
        '__name__': BOOT,
        'boot': content(BOOT)[2],
        'modules': {name: content(name) for name in EAGER},
        'entry': ENTRY,
    }
