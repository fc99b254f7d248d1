"""Certificates, made with the `openssl` program: of an authority, of servers and of clients."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ['Certificates', 'missing_program']

HOSTS = 'DNS:localhost,IP:127.0.0.1,IP:::1'


def missing_program() -> str:
    """Why there can't be any; empty if there can."""
    return '' if shutil.which('openssl') else 'no program openssl on the PATH'


class Pair(NamedTuple):
    """The files of a certificate and of its private key."""

    certificate: Path
    key: Path


class Certificates:
    """The certificates that tests need, in a folder.

    Attributes:
        authority: Signs those of `server`, `elsewhere`, `expired` and `client`.
        server: For localhost.
        elsewhere: For another host.
        expired: For localhost, until yesterday.
        alone: For localhost, signed by itself.
        client: For a client.
        stranger: For a client, signed by an authority that nobody trusts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = self._make_authority('authority')
        self.server = self._issue('server', HOSTS)
        self.elsewhere = self._issue('elsewhere', 'DNS:wonderland.example')
        self.expired = self._issue('expired', HOSTS, days=-1)
        self.alone = self._make_authority('alone', '-addext', f'subjectAltName={HOSTS}')
        self.client = self._issue('client', 'DNS:alice')
        foreign = self._make_authority('foreign')
        self.stranger = self._issue('stranger', 'DNS:knave', authority=foreign)

    def server_context(
        self, pair: Pair | None = None, *, client_authority: bool = False
    ) -> ssl.SSLContext:
        """A context as the documentation says; it asks for certificates of clients if told."""
        authority = str(self.authority.certificate) if client_authority else None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
        context.load_cert_chain(*(self.server if pair is None else pair))
        if client_authority:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A context that trusts the authority; it has the certificate of `pair` if given."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def _make_authority(self, name: str, *more: str) -> Pair:
        pair = self._files(name)
        usage = '-addext', 'keyUsage=critical,keyCertSign,cRLSign'
        words = *_NEW_KEY, '-days', '2', *_subject(name), *usage, *more, *_out(pair)
        self._run('req', '-x509', *words)
        return pair

    def _issue(self, name: str, hosts: str, days: int = 2, authority: Pair | None = None) -> Pair:
        pair = self._files(name)
        signer = self.authority if authority is None else authority
        request = self.folder / f'{name}.csr'
        extensions = self.folder / f'{name}.ext'
        extensions.write_text(f'subjectAltName={hosts}\nauthorityKeyIdentifier=keyid\n')
        self._run('req', *_NEW_KEY, *_subject(name), '-keyout', str(pair.key), '-out', str(request))
        self._run(
            *('x509', '-req', '-in', str(request), '-days', str(days)),
            *('-CA', str(signer.certificate), '-CAkey', str(signer.key), '-CAcreateserial'),
            *('-extfile', str(extensions), '-out', str(pair.certificate)),
        )
        return pair

    def _files(self, name: str) -> Pair:
        return Pair(self.folder / f'{name}.pem', self.folder / f'{name}.key')

    def _run(self, *words: str) -> None:
        run = subprocess.run(['openssl', *words], capture_output=True, text=True)
        assert run.returncode == 0, f'openssl {" ".join(words)}\n{run.stderr}'


# Elliptic curves, as making an RSA key takes a second.
_NEW_KEY = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')


def _subject(name: str) -> tuple[str, str]:
    return '-subj', f'/CN={name}'


def _out(pair: Pair) -> tuple[str, ...]:
    return '-keyout', str(pair.key), '-out', str(pair.certificate)
