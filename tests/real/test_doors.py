"""The recipes of docs/examples/doors.py: where the door exists here, it leads where it says."""

from __future__ import annotations

import os
import pwd
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from across import Connection, get_bios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.sshd import Sshd

DOORS = runpy.run_path(str(Path(__file__).parents[2] / 'docs' / 'examples' / 'doors.py'))
USER = 'nobody'


def opened(argv: list[str]) -> Connection:
    """Go through a door; skips where it is not there, or locked."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f'no {argv[0]} here')
    # The same with a script that does nothing tells whether it can be opened at all.
    bios = get_bios()
    probe = subprocess.run(
        [word.replace(bios, 'pass') for word in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if probe.returncode:
        pytest.skip(f'{argv[0]}: {probe.stderr.strip()}')
    return Connection.from_command(argv)


@pytest.mark.parametrize('name', DOORS['as_somebody_else'](USER))
def test_as_somebody_else(name: str) -> None:
    with opened(DOORS['as_somebody_else'](USER)[name]) as conn:
        assert conn.call(os.getuid) == pwd.getpwnam(USER).pw_uid


def network_of(pid: object) -> str:
    return os.readlink(f'/proc/{pid}/ns/net')


def test_namespace_of_its_own() -> None:
    with opened(DOORS['elsewhere_on_this_machine'](0, '')['unshare']) as conn:
        assert conn.call(os.getuid) == 0
        assert conn.call(network_of, 'self') != network_of('self')


@pytest.fixture
def process_elsewhere() -> Iterator[int]:
    """A process with a network of its own; tells that it has it."""
    words = ['unshare', '--net', 'sh', '-c', 'echo; read end']
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            pytest.skip('no namespace can be made here')
        yield process.pid
        process.communicate(b'\n')


def test_namespace_of_another_process(process_elsewhere: int) -> None:
    with opened(DOORS['elsewhere_on_this_machine'](process_elsewhere, '')['nsenter']) as conn:
        assert conn.call(network_of, 'self') == network_of(process_elsewhere)


def test_chroot(tmp_path: Path) -> None:
    """Nothing is in there but the programs: no /proc, no /dev, no /tmp."""
    folders = ('bin', 'lib', 'lib64', 'sbin')
    if os.getuid() != 0 or not all(Path('/', name).is_symlink() for name in folders):
        pytest.skip('needs root, and a system that has all its programs in /usr')
    root = tmp_path / 'root'
    (root / 'usr').mkdir(parents=True)
    for name in folders:
        (root / name).symlink_to(f'usr/{name}')
    # The mount is gone when the last process of its namespace is.
    script = 'mount --rbind /usr "$0/usr" && exec "$@"'
    door = DOORS['elsewhere_on_this_machine'](0, str(root))['chroot']
    with opened(['unshare', '--mount', 'sh', '-c', script, str(root), *door]) as conn:
        assert sorted(conn.call(os.listdir, '/')) == [*folders, 'usr']
        assert conn.execute('print("not lost"); 6 * 7') == 42


CIRCUMSTANCES: dict[str, Callable[[], Any]] = {
    'env': lambda: set(os.environ) <= {'LC_CTYPE'},  # which Python itself may set
    'nice': lambda: os.nice(0) >= 10,
    'prlimit': lambda: __import__('resource').getrlimit(7)[0] == 64,
    'taskset': lambda: os.sched_getaffinity(0) == {0},
    'setsid': lambda: os.getsid(0) == os.getpid(),
    'timeout': lambda: 'timeout' in Path(f'/proc/{os.getppid()}/cmdline').read_text(),
}


@pytest.mark.parametrize('name', DOORS['under_other_circumstances']())
def test_circumstances(name: str) -> None:
    with opened(DOORS['under_other_circumstances']()[name]) as conn:
        assert conn.call(CIRCUMSTANCES[name])


@pytest.mark.parametrize('name', DOORS['on_other_machines']('', ''))
def test_other_machines(name: str, led_ssh: Path) -> None:
    """All of them are this one; the command ``ssh`` knows where to go, over there, too."""
    argv = DOORS['on_other_machines']('wonderland', 'bastion')[name]
    command = [word.replace('ssh wonderland', f'{led_ssh} wonderland') for word in argv]
    with Connection.from_command(command) as conn:
        assert conn.call(os.getpid) != os.getpid()


def test_doors_behind_doors(sshd: Sshd) -> None:
    """What stands in ``python`` is a door, too."""
    options = ['-F', str(sshd.config)]
    python = 'nice -n 10 setsid --wait python3'
    with Connection.from_ssh(sshd.host, python=python, ssh_options=options) as conn:
        assert conn.call(os.nice, 0) >= 10
        assert conn.call(os.getsid, 0) == conn.call(os.getpid)


@pytest.mark.parametrize(
    ('group', 'count'), [(DOORS['in_containers'], 3), (DOORS['on_other_machines'], 2)]
)
def test_doors_that_are_not_here(group: Any, count: int) -> None:
    """They have at least the form of an argv that ends in the script."""
    for argv in group(*'abc'[:count]).values():
        assert all(isinstance(word, str) for word in argv)
        assert get_bios() in argv[-1]
