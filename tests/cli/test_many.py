"""``--on`` and ``--hosts-file``: the same code on many hosts at once."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from across import Options
from across.cli.far import Session
from across.cli.hosts import Host
from across.cli.many import fleet
from across.cli.many.job import Task
from across.cli.program import make_parser, parsers_of
from across.cli.targets import Target
from cli.program import PROGRAM, STUBBORN, Running, environment, run_program, running, serving
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sshd import Sshd

PAGE = Path(__file__).parents[2] / 'docs' / 'howto' / 'command-line.rst'
# What is said of a socket that is not there.
NO_FILE = 'no connection to {0}: No such file or directory'
ONCE_MORE = 'Ctrl-C once more ends at once'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds the sockets `a`, `b` and `c`: three names for a server, as far as a client can tell."""
    path = tmp_path_factory.mktemp('hosts')
    with serving(f'unix://{path}/a'):
        for name in 'bc':
            (path / name).symlink_to(path / 'a')
        yield path


def on(folder: Path, names: str) -> str:
    """For ``--on``: sockets in that folder, or other targets."""
    words = names.split(',')
    return ','.join(word if ':' in word else f'unix://{folder}/{word}' for word in words)


def by_host(text: str) -> dict[str, list[str]]:
    """The lines of each host, by the last letter of its name."""
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        label, colon, rest = line.partition(': ')
        assert colon, f'{line!r} has no host ahead'
        lines.setdefault(label.rpartition('/')[2], []).append(rest)
    return lines


def test_value_of_each_host(folder: Path) -> None:
    result = run_program('exec', '--on', on(folder, 'a,b,local:'), 'import os; os.getpid()')
    assert (result.status, result.err) == (0, '')
    pids = by_host(result.out)
    assert set(pids) == {'a', 'b', 'local'}
    assert len({pid for (pid,) in pids.values()}) == 3


def test_lines_are_whole_apart_and_in_order(folder: Path) -> None:
    code = """
        import os, sys
        for i in range(2000):
            print(i, end='' if i % 2 else '-', file=sys.stdout)
            if i % 2: print(flush=i % 100 == 1)
            if not i % 10: print('err', i, file=sys.stderr)
        print('no end', end='')
    """
    result = run_program('exec', '--on', on(folder, 'a,b,c,local:'), code)
    assert result.status == 0
    out = [*(f'{i}-{i + 1}' for i in range(0, 2000, 2)), 'no end']
    err = [f'err {i}' for i in range(0, 2000, 10)]
    assert by_host(result.out) == dict.fromkeys(['a', 'b', 'c', 'local'], out)
    assert by_host(result.err) == dict.fromkeys(['a', 'b', 'c', 'local'], err)


def test_bytes_pass_unchanged(folder: Path) -> None:
    code = r'import sys; sys.stdout.buffer.write(b"\xff\x00\r\xfe\n" + b"x" * 2_999_995)'
    words = [*PROGRAM, 'exec', '--on', on(folder, 'a,local:'), code]
    run = subprocess.run(words, capture_output=True, env=environment())
    assert (run.returncode, run.stderr) == (0, b'')
    for label in (b'unix://' + os.fsencode(folder) + b'/a: ', b'local: '):
        mine = [line[len(label) :] for line in run.stdout.split(b'\n') if line.startswith(label)]
        # A line may be too long to be kept in memory: it comes in pieces.
        assert list(map(len, mine)) == [4, 1 << 20, 1 << 20, 2_999_995 - (2 << 20), 7]
        assert (mine[0], mine[-1]) == (b'\xff\x00\r\xfe', b'3000000')


def test_programs_over_there_print_under_the_name_of_their_host() -> None:
    code = 'import os; os.system("echo 1; echo 2 >&2")'
    assert run_program('exec', '--on', 'local:', code) == (0, 'local: 1\nlocal: 0\n', 'local: 2\n')


def test_standard_input_is_empty(folder: Path) -> None:
    code = 'import sys; sys.stdin.read()'
    result = run_program('exec', '--on', on(folder, 'a,local:'), code, stdin='secret')
    assert by_host(result.out) == {'a': ["''"], 'local': ["''"]}


def test_script_with_its_modules_and_arguments(folder: Path, tmp_path: Path) -> None:
    (tmp_path / 'script.py').write_text('import sys, cheeses; print(cheeses.BEST, sys.argv[1:])')
    (tmp_path / 'cheeses.py').write_text('BEST = "brie"')
    (tmp_path / 'hosts').write_text(f'# two\nlocal:\nunix://{folder}/a  # a server\n')
    path = tmp_path / 'script.py'
    result = run_program('run', '--hosts-file', tmp_path / 'hosts', path, '--on', 'x', '--', 'y')
    assert (result.status, result.err) == (0, '')
    assert by_host(result.out) == {
        name: ["brie ['--on', 'x', '--', 'y']"] for name in ('local', 'a')
    }


def test_those_that_fail_are_counted_and_named(folder: Path) -> None:
    hosts = on(folder, 'a,gone,tcp://127.0.0.1:1')
    result = run_program('exec', '--on', hosts, 'raise ValueError("no\\ncheese")')
    assert (result.status, result.out) == (13, '')
    *trace, summary, first, second, third = result.err.splitlines()
    assert [line for line in trace if not line.startswith(f'unix://{folder}/a: ')] == []
    assert trace[0].endswith('/a: Traceback (most recent call last):')
    assert trace[-2:] == [f'unix://{folder}/a: ValueError: no', f'unix://{folder}/a: cheese']
    assert summary == 'across: 3 of 3 hosts failed'
    assert first == f'  unix://{folder}/a: ValueError: no'
    assert second == f'  unix://{folder}/gone: ' + NO_FILE.format(folder / 'gone')
    assert third == '  tcp://127.0.0.1:1: cannot connect to 127.0.0.1:1: Connection refused'


def test_status_counts_those_that_failed(folder: Path) -> None:
    result = run_program('exec', '--on', on(folder, 'local:,gone'), 'import sys; sys.exit()')
    assert (result.status, result.out) == (11, '')
    result = run_program('exec', '--on', on(folder, 'local:,a'), 'import sys; sys.exit(3)')
    assert (result.status, result.out) == (12, '')
    assert result.err == (
        'across: 2 of 2 hosts failed\n  local: exited with status 3\n'
        f'  unix://{folder}/a: exited with status 3\n'
    )


def test_status_ends_at_99(folder: Path) -> None:
    names = ','.join(f'gone{number}' for number in range(100))
    result = run_program('exec', '--on', on(folder, names), '1')
    assert result.status == 99
    assert result.err.startswith('across: 100 of 100 hosts failed\n')


def test_host_that_dies(folder: Path) -> None:
    result = run_program('exec', '--on', on(folder, 'a,local:'), 'import os; os._exit(3)')
    assert result.status == 12
    assert re.search(r'\n  unix:.*/a: .*: the peer closed the connection\n', result.err)
    assert re.search(r'\n  local: .* ended with status 3\n$', result.err)


def test_text_given_to_sys_exit(folder: Path) -> None:
    result = run_program('exec', '--on', 'local:', 'import sys; sys.exit("no cheese")')
    reason = 'across: 1 of 1 host failed\n  local: exited: no cheese\n'
    assert result == (11, '', f'local: no cheese\n{reason}')


def test_width(folder: Path) -> None:
    """One at a time: none finds the folder that each makes and removes."""
    code = f"""
        import os
        os.mkdir({str(folder / 'busy')!r})
        os.rmdir({str(folder / 'busy')!r})
    """
    result = run_program('exec', '--width', '1', '--on', on(folder, 'a,b,c'), code)
    assert result == (0, '', '')


def test_width_that_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many hosts are at work as the help and the documentation say."""
    hosts = [Host(f'h{n}', Target('ssh', host=f'h{n}')) for n in range(100)]
    task = Task(Session.evaluate, ('1',), [], Options(), False)
    monkeypatch.setattr(fleet, 'Events', object)  # it never runs, and so would not close them
    width = fleet.Fleet(hosts, task, width=None, fail_fast=False)._width
    assert width == 32
    for command in ('exec', 'run'):
        text = ' '.join(parsers_of(make_parser())[command].format_help().split())
        assert f'at work at the same time; {width} if not given' in text
    assert f'**At the same time** {width} hosts are at work' in PAGE.read_text()


def test_all_at_once(folder: Path) -> None:
    """Each waits for all others."""
    meeting = folder / 'meeting'
    meeting.mkdir()
    code = f"""
        import os, time
        open({str(meeting)!r} + '/' + str(os.getpid()), 'w').close()
        while len(os.listdir({str(meeting)!r})) < 4: time.sleep(0.01)
    """
    assert run_program('exec', '--on', on(folder, 'a,b,c,local:'), code) == (0, '', '')


def test_fail_fast(folder: Path) -> None:
    code = 'import time\nwhile True: time.sleep(0.01)'
    hosts = on(folder, 'a,gone,b,c')
    result = run_program('exec', '--fail-fast', '--width', '2', '--on', hosts, code)
    assert (result.status, result.out) == (11, '')
    assert result.err.startswith('across: 1 of 4 hosts failed\n  ')
    told = dict(line[8:].split(': ', 1) for line in result.err.splitlines()[2:])
    assert set(told) == {'stopped', 'not begun'}
    assert sorted(told['stopped'].split(', ') + told['not begun'].split(', ')) == [
        f'unix://{folder}/{name}' for name in 'abc'
    ]


def test_timeout() -> None:
    with socket.create_server(('127.0.0.1', 0)) as silent:
        target = f'tcp://127.0.0.1:{silent.getsockname()[1]}'
        result = run_program('exec', '--timeout', 0.3 * SECOND, '--on', target, '1')
    assert result.status == 11
    assert 'no handshake within' in result.err


def begin(program: Running, count: int) -> list[str]:
    """Wait until that many hosts are at work; what each printed first."""
    return [program.read_line() for _ in range(count)]


def test_ctrl_c_interrupts_all(folder: Path) -> None:
    code = """
        try:
            print('busy', flush=True)
            import time
            time.sleep(1000)
        finally: print('cleaned up')
    """
    hosts = on(folder, 'a,local:,b')
    with running('exec', '--width', '2', '--on', hosts, code) as program:
        begin(program, 2)
        program.send_signal(signal.SIGINT)
        result = program.finish()
    assert result.status == 130
    assert by_host(result.out) == {'a': ['cleaned up'], 'local': ['cleaned up']}
    assert result.err == (
        f'across: interrupted; {ONCE_MORE}; at work: unix://{folder}/a, local\n'
        f'across: stopped: unix://{folder}/a, local\n'
        f'across: not begun: unix://{folder}/b\n'
    )


def test_second_ctrl_c_ends_code_that_does_not_stop(folder: Path) -> None:
    with running('exec', '--on', on(folder, 'a,local:'), STUBBORN) as program:
        pids = by_host('\n'.join(begin(program, 2)))
        program.send_signal(signal.SIGINT)
        assert program.stderr is not None
        assert program.stderr.readline().startswith('across: interrupted; ')
        program.send_signal(signal.SIGINT)
        result = program.finish()
    stopped = f'across: stopped: unix://{folder}/a, local\n'
    assert result == (130, '', stopped)
    # The one at the server gets some seconds to find out that nobody waits for it.
    wait_until(lambda: not psutil.pid_exists(int(pids['local'][0])), 'the end of the interpreter')


def test_patience_has_an_end(folder: Path) -> None:
    hosts = on(folder, 'a,gone')
    code = f"""
from across.cli import main
from across.cli.many import fleet
fleet.PATIENCE = {0.2 * SECOND}
raise SystemExit(main(['exec', '--fail-fast', '--on', {hosts!r}, {STUBBORN!r}]))
"""
    command = [PROGRAM[0], '-c', code]
    run = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert run.returncode == 11
    assert run.stderr.endswith(f'across: stopped: unix://{folder}/a\n')


def test_ctrl_c_while_connecting(folder: Path) -> None:
    with socket.create_server(('127.0.0.1', 0)) as silent:
        port = silent.getsockname()[1]
        with running('exec', '--on', f'tcp://127.0.0.1:{port}', '1') as program:
            client, _ = silent.accept()
            program.send_signal(signal.SIGINT)
            result = program.finish()
            client.close()
    assert (result.status, result.out) == (130, '')
    assert result.err == (
        f'across: interrupted; {ONCE_MORE}; at work: tcp://127.0.0.1:{port}\n'
        f'across: stopped: tcp://127.0.0.1:{port}\n'
    )


def test_reader_of_the_output_that_leaves(folder: Path) -> None:
    code = 'while True: print("x" * 99)'
    with running('exec', '--on', on(folder, 'a,local:'), code) as program:
        program.read_line()
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == ''
        assert program.wait() == 1


def test_output_that_is_closed() -> None:
    run = subprocess.run(
        ['/bin/sh', '-c', 'exec "$@" >&- 2>&-', 'sh', *PROGRAM, 'exec', '--on', 'local:', '1/0'],
        env=environment(),
    )
    assert run.returncode == 11


def test_debug_shows_the_traceback_of_each(folder: Path) -> None:
    result = run_program('--debug', 'exec', '--on', on(folder, 'gone'), '1')
    assert result.status == 11
    label = f'unix://{folder}/gone: '
    *trace, _, _ = result.err.splitlines()
    assert trace[0] == label + 'Traceback (most recent call last):'
    assert all(line.startswith(label) for line in trace)


@pytest.mark.usefixtures('led_ssh')
def test_hosts_that_ssh_reaches(sshd: Sshd) -> None:
    """Words without a scheme."""
    result = run_program('exec', '--on', 'rose,queen,nobody-of-ours@king', 'import os; os.getpid()')
    assert result.status == 11
    pids = by_host(result.out)
    assert set(pids) == {'rose', 'queen'}
    assert '\nacross: 1 of 3 hosts failed\n  nobody-of-ours@king: ' in '\n' + result.err
    shown = re.search(r'^      duchess: (.*) …$', PAGE.read_text(), re.MULTILINE)
    assert shown is not None
    said = shown[1].replace('ssh://duchess', 'ssh://nobody-of-ours@king')
    assert said.replace('alice@duchess', 'nobody-of-ours@127.0.0.1') in result.err
