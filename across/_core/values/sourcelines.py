"""Lines of source that exist on another machine, put where tracebacks and ``inspect`` look them up.

Layer: values. Standard library only.
"""

from __future__ import annotations

# Names known at most: a server that lives for months must not collect the sources of its clients.
LIMIT = 200

_names: dict[str, None] = {}  # ours among the entries of linecache, oldest first


def remember_lines(filename: str, first: int, lines: list[str]) -> None:
    """Let :mod:`linecache` know lines of a file that does not exist here.

    Lines of the same file that are known already stay known.

    Args:
        first: The number of the first of the lines, counted from 1.
        lines: Each with its line end.
    """
    import linecache  # not at the top: a bare peer starts fast

    entry = linecache.cache.get(filename)
    known = list(entry[2]) if entry is not None and len(entry) == 4 and filename in _names else []
    known.extend(['\n'] * (first - 1 + len(lines) - len(known)))
    known[first - 1 : first - 1 + len(lines)] = lines
    _names.pop(filename, None)
    _names[filename] = None
    # Without a time of modification, checkcache() never asks the disk and keeps the entry.
    linecache.cache[filename] = (sum(map(len, known)), None, known, filename)
    while len(_names) > LIMIT:
        oldest = next(iter(_names))
        del _names[oldest]
        linecache.cache.pop(oldest, None)
