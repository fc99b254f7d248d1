"""Print what each module of the boot blob costs, in compressed bytes: how much less without it.

Usage: python tests/bench/blob_size.py [CACHE_TAG]
"""

from __future__ import annotations

import marshal
import sys
import zlib
from typing import Any

from across import Options
from across._core.travel import bios

BUDGET = 24 * 1024


def measure(namespace: dict[str, Any]) -> int:
    """The size of a namespace as it is sent."""
    return len(zlib.compress(marshal.dumps(namespace), 6))


def main() -> None:
    cache_tag = sys.argv[1] if len(sys.argv) > 1 else sys.implementation.cache_tag
    namespace: Any = bios.namespace_of_blob(cache_tag)
    modules = namespace['modules']
    total = measure(namespace)
    sizes = {}
    for name in modules:
        rest = {other: content for other, content in modules.items() if other != name}
        sizes[name] = total - measure({**namespace, 'modules': rest})
    sizes[bios.BOOT] = total - measure({**namespace, 'boot': None})
    for name, size in sorted(sizes.items(), key=lambda item: item[1]):
        print(f'{size:7}  {name}')
    sent = len(bios.make_blob(cache_tag, Options().portable()))
    print(f'{sent:7}  bytes in all for {cache_tag}, of {BUDGET}')


if __name__ == '__main__':
    main()
