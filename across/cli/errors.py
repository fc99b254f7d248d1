"""Errors, as a user of the program reads them."""

from __future__ import annotations

import sys

from across import AcrossError

# What a program has to write for what the library advises, and what is typed here instead.
_TYPED = (
    (
        'the handler Options(authkey=…), or an ssl_context that requires certificates',
        'it --authkey-file, or --tls-client-ca',
    ),
    ('Options(authkey=…)', '--authkey-file'),
    ('this side does not: Options(ssl_context=…)', 'this side does not: --tls, or --tls-ca'),
    (
        'either both or none of the sides need Options(ssl_context=…)',
        'give the server --tls-cert, or leave out what begins with --tls here',
    ),
    ('load_verify_locations() of the ssl_context', '--tls-ca'),
    ('load_cert_chain() of the ssl_context', '--tls-cert'),
    (
        'with python=…',
        'by a command in place of TARGET, as: -- ssh HOST python3.12 -c "$(across bios)"',
    ),
    (", or pass ssh_options={'StrictHostKeyChecking': 'accept-new'}", ''),
    ("pass ssh_options={'RemoteCommand': 'none'}", 'set it to none for this host'),
)


def complain(text: str) -> None:
    """Tell the user what went wrong."""
    if sys.stderr is not None:
        print(f'across: {text}', file=sys.stderr)


def sentence(exc: BaseException) -> str:
    """An error, said to a user."""
    if isinstance(exc, AcrossError) and str(exc):
        return advice(str(exc))
    if isinstance(exc, OSError) and exc.strerror:
        where = '' if exc.filename is None else f'{exc.filename}: '
        return where + advice(exc.strerror)
    return str(exc) if isinstance(exc, (ImportError, ValueError)) else repr(exc)


def advice(text: str) -> str:
    """A message of the library, with options of the command line in place of Python's."""
    for written, typed in _TYPED:
        text = text.replace(written, typed)
    return text


def named(exc: OSError, name: str = 'standard output') -> OSError:
    """The same error, with a name for what it happened to, if it has none."""
    return exc if exc.filename is not None else OSError(exc.errno, exc.strerror, name)
