"""Where the examples of the documentation run: their hosts, ports and folders, on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import across
from support.sshd import lead_ssh, missing_part, running_sshd
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.certificates import Certificates
    from support.sshd import Sshd

__all__ = ['Stage', 'running_wonderland']


@contextmanager
def running_wonderland(folder: Path) -> Iterator[Sshd]:
    """A host for ssh, with the interpreters that examples look for there.

    Every other host that ssh is told to go to, from here or from there, is this one, too.
    """
    path = f'{folder}/bin:{os.environ["PATH"]}'
    with running_sshd(folder, f'SetEnv "HOME={folder}" "PATH={path}"') as sshd:
        with pytest.MonkeyPatch.context() as patch:
            lead_ssh(sshd.config, folder, patch)
        for name in ('bin/python3', 'bin/python3.12', 'venv/bin/python', 'my python/bin/python3'):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(os.path.realpath(sys.executable))
        yield sshd


class Stage:
    """Where examples run: a folder with what they open, and a way to Wonderland if there is one."""

    def __init__(self, folder: Path, sshd: Sshd | None) -> None:
        self.folder = folder
        self._sshd = sshd
        for name, text in {
            'syslog': 'ERROR no cheese\nERROR the last dinosaur has left\n',
            'srv/album/alice.jpg': '',
            'project/README': 'Curiouser and curiouser!',
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        if sshd is not None:
            (folder / '.ssh').mkdir()
            for name in ('id_wonderland', 'key'):
                shutil.copy(sshd.key, folder / '.ssh' / name)
            shutil.copy(sshd.config, folder / 'my_config')

    def add_certificates(self, certificates: Certificates) -> None:
        """Put them where docs/howto/lock-it-down.rst makes its own."""
        shutil.copy(certificates.authority.certificate, self.folder / 'ca.pem')
        for name, pair in {'server': certificates.server, 'alice': certificates.client}.items():
            shutil.copy(pair.certificate, self.folder / f'{name}.pem')
            shutil.copy(pair.key, self.folder / f'{name}.key')

    def localized(self, text: str, port: int) -> str:
        """A text, with what there is on this machine for what it names; skips without sshd."""
        names = {
            "'wonderland', 1865": f"'localhost', {port}",
            '1865': str(port),
            '/var/log': str(self.folder),
            '/srv': f'{self.folder}/srv',
            '/home/alice': f'{self.folder}/alice',
            '/run/user/1000': str(self.folder),
        }
        if self._sshd is not None:
            names['2222'] = str(self._sshd.port)
            names['/opt'] = str(self._sshd.config.parent)
            names["'alice'"] = repr(self._sshd.user)
            names['alice@'] = f'{self._sshd.user}@'
        elif 'ssh' in text or '--on ' in text:  # names of hosts are for ssh
            pytest.skip(missing_part() or '')
        # All in one go, as a path may well have such a number in it.
        return re.sub('|'.join(names), lambda found: names[found[0]], text)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for what runs here; programs are looked for in `bin` first."""
        bins = [self.folder, *([self._sshd.config.parent] if self._sshd is not None else [])]
        return {
            **os.environ,
            'HOME': str(self.folder),
            'PATH': os.pathsep.join([*(f'{each}/bin' for each in bins), os.environ['PATH']]),
            'PYTHONPATH': str(Path(across.__file__).parents[1]),
        }

    @contextmanager
    def running(self, source: str) -> Iterator[subprocess.Popen[str]]:
        """A script in a process of its own, which is killed in the end."""
        script = self.folder / f'script{len(list(self.folder.glob("*.py")))}.py'
        script.write_text(source)
        process = subprocess.Popen(
            [sys.executable, '-W', 'error', str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def serving(self, source: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """A server that listens, or is about to, and its port; 0 if it has none."""
        with self.running(self.localized(source, 0)) as process:
            ports: list[int] = []

            def listens() -> bool:
                assert process.poll() is None, process.communicate()
                for each in psutil.Process(process.pid).net_connections('inet'):
                    if each.status == psutil.CONN_LISTEN:
                        ports.append(each.laddr.port)
                return bool(ports) or (self.folder / 'across').exists()

            wait_until(listens, 'the server', 10 * SECOND)
            yield process, ports[0] if ports else 0
