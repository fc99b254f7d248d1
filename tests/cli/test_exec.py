"""``across exec``, and what all commands have in common."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

import across
from cli.program import PROGRAM, STUBBORN, environment, run_program, running, serving
from support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ('code', 'shown'),
    [
        ('2 + 2', '4\n'),
        ('two = 2; two + two', '4\n'),
        ('"text"', "'text'\n"),
        ('None', ''),
        ('x = 1', ''),
        ('', ''),
        ('  2 + 2\n', '4\n'),
        ('import sys; sys.argv', "['-c']\n"),
        ('__name__', "'__main__'\n"),
        ('import sys; sys.modules["__main__"].__dict__ is globals()', 'True\n'),
        ('lambda: 0', '<function <lambda> at 0x...>\n'),  # nothing that could be pickled
        ('import asyncio; await asyncio.sleep(0, "done")', "'done'\n"),
        ('"naïve 北"', "'naïve 北'\n"),
    ],
)
def test_value_of_the_last_expression(code: str, shown: str) -> None:
    status, out, err = run_program('exec', 'local:', code)
    assert (status, err) == (0, '')
    head, dots, tail = shown.partition('...')
    assert out == shown or (dots and out.startswith(head) and out.endswith(tail))


def test_prints_come_first_and_apart() -> None:
    code = 'import sys, os; print(1); os.system("echo 2"); print(3, file=sys.stderr); 4'
    assert run_program('exec', 'local:', code) == (0, '1\n2\n4\n', '3\n')


def test_exception_is_shown_as_python_does() -> None:
    result = run_program('exec', 'local:', 'def f():\n    return 1 / 0\nf()')
    assert (result.status, result.out) == (1, '')
    assert result.err.startswith('Traceback (most recent call last):\n  File "<exec>", line 3')
    assert '    return 1 / 0\n' in result.err
    assert result.err.endswith('ZeroDivisionError: division by zero\n')
    assert 'far.py' not in result.err


def test_syntax_error_is_shown_as_python_does() -> None:
    result = run_program('exec', 'local:', '1 +* 2')
    assert (result.status, result.out) == (1, '')
    assert result.err.startswith('  File "<exec>", line 1\n    1 +* 2\n')
    assert result.err.endswith('SyntaxError: invalid syntax\n')


@pytest.mark.parametrize(
    ('argument', 'status', 'error'),
    [('', 0, ''), ('0', 0, ''), ('7', 7, ''), ('-1', 255, ''), ('"bad day"', 1, 'bad day\n')],
)
def test_sys_exit(argument: str, status: int, error: str) -> None:
    result = run_program('exec', 'local:', f'import sys; sys.exit({argument})')
    assert result == (status, '', error)


def test_peer_that_dies() -> None:
    result = run_program('exec', 'local:', 'import os; os._exit(3)')
    assert (result.status, result.out) == (1, '')
    assert result.err.startswith('across: ')
    assert result.err.endswith('ended with status 3\n')
    assert result.err.count('\n') == 1


def test_exported_module(tmp_path: Path) -> None:
    (tmp_path / 'cheeses.py').write_text('BEST = "brie"\n')
    words = ['exec', '--export', 'cheeses', 'local:', 'import cheeses; cheeses.BEST']
    assert run_program(*words, folder=tmp_path) == (0, "'brie'\n", '')


def test_module_that_cannot_be_exported(tmp_path: Path) -> None:
    result = run_program('exec', '--export', 'no_such_module', 'local:', '1', folder=tmp_path)
    sentence = "across: cannot export 'no_such_module': there is no such module here\n"
    assert result == (1, '', sentence)


def test_ctrl_c_is_raised_over_there() -> None:
    code = 'try:\n  print("busy", flush=True)\n  while True: pass\nfinally: print("cleaned up")'
    with running('exec', 'local:', code) as program:
        assert program.read_line() == 'busy'
        program.send_signal(signal.SIGINT)
        result = program.finish()
    assert (result.status, result.out) == (130, 'cleaned up\n')
    assert result.err.endswith('KeyboardInterrupt\n')


def test_second_ctrl_c_leaves_code_that_does_not_stop() -> None:
    with running('exec', 'local:', STUBBORN) as program:
        pid = int(program.read_line())
        program.send_signal(signal.SIGINT)
        assert program.stderr is not None
        expected = 'across: waiting for the code to stop; Ctrl-C once more leaves it\n'
        assert program.stderr.readline() == expected
        program.send_signal(signal.SIGINT)
        assert program.finish() == (130, '', '')
    wait_until(lambda: not psutil.pid_exists(pid), 'the end of the interpreter')


def test_reader_of_the_output_that_leaves() -> None:
    """Like ``across exec … | head -1``: code that prints for ever ends, without a word."""
    with running('exec', 'local:', 'while True: print("x" * 99)') as program:
        assert program.read_line() == 'x' * 99
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == ''
        assert program.wait() == 1


def test_output_that_is_closed() -> None:
    run = subprocess.run(
        ['/bin/sh', '-c', 'exec "$@" >&-', 'sh', *PROGRAM, 'exec', 'local:', '1'],
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert (run.returncode, run.stderr) == (0, b'')


@pytest.mark.parametrize(
    'words',
    [
        ['exec', 'local:', '1'],
        ['exec', 'local:', 'while True: print(1)'],
        ['exec', '--on', 'local:', '1'],
        ['info', 'local:'],
        ['bios'],
    ],
)
def test_disk_that_is_full(words: list[str]) -> None:
    if not os.path.exists('/dev/full'):
        pytest.skip('no /dev/full on this machine')
    with open('/dev/full', 'wb') as full:
        command = [*PROGRAM, *words]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment())
    sentence = b'across: standard output: No space left on device\n'
    assert (run.returncode, run.stderr) == (1, sentence)


def test_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    folder.mkdir()
    script = (
        f'cd {shlex.quote(str(folder))}; rmdir ../folder; exec {shlex.join(PROGRAM)} exec local: 1'
    )
    run = subprocess.run(['/bin/sh', '-c', script], capture_output=True, env=environment())
    assert (run.returncode, run.stdout, run.stderr) == (0, b'1\n', b'')


def test_exit_needs_no_import() -> None:
    assert run_program('exec', 'local:', 'exit(3)') == (3, '', '')


@pytest.mark.parametrize('handler', ['process', 'local', 'bios'])
def test_at_a_server(handler: str) -> None:
    code = 'import sys; print("out"); print("err", file=sys.stderr); input()'
    with serving('tcp://127.0.0.1:0', '--handler', handler) as target:
        assert run_program('exec', target, code, stdin='in\n') == (0, "out\n'in'\n", 'err\n')


def test_exports_to_a_server(tmp_path: Path) -> None:
    (tmp_path / 'cheeses.py').write_text('BEST = "brie"\n')
    words = ['exec', '--export', 'cheeses', 'import cheeses; cheeses.BEST']
    with serving(f'unix://{tmp_path}/socket') as target:
        result = run_program(*words[:3], target, *words[3:], folder=tmp_path)
        assert result == (0, "'brie'\n", '')
    with serving(f'unix://{tmp_path}/socket', '--handler', 'local') as target:
        result = run_program(*words[:3], target, *words[3:], folder=tmp_path)
    assert result.status == 1
    assert 'does not accept exported modules' in result.err


def test_clients_in_one_process_take_turns() -> None:
    code = 'print("mine", flush=True); input()'
    with serving('tcp://127.0.0.1:0', '--handler', 'local') as target:
        with running('exec', target, code) as first:
            assert first.read_line() == 'mine'
            second = run_program('exec', target, '1')
            assert (second.status, second.out) == (1, '')
            assert 'runs code of another client at the moment' in second.err
            assert first.stdin is not None
            first.stdin.write('done\n')
            first.stdin.flush()
            assert first.finish() == (0, "'done'\n", '')
        assert run_program('exec', target, '1') == (0, '1\n', '')


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        ([], 'usage: across'),
        (['dance'], "invalid choice: 'dance'"),
        (['exec'], 'the following arguments are required: TARGET, CODE'),
        (['exec', 'local:'], 'the following arguments are required: CODE'),
        (['run', 'local:'], 'the following arguments are required: SCRIPT\n'),
        (['exec', 'local:', '1', '2'], 'unrecognized arguments: 2'),
        (['ping', '-c', '0', 'local:'], "'0' is not a number of 1 or more"),
    ],
)
def test_wrong_usage(words: list[str], sentence: str) -> None:
    result = run_program(*words)
    assert (result.status, result.out) == (2, '')
    assert sentence in result.err


def test_version() -> None:
    assert run_program('--version') == (0, f'across {across.__version__}\n', '')


def test_starts_without_what_it_does_not_need() -> None:
    heavy = {'subprocess', 'asyncio', 'ssl', 'logging', 'inspect', 'across.servers', 'code'}
    code = 'import sys; from across.cli import main; main(["bios"]); print(*sys.modules)'
    run = subprocess.run(
        [PROGRAM[0], '-S', '-c', code], capture_output=True, text=True, env=environment()
    )
    assert heavy & set(run.stdout.split()) == set()
    assert run.stderr == ''
