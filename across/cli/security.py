"""Keys, certificates and limits on the command line, and the options that they become."""

from __future__ import annotations

import errno
import os
import stat
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from across import Options

if TYPE_CHECKING:
    import ssl

    from .targets import Target

# No key has more bytes; a wrong file may.
LONGEST_KEY = 1 << 16


def add_client_security(parser: ArgumentParser) -> None:
    """Add what all commands have that connect."""
    _add_key(parser, 'tcp:// and unix:// only')
    parser.add_argument(
        '--tls',
        action='store_true',
        help='encrypt, and verify the certificate of the server; tcp:// only',
    )
    parser.add_argument(
        '--tls-ca',
        metavar='FILE',
        help='trust the authorities in this file, rather than those of the system; with it, --tls '
        'goes without saying',
    )
    _add_certificate(parser, 'of this side, if the server wants one; the same')


def add_server_security(parser: ArgumentParser) -> None:
    """Add what a server has."""
    _add_key(parser, 'without it, and without --tls-client-ca, whoever can connect is let in')
    _add_certificate(parser, 'of the server; connections are then encrypted; tcp:// only')
    parser.add_argument(
        '--tls-client-ca',
        metavar='FILE',
        help='let in only clients with a certificate that an authority in this file has signed',
    )


def _add_key(parser: ArgumentParser, remark: str) -> None:
    parser.add_argument(
        '--authkey-file',
        metavar='FILE',
        help='a file with the key that both sides have to know, which nobody else may be able to '
        f'read; {remark}',
    )


def _add_certificate(parser: ArgumentParser, remark: str) -> None:
    parser.add_argument('--tls-cert', metavar='FILE', help=f'a certificate {remark}')
    parser.add_argument(
        '--tls-key', metavar='FILE', help='its private key, if that is in a file of its own'
    )


def client_problem(args: Namespace, targets: list[Target]) -> str:
    """What is wrong with the options of a command that connects; empty if nothing is."""
    schemes = {target.scheme for target in targets}
    if args.authkey_file and schemes - {'tcp', 'unix'}:
        return '--authkey-file goes with tcp:// and unix:// only'
    if _wants_tls(args) and schemes - {'tcp'}:
        return 'TLS goes with tcp:// only'
    return _key_problem(args)


def server_problem(args: Namespace) -> str:
    """What is wrong with the options of a server; empty if nothing is."""
    if args.tls_client_ca and not args.tls_cert:
        return '--tls-client-ca goes with --tls-cert'
    if args.tls_cert and args.endpoint.scheme == 'unix':
        return 'TLS goes with tcp:// only'
    if args.handler == 'bios' and (args.authkey_file or args.tls_cert):
        return '--handler bios starts bare interpreters, which know neither keys nor certificates'
    if args.handler == 'bios' and given_limits(args):
        return '--handler bios starts bare interpreters, which take their limits from the client'
    return _key_problem(args)


def _key_problem(args: Namespace) -> str:
    return '--tls-key goes with --tls-cert' if args.tls_key and not args.tls_cert else ''


def _wants_tls(args: Namespace) -> bool:
    return bool(args.tls or args.tls_ca or args.tls_cert)


def given_limits(args: Namespace) -> dict[str, Any]:
    """The options of a server that limit what one client can cost."""
    limits = {name: getattr(args, name) for name in ('timeout', 'max_calls', 'max_frame_size')}
    return {name: value for name, value in limits.items() if value is not None}


def client_options(args: Namespace) -> Options:
    """The options of connections, as the command line has them.

    Raises:
        OSError, ValueError: A file is missing, or is not what it should be.
    """
    given: dict[str, Any] = {} if args.timeout is None else {'timeout': args.timeout}
    if args.authkey_file:
        given['authkey'] = read_key(args.authkey_file)
    if _wants_tls(args):
        given['ssl_context'] = client_context(args.tls_ca, args.tls_cert, args.tls_key)
    return Options(**given)


def server_options(args: Namespace) -> Options:
    """The options of a server, as the command line has them.

    Raises:
        OSError, ValueError: A file is missing, or is not what it should be.
    """
    given = given_limits(args)
    if args.authkey_file:
        given['authkey'] = read_key(args.authkey_file)
    if args.tls_cert:
        from functools import partial

        # A function, as it goes to child processes; with whole paths, wherever they are then.
        given['ssl_context'] = partial(
            server_context,
            os.path.abspath(args.tls_cert),
            os.path.abspath(args.tls_key or args.tls_cert),
            os.path.abspath(args.tls_client_ca) if args.tls_client_ca else None,
        )
    return Options(**given)


def read_key(path: str) -> bytes:
    """Read a key; white space around it does not count.

    Raises:
        OSError: There is no such file.
        PermissionError: Others can read it.
        ValueError: It is empty, or too long for a key.
    """
    with open(path, 'rb') as file:
        _check_private(file.fileno(), path, stat.S_IRWXG | stat.S_IRWXO)
        key = file.read(LONGEST_KEY + 1).strip()
    if not key:
        raise ValueError(f'{path} has no key in it')
    if len(key) > LONGEST_KEY:
        raise ValueError(f'{path} is too long to be a key')
    return key


def client_context(
    authority: str | None, certificate: str | None, key: str | None
) -> ssl.SSLContext:
    """A context that verifies servers."""
    import ssl

    _check_readable(authority)
    try:
        context = ssl.create_default_context(cafile=authority)
    except ssl.SSLError as exc:
        raise ValueError(f'{authority} has no certificate in it') from exc
    if certificate is not None:
        _load(context, certificate, key or certificate)
    return context


def server_context(certificate: str, key: str, client_authority: str | None) -> ssl.SSLContext:
    """A context for a server; made anew for each client, here or in a child process."""
    import ssl

    _check_readable(client_authority)
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_authority)
    except ssl.SSLError as exc:
        raise ValueError(f'{client_authority} has no certificate in it') from exc
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    import ssl

    def refuse() -> str:
        raise ValueError(f'the private key in {key} needs a password, which cannot be given')

    _check_readable(certificate)
    with open(key, 'rb') as file:
        # Not the group: on Debian it is that of the programs which may read such keys.
        _check_private(file.fileno(), key, stat.S_IRWXO)
    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as exc:
        if 'MISMATCH' in (exc.reason or ''):
            raise ValueError(f'the key in {key} is not that of {certificate}') from exc
        raise ValueError(f'there is no certificate in {certificate}, or no key in {key}') from exc


def _check_readable(path: str | None) -> None:
    """Raise an error that names the file; those of `ssl` don't."""
    if path is not None:
        open(path, 'rb').close()


def _check_private(fd: int, path: str, forbidden: int) -> None:
    """Refuse a secret that others can read, as ssh does."""
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & forbidden:
        raise PermissionError(
            errno.EACCES,
            f'others can read {path}, which holds a secret: its mode is {mode:04o}; chmod 600 it',
        )
