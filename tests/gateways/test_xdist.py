"""A real client: pytest-xdist runs suites over gateways instead of over execnet."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servers.processes import has_ended
from support.peers import environment
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from support.sshd import Sshd

LIMIT = 60 * SECOND
PLUGIN = ('-p', 'across.gateways.xdist')
PROJECT = 'packaging==26.0'
# Of the project: files without further needs, with some tests.
FILES = ('test_utils.py', 'test_structures.py')

pytestmark = pytest.mark.timeout(90)

SUITE = {
    'test_one.py': """
        import threading
        import pytest

        @pytest.mark.parametrize('number', range(5))
        def test_passes(number): pass

        def test_fails(): assert {'a': 1} == {'a': 2}

        @pytest.mark.skip(reason='not now')
        def test_is_skipped(): pass

        def test_main_thread():
            assert threading.current_thread() is threading.main_thread()
    """,
    'test_two.py': """
        import warnings
        import execnet
        import pytest

        @pytest.mark.xfail
        def test_is_expected_to_fail(): assert False

        def test_stand_in(): assert execnet.__name__ == 'across.gateways.execnet'

        def test_warns(): warnings.warn(UserWarning('careful', object()))

        @pytest.fixture
        def broken(): raise KeyError('fixture')

        def test_has_an_error(broken): pass
    """,
}


def write(folder: Path, files: dict[str, str]) -> None:
    from textwrap import dedent

    for name, text in files.items():
        (folder / name).write_text(dedent(text))


def command(*arguments: str) -> list[str]:
    return [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', *arguments]


def surroundings() -> dict[str, str]:
    """No other plugins than are named: they take long to load, in each worker."""
    inherited = environment()
    for name in [name for name in inherited if name.startswith(('PYTEST_', 'COV_'))]:
        del inherited[name]
    return {**inherited, 'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1'}


def run(
    folder: Path, scratch: Path, *arguments: str, plugin: tuple[str, ...] = PLUGIN
) -> tuple[int, str]:
    """Run pytest in a folder; its exit status and what it shows."""
    done = subprocess.run(
        command(*plugin, '-p', 'xdist', f'--basetemp={scratch / "base"}', *arguments),
        cwd=folder,
        env={**surroundings(), 'PYTHONPATH': f'{environment()["PYTHONPATH"]}:{folder / "src"}'},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout + done.stderr


def counts(shown: str) -> dict[str, int]:
    """The figures of the last line."""
    (line,) = [line for line in shown.splitlines() if re.search(r' in [\d.]+s', line)]
    kinds = 'passed|failed|skipped|xfailed|errors?|warnings?'
    return {kind: int(count) for count, kind in re.findall(rf'(\d+) ({kinds})', line)}


@pytest.fixture(scope='module')
def project(pytestconfig: pytest.Config) -> Path:
    """The unpacked source distribution of a project that nobody here wrote."""
    # Kept between runs: building its metadata, as pip insists on doing, takes seconds.
    cache = pytestconfig.rootpath / '.pytest_cache' / 'projects'
    archive = cache / f'{PROJECT.replace("==", "-")}.tar.gz'
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(
            [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary=:all:']
            + ['--retries=0', '--timeout=10', f'--dest={cache}', PROJECT],
            capture_output=True,
            text=True,
        )
        if got.returncode:
            pytest.skip(f'pip cannot download {PROJECT}: {got.stderr.strip()[-200:]}')
    folder = cache / archive.name[: -len('.tar.gz')]
    if not folder.exists():
        unpacked = cache / f'unpacking-{os.getpid()}'
        with tarfile.open(archive) as file:
            file.extractall(unpacked)
        try:
            (unpacked / folder.name).rename(folder)
        except OSError:
            pass  # another worker was faster
        shutil.rmtree(unpacked)
    return folder


def test_real_project(project: Path, tmp_path: Path) -> None:
    """The same results as with execnet itself."""
    files = [f'tests/{name}' for name in FILES]
    ours = run(project, tmp_path, '-q', '-n', '4', *files)
    theirs = run(project, tmp_path, '-q', '-n', '1', *files, plugin=())
    assert ours[0] == theirs[0] == 0, ours[1]
    assert counts(ours[1]) == counts(theirs[1])
    assert counts(ours[1])['passed'] > 70


def test_outcomes_by_file(tmp_path: Path) -> None:
    write(tmp_path, SUITE)
    status, shown = run(tmp_path, tmp_path, '-n', '2', '--dist', 'loadfile', '-v')
    assert status == 1
    assert counts(shown) == {
        'passed': 8,
        'failed': 1,
        'skipped': 1,
        'xfailed': 1,
        'warning': 1,
        'error': 1,
    }, shown
    workers = set(re.findall(r'\[(gw\d)\] .*? (test_\w+\.py)', shown))
    assert len(workers) == 2, shown  # each file in one worker
    assert "assert {'a': 1} == {'a': 2}" in shown
    assert "KeyError: 'fixture'" in shown


def test_worker_that_crashes(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            'test_crash.py': """
                import os
                def test_before(): pass
                def test_crash(): os._exit(3)
                def test_after(): pass
            """
        },
    )
    status, shown = run(tmp_path, tmp_path, '-n', '1')
    assert status == 1
    assert counts(shown) == {'passed': 2, 'failed': 1}, shown
    assert "worker 'gw0' crashed while running 'test_crash.py::test_crash'" in shown


def test_first_failure_is_enough(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            'test_many.py': """
                import pytest
                @pytest.mark.parametrize('number', range(200))
                def test_fails(number): assert False
            """
        },
    )
    status, shown = run(tmp_path, tmp_path, '-n', '1', '--maxfail=1', '-q')
    assert status == 2
    assert 'stopping after 1 failures' in shown
    assert 1 <= counts(shown)['failed'] < 200


def test_over_ssh(sshd: Sshd, tmp_path: Path) -> None:
    """The suite is copied there, and run by the interpreter over there."""
    suite, far = tmp_path / 'suite', tmp_path / 'far'
    suite.mkdir()
    write(suite, {'test_there.py': f'import os\ndef test(): assert os.getcwd() == {str(far)!r}'})
    door = f'ssh={sshd.host}//ssh_config={sshd.config}//python={sys.executable}//chdir={far}'
    status, shown = run(
        tmp_path,
        tmp_path,
        *('--tx', door, '--dist', 'load', f'--rsyncdir={suite}', str(suite)),
    )
    assert status == 0, shown
    assert counts(shown)['passed'] == 1
    assert (far / 'suite' / 'test_there.py').exists()


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            'test_slow.py': """
                import os, time, pytest
                @pytest.mark.parametrize('number', range(1))
                def test_slow(number):
                    os.rename(_write(f'{os.getpid()}.tmp'), f'{os.getpid()}.pid')
                    time.sleep(1000)
                def _write(name):
                    open(name, 'w').close()
                    return name
            """
        },
    )
    process = subprocess.Popen(
        command(*PLUGIN, '-p', 'xdist', '-n', '1', f'--basetemp={tmp_path / "base"}'),
        cwd=tmp_path,
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob('*.pid'))) == 1, 'the test to run', LIMIT)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        shown, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 2, shown
    assert 'KeyboardInterrupt' in shown
    pids = [int(path.stem) for path in tmp_path.glob('*.pid')]
    wait_until(lambda: all(map(has_ended, pids)), 'the end of the workers')


def test_plugin_that_comes_too_late(tmp_path: Path) -> None:
    status, shown = run(tmp_path, tmp_path, '-n', '1', plugin=('-p', 'xdist', *PLUGIN))
    assert status == 4
    assert 'load the plugin with "-p across.gateways.xdist"' in shown
