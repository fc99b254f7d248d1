"""Keys and certificates on the command line, between `across serve` and its clients."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from across._core.transports.sshfailures import failure_of
from across.cli import main
from across.cli.errors import advice, sentence
from across.cli.security import client_context, read_key, server_context
from cli.program import run_program, running, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.certificates import Certificates, Pair

FAILED = 'authentication failed: the two sides have different keys'


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / 'key', 'curiouser and curiouser\n')


def write_key(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize('handler', ['process', 'local'])
def test_a_key(key: Path, handler: str, tmp_path: Path) -> None:
    right = '--authkey-file', str(key)
    other = '--authkey-file', str(write_key(tmp_path / 'other', 'a guess'))
    words = '--handler', handler, *right
    refused = FAILED, 'the peer has no key, and this side wants one'
    with serving(f'unix://{tmp_path}/socket', *words, refused=refused) as target:
        assert run_program('exec', target, *right, '6 * 7') == (0, '42\n', '')
        status, out, err = run_program('exec', target, *other, '6 * 7')
        assert (status, out) == (1, '')
        assert err.endswith(f'{FAILED}\n')
        assert err.count('\n') == 1
        assert 'this side has none: --authkey-file\n' in run_program('exec', target, '1').err


def test_tls_with_certificates_of_clients(certificates: Certificates) -> None:
    authority = str(certificates.authority.certificate)
    server = (*files(certificates.server), '--tls-client-ca', authority)
    client = (*files(certificates.client), '--tls-ca', authority)
    # Which other machines could reach: it gives no warning.
    refused = 'has shown no certificate', 'does not accept the certificate of this side'
    with serving('tcp://0.0.0.0:0', *server, refused=refused) as target:
        target = target.replace('0.0.0.0', 'localhost')
        words = '--on', target, *client
        assert run_program('exec', *words, '6 * 7') == (0, f'{target}: 42\n', '')
        status, out, err = run_program('exec', target, '--tls-ca', authority, '6 * 7')
        assert (status, out) == (1, '')
        assert 'wants a certificate, and this side has shown none; give it one with --tls-c' in err
        err = run_program('exec', target, '1').err
        assert err.endswith('the peer speaks TLS, and this side does not: --tls, or --tls-ca\n')
        err = run_program('exec', target, '--tls', '1').err
        assert 'trust it with --tls-ca, if it is the right one' in err


def test_tls_with_a_plain_server() -> None:
    with serving('tcp://127.0.0.1:0') as target:
        err = run_program('exec', target, '--tls', '1').err
    assert 'this side does: give the server --tls-cert, or leave out' in err
    assert 'ssl_context' not in err


def test_warning_of_a_server_that_others_can_reach() -> None:
    with running('serve', 'tcp://0.0.0.0:0') as server:
        assert server.read_line().startswith('listening on ')
        server.send_signal(signal.SIGTERM)
        _, _, err = server.finish()
    assert 'give it --authkey-file, or --tls-client-ca, or serve a loopback address' in err


@pytest.mark.parametrize(
    'said', ['Host key verification failed.', 'Cannot execute command-line and remote command.']
)
def test_advice_about_ssh_is_for_people_who_type(said: str) -> None:
    assert 'ssh_options' in str(failure_of(said, 'rose'))
    assert 'ssh_options' not in advice(str(failure_of(said, 'rose')))


def files(pair: Pair) -> tuple[str, ...]:
    return '--tls-cert', str(pair.certificate), '--tls-key', str(pair.key)


def server_with(certificate: str, key: str) -> object:
    return server_context(certificate, key, None)


def check_error(error: type[Exception], text: str, func: Callable[..., Any], *args: Any) -> None:
    """What the program then says."""
    with pytest.raises(error) as caught:
        func(*map(str, args))
    assert sentence(caught.value) == text


@pytest.mark.parametrize('mode', [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / 'key', 'secret', mode)
    text = f'others can read {path}, which holds a secret: its mode is {mode:04o}; chmod 600 it'
    check_error(PermissionError, text, read_key, path)


def test_a_private_key_that_others_can_read(certificates: Certificates, tmp_path: Path) -> None:
    certificate = certificates.server.certificate
    path = write_key(tmp_path / 'key', certificates.server.key.read_text(), 0o644)
    text = f'others can read {path}, which holds a secret: its mode is 0644; chmod 600 it'
    check_error(PermissionError, text, server_with, certificate, path)
    path.chmod(0o640)  # the group may be one for such programs
    server_context(str(certificate), str(path), None)


def test_a_private_key_with_a_password(certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / 'key'
    command = f'openssl ec -aes128 -passout pass:secret -in {certificates.server.key} -out {path}'
    subprocess.run(command.split(), check=True, capture_output=True)
    text = f'the private key in {path} needs a password, which cannot be given'
    certificate = certificates.server.certificate
    check_error(ValueError, text, server_with, certificate, path)


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('', 'has no key in it'),
        (' \n', 'has no key in it'),
        ('x' * 70_000, 'is too long to be a key'),
    ],
)
def test_files_without_a_key(tmp_path: Path, content: str, text: str) -> None:
    path = write_key(tmp_path / 'key', content)
    check_error(ValueError, f'{path} {text}', read_key, path)


def test_white_space_around_a_key_does_not_count(key: Path) -> None:
    assert read_key(str(key)) == b'curiouser and curiouser'


def test_files_that_are_missing(tmp_path: Path) -> None:
    lost = tmp_path / 'lost'
    text = f'{lost}: No such file or directory'
    check_error(FileNotFoundError, text, read_key, lost)
    check_error(FileNotFoundError, text, lambda each: client_context(each, None, None), lost)
    check_error(FileNotFoundError, text, lambda each: client_context(None, each, None), lost)
    check_error(FileNotFoundError, text, lambda each: server_context(each, each, None), lost)


def test_files_that_are_no_certificates(certificates: Certificates, key: Path) -> None:
    server, client = certificates.server, certificates.client
    text = f'{key} has no certificate in it'
    check_error(ValueError, text, lambda each: client_context(each, None, None), key)
    text = f'there is no certificate in {key}, or no key in {key}'
    check_error(ValueError, text, lambda each: client_context(None, each, None), key)
    text = f'the key in {client.key} is not that of {server.certificate}'
    files = server.certificate, client.key
    check_error(ValueError, text, lambda *each: client_context(None, *each), *files)


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        ('exec local: --authkey-file F 1', '--authkey-file goes with tcp:// and unix:// only'),
        ('exec ssh://h --authkey-file F 1', '--authkey-file goes with tcp:// and unix:// only'),
        ('exec --on h,tcp://h:1 --authkey-file F 1', '--authkey-file goes with tcp:// and unix'),
        ('ping unix:///s --tls', 'TLS goes with tcp:// only'),
        ('info local: --tls-ca F', 'TLS goes with tcp:// only'),
        ('info tcp://h:1 --tls-key F', '--tls-key goes with --tls-cert'),
        ('serve tcp://h:1 --tls-key F', '--tls-key goes with --tls-cert'),
        ('serve tcp://h:1 --tls-client-ca F', '--tls-client-ca goes with --tls-cert'),
        ('serve unix:///s --tls-cert F', 'TLS goes with tcp:// only'),
        ('serve tcp://h:1 --handler bios --authkey-file F', 'know neither keys nor certificates'),
    ],
)
def test_wrong_usage(words: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2
    assert text in capsys.readouterr().err.splitlines()[-1]
