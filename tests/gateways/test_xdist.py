"""A real client: pytest-xdist runs suites over gateways instead of over execnet."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateways.runs import LIMIT, PLUGIN, command, counts, outcomes, run, surroundings, write
from servers.processes import has_ended
from support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from support.sshd import Sshd

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


LIBRARIES = pytest.mark.parametrize('plugin', [PLUGIN, ()], ids=['across', 'execnet'])


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


CRASHING = {
    'test_crash.py': """
        import os
        def test_before(): pass
        def test_crash(): os._exit(3)
        def test_after(): pass
    """,
    'test_others.py': """
        import pytest
        @pytest.mark.parametrize('number', range(20))
        def test_number(number): assert number != 7
    """,
}


def test_worker_that_crashes(tmp_path: Path) -> None:
    write(tmp_path, CRASHING)
    status, shown = run(tmp_path, tmp_path, '-n', '1')
    assert status == 1
    assert counts(shown) == {'passed': 21, 'failed': 2}, shown
    assert "worker 'gw0' crashed while running 'test_crash.py::test_crash'" in shown


def test_worker_of_several_that_crashes(tmp_path: Path) -> None:
    """The others go on, and a new one takes its place, as over execnet."""
    write(tmp_path, CRASHING)
    ours, theirs = (outcomes(tmp_path, tmp_path, '-n', '4', plugin=each) for each in (PLUGIN, ()))
    assert ours == theirs
    status, ended = ours
    assert status == 1
    assert len(ended) == 23
    failed = [name for _, name, outcome in ended if outcome]
    assert sorted(failed) == ['test_crash', 'test_number[7]'], ended


@LIBRARIES
def test_first_failure_is_enough(tmp_path: Path, plugin: tuple[str, ...]) -> None:
    """What the workers have in hand by then is still run; the rest is not, over both libraries."""
    write(
        tmp_path,
        {
            'test_many.py': """
                import pytest
                @pytest.mark.parametrize('number', range(400))
                def test_fails(number): assert False
            """
        },
    )
    status, shown = run(tmp_path, tmp_path, '-n', '4', '--maxfail=1', '-q', plugin=plugin)
    assert status == 2
    assert 'stopping after 1 failures' in shown
    assert 1 <= counts(shown)['failed'] < 400


def test_over_ssh(sshd: Sshd, tmp_path: Path) -> None:
    """The suite is copied there, and run by four interpreters over there; one of them crashes."""
    suite, far = tmp_path / 'suite', tmp_path / 'far'
    suite.mkdir()
    write(suite, CRASHING)
    write(suite, {'test_there.py': f'import os\ndef test(): assert os.getcwd() == {str(far)!r}'})
    door = f'ssh={sshd.host}//ssh_config={sshd.config}//python={sys.executable}//chdir={far}'
    status, ended = outcomes(
        tmp_path, tmp_path, *('-d', '--tx', f'4*{door}', f'--rsyncdir={suite}', str(suite))
    )
    assert status == 1
    assert len(ended) == 24
    failed = [name for _, name, outcome in ended if outcome]
    assert sorted(failed) == ['test_crash', 'test_number[7]'], ended
    assert (far / 'suite' / 'test_there.py').exists()


# ------------------------------------------------------------------------- with a user's plugins

WHICH = {
    'test_which.py': """
        import execnet, sys
        def test_which():
            assert False, f'{execnet.__name__}, with {"across.gateways" in sys.modules}'
    """
}


def run_as_users_do(folder: Path, *arguments: str) -> str:
    """Run pytest with whatever plugins are installed, pytest-xdist among them."""
    variables = surroundings()
    del variables['PYTEST_DISABLE_PLUGIN_AUTOLOAD']
    done = subprocess.run(
        command(f'--basetemp={folder / "base"}', *arguments),
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_command_of_the_documentation(tmp_path: Path) -> None:
    write(tmp_path, WHICH)
    shown = run_as_users_do(tmp_path, *['-p', 'across.gateways.xdist', '-n', '4'])
    assert 'across.gateways.execnet, with True' in shown


def test_configuration_file(tmp_path: Path) -> None:
    write(tmp_path, {**WHICH, 'pytest.ini': '[pytest]\naddopts = -p across.gateways.xdist\n'})
    assert 'across.gateways.execnet, with True' in run_as_users_do(tmp_path, '-n', '2')


def test_never_by_default(tmp_path: Path) -> None:
    write(tmp_path, WHICH)
    assert 'AssertionError: execnet, with False' in run_as_users_do(tmp_path, '-n', '2')


# --------------------------------------------------------------------------------------- the end


@LIBRARIES
def test_ctrl_c_ends_everything(tmp_path: Path, plugin: tuple[str, ...]) -> None:
    write(
        tmp_path,
        {
            'test_slow.py': """
                import os, time, pytest
                @pytest.mark.parametrize('number', range(4))
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
        command(*plugin, '-p', 'xdist', '-n', '4', f'--basetemp={tmp_path / "base"}'),
        cwd=tmp_path,
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob('*.pid'))) == 4, 'the tests to run', LIMIT)
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
