"""Errors, as a user of the program reads them."""

from __future__ import annotations

import sys

from across import AcrossError


def complain(text: str) -> None:
    """Tell the user what went wrong."""
    if sys.stderr is not None:
        print(f'across: {text}', file=sys.stderr)


def sentence(exc: BaseException) -> str:
    """An error, said to a user."""
    if isinstance(exc, AcrossError) and str(exc):
        return str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        where = '' if exc.filename is None else f'{exc.filename}: '
        return where + exc.strerror
    return str(exc) if isinstance(exc, (ImportError, ValueError)) else repr(exc)


def named(exc: OSError, name: str = 'standard output') -> OSError:
    """The same error, with a name for what it happened to, if it has none."""
    return exc if exc.filename is not None else OSError(exc.errno, exc.strerror, name)
