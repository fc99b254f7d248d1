"""``across run``: scripts that were written for ``python script.py``."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from across.cli.running import Interruptible
from cli.program import Result, environment, run_program, running, serving, terminal
from support.interpreters import Interpreter, bare_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Write a script, and the modules beside it, by name; the script's path."""

    def write(source: str, **modules: str) -> str:
        for name, text in {'script': source, **modules}.items():
            path = tmp_path / f'{name.replace("__", "/", 1)}.py'
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return str(tmp_path / 'script.py')

    return write


def test_it_looks_like_a_program_of_its_own(script: Callable[..., str]) -> None:
    path = script(
        """
        import sys, pickle, __main__
        class Cheese: pass
        assert type(pickle.loads(pickle.dumps(Cheese()))) is Cheese
        assert __main__.Cheese is Cheese
        print(__name__, __file__, sys.argv)
        """
    )
    out = f'__main__ {path} {[path, "-v", "--", "--debug", "a b", ""]}\n'
    assert run_program('run', 'local:', path, '-v', '--', '--debug', 'a b', '') == (0, out, '')


def test_what_if_name_is_main_runs(script: Callable[..., str]) -> None:
    path = script("if __name__ == '__main__':\n    print('main')")
    assert run_program('run', 'local:', path) == (0, 'main\n', '')


def test_it_runs_over_there(script: Callable[..., str]) -> None:
    path = script(
        """
        import os, across
        print(os.getpid() != across.get_connection().call(os.getpid))
        """
    )
    assert run_program('run', 'local:', path) == (0, 'True\n', '')


@pytest.mark.parametrize('where', ['local', 'server'])
def test_streams(script: Callable[..., str], where: str) -> None:
    path = script(
        """
        import sys
        print('first line:', input('? '))
        for number, line in enumerate(sys.stdin, 2):
            print(number, line, end='', file=sys.stderr if number % 2 else sys.stdout)
        print(repr(sys.stdin.read()))
        """
    )
    expected = Result(0, "? first line: a\n2 bé\n4 d''\n", '3 c\n')
    if where == 'local':
        assert run_program('run', 'local:', path, stdin='a\nbé\nc\nd') == expected
    else:
        with serving('tcp://127.0.0.1:0') as target:
            assert run_program('run', target, path, stdin='a\nbé\nc\nd') == expected


def test_bytes_pass_unchanged(script: Callable[..., str]) -> None:
    path = script(
        """
        import sys
        data = sys.stdin.buffer.read()
        print(len(data))
        sys.stdout.flush()
        sys.stdout.buffer.write(data[::-1])
        """
    )
    text = ''.join(chr(97 + number % 26) for number in range(300_000))
    assert run_program('run', 'local:', path, stdin=text) == (0, f'{len(text)}\n{text[::-1]}', '')


@pytest.mark.parametrize(
    ('source', 'status', 'err'),
    [
        ('', 0, ''),
        ('import sys; sys.exit()', 0, ''),
        ('import sys; sys.exit(42)', 42, ''),
        ('raise SystemExit("no cheese")', 1, 'no cheese\n'),
        ('import sys; sys.exit([1])', 1, '[1]\n'),
    ],
)
def test_status(script: Callable[..., str], source: str, status: int, err: str) -> None:
    assert run_program('run', 'local:', script(source)) == (status, '', err)


def test_exception(script: Callable[..., str]) -> None:
    path = script(
        """\
        def f():
            raise ValueError('runny')
        try:
            f()
        except ValueError as exc:
            raise RuntimeError('no cheese') from exc
        """
    )
    result = run_program('run', 'local:', path)
    assert (result.status, result.out) == (1, '')
    assert result.err.startswith('Traceback (most recent call last):\n')
    assert f"""  File "{path}", line 2, in f\n    raise ValueError('runny')\n""" in result.err
    assert 'the direct cause of the following exception' in result.err
    assert result.err.endswith('RuntimeError: no cheese\n')
    assert 'across' not in result.err.replace(path, '')


def test_exception_that_only_the_script_knows(script: Callable[..., str]) -> None:
    path = script('class Gone(Exception):\n  __reduce__ = None\nraise Gone("brie")')
    result = run_program('run', 'local:', path)
    assert result.err.endswith('\nGone: brie\n') or result.err.endswith('\n__main__.Gone: brie\n')
    assert result.status == 1


def test_syntax_error(script: Callable[..., str]) -> None:
    path = script('x = 1\nif x\n')
    result = run_program('run', 'local:', path)
    assert result.status == 1
    assert result.err.startswith(f'  File "{path}", line 2\n    if x\n')
    assert 'SyntaxError' in result.err


def test_source_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / 'script.py'
    path.write_bytes('# coding: latin-1\nprint(ascii("é"))\n'.encode('latin-1'))
    assert run_program('run', 'local:', path) == (0, "'\\xe9'\n", '')


def test_modules_beside_it_come_along(script: Callable[..., str]) -> None:
    path = script(
        'import cheeses\nfrom cellar.shelf import best\nprint(cheeses.names(), best)',
        cheeses='import grapes\ndef names(): return grapes.NAMES',
        grapes='NAMES = ["pinot"]',
        cellar____init__='',
        cellar__shelf='import rats\nbest = rats.LEFT',
        rats='LEFT = "rind"',
        unused='raise SystemExit("nobody asked for this")',
    )
    assert run_program('run', 'local:', path) == (0, "['pinot'] rind\n", '')


def test_exported_module(script: Callable[..., str]) -> None:
    path = script(
        'import importlib; print(importlib.import_module("chee" + "ses").BEST)',
        cheeses='BEST = "brie"',
    )
    assert run_program('run', '--export', 'cheeses', 'local:', path) == (0, 'brie\n', '')
    assert run_program('run', 'local:', '--export', 'cheeses', path) == (0, 'brie\n', '')


def test_it_waits_for_threads(script: Callable[..., str]) -> None:
    path = script(
        """
        import sys, threading
        def late():
            first.join()
            sys.stdin.readline()
            print('late')
        def for_ever():
            threading.Event().wait()
        first = threading.Thread(target=print, args=['first'])
        first.start()
        threading.Thread(target=late).start()
        threading.Thread(target=for_ever, daemon=True).start()
        assert not first.daemon
        """
    )
    expected = Result(0, 'first\nlate\n', '')
    assert run_program('run', 'local:', path, stdin='\n') == expected


def test_ctrl_c(script: Callable[..., str]) -> None:
    path = script('print("busy", flush=True)\nwhile True: pass\n')
    with running('run', 'local:', path) as program:
        assert program.read_line() == 'busy'
        program.send_signal(signal.SIGINT)
        status, _, err = program.finish()
    assert status == 130
    assert err.endswith('KeyboardInterrupt\n')
    assert path in err


def test_ctrl_c_while_it_reads(script: Callable[..., str]) -> None:
    path = script('print("waiting", flush=True)\ninput()\n')
    with running('run', 'local:', path) as program:
        assert program.read_line() == 'waiting'
        # Whether it has come as far as reading or not.
        program.send_signal(signal.SIGINT)
        assert program.wait(15) == 130


def test_ctrl_c_that_comes_twice_while_it_reads_is_one_exception() -> None:
    """At a terminal: directly, and by way of the read; the traceback tells of one."""
    code = Interruptible()

    def read() -> None:
        assert code.interrupt()
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(code.run, lambda: code.shield(read)).exception()
    assert isinstance(error, KeyboardInterrupt)
    assert error.__context__ is None


@pytest.mark.parametrize('handler', ['process', 'local'])
def test_ctrl_c_while_it_prints_to_a_server(script: Callable[..., str], handler: str) -> None:
    """Its prints are calls of the library, which must not be interrupted halfway."""
    path = script('while True: print("busy")\n')
    with (
        serving('tcp://127.0.0.1:0', '--handler', handler) as target,
        running('run', target, path) as program,
    ):
        for _ in range(100):
            assert program.read_line() == 'busy'
        program.send_signal(signal.SIGINT)
        status, _, err = program.finish()
    assert status == 130
    assert err.endswith('KeyboardInterrupt\n')
    assert 'across' not in err.replace(path, '')


def test_it_runs_in_the_main_thread(script: Callable[..., str]) -> None:
    path = script(
        """
        import asyncio, os, signal
        signal.signal(signal.SIGUSR1, lambda number, frame: print('signal', number))
        signal.raise_signal(signal.SIGUSR1)

        async def main():
            stopped = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, stopped.set)
            os.kill(os.getpid(), signal.SIGUSR2)
            await stopped.wait()
            print('stopped')

        asyncio.run(main())
        """
    )
    expected = Result(0, f'signal {signal.SIGUSR1:d}\nstopped\n', '')
    assert run_program('run', 'local:', path) == expected
    with serving('tcp://127.0.0.1:0') as target:
        assert run_program('run', target, path) == expected


ASLEEP = """\
import time
try:
    print('asleep', flush=True)
    time.sleep(1000)
finally:
    print('awake')
"""


def test_ctrl_c_cuts_short_what_blocks(script: Callable[..., str]) -> None:
    path = script(ASLEEP)
    with running('run', 'local:', path) as program:
        assert program.read_line() == 'asleep'
        program.send_signal(signal.SIGINT)
        status, out, err = program.finish()
    assert (status, out) == (130, 'awake\n')
    first, second, *source, last = err.splitlines()
    assert (first, last) == ('Traceback (most recent call last):', 'KeyboardInterrupt')
    # It may have come as far as sleeping or not.
    assert second in [f'  File "{path}", line {line}, in <module>' for line in (3, 4)]
    assert all(line.startswith('    ') for line in source)
    assert 'across' not in err.replace(path, '')


def test_ctrl_c_that_the_terminal_sends_to_both_processes_counts_once(
    script: Callable[..., str],
) -> None:
    path = script(
        """
        import time
        for _ in range(2):
            try:
                print('asleep', flush=True)
                time.sleep(1000)
            except KeyboardInterrupt:
                print('awake', flush=True)
                if input() == 'go on': continue
        """
    )
    with terminal('run', 'local:', path) as term:
        term.read_until('asleep\n')
        term.type('\x03')
        assert term.read_until('awake\n').count('awake') == 1
        term.type('leave\n')
        # The loop goes round: a second interrupt for the same key would have ended that.
        assert term.read_until('asleep\n').count('awake') == 0


def test_handler_of_its_own(script: Callable[..., str]) -> None:
    path = script(
        """
        import signal
        signal.signal(signal.SIGINT, lambda number, frame: exit(7))
        print('ready', flush=True)
        signal.pause()
        """
    )
    with running('run', 'local:', path) as program:
        assert program.read_line() == 'ready'
        program.send_signal(signal.SIGINT)
        assert program.finish() == (7, '', '')


def test_interrupt_that_it_sends_itself(script: Callable[..., str]) -> None:
    path = script(
        """
        import os, signal
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        finally:
            1 / 0
        """
    )
    status, out, err = run_program('run', 'local:', path)
    assert (status, out) == (1, '')
    assert '\nKeyboardInterrupt\n\nDuring handling of the above exception' in err
    assert err.endswith('ZeroDivisionError: division by zero\n')
    assert 'across' not in err.replace(path, '')


def test_at_every_version(script: Callable[..., str], interpreter: Interpreter) -> None:
    path = script('import sys; print(sys.version_info[:2], input()); 1/0')
    command = bare_command(interpreter)
    result = run_program('run', path, '--', *command, stdin='in\n')
    assert (result.status, result.out) == (1, f'{interpreter.version} in\n')
    assert result.err.endswith('ZeroDivisionError: division by zero\n')


def run_with(interpreter: Interpreter, *words: str) -> tuple[int, str, str]:
    """Run the program in an interpreter that has no dependencies installed."""
    command = [interpreter.path, '-s', '-m', 'across', *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    return done.returncode, done.stdout, done.stderr


def test_scripts_in_every_version(script: Callable[..., str], interpreter: Interpreter) -> None:
    """What argparse makes of the words differs between versions."""
    path = script('import sys; print(sys.argv[1:], sys.version_info[:2]); sys.exit(7)')
    arguments = ['-v', '--', '--debug', 'x']
    out = f'{arguments} {interpreter.version}\n'
    assert run_with(interpreter, 'run', 'local:', path, *arguments) == (7, out, '')
    words = ['--debug', 'run', path, '--', *bare_command()]
    assert run_with(interpreter, *words) == (7, f'[] {sys.version_info[:2]}\n', '')


def test_words_in_every_version(interpreter: Interpreter) -> None:
    assert run_with(interpreter, 'exec', 'local:', '--', '-2') == (0, '-2\n', '')
    assert run_with(interpreter, 'exec', '--on', 'local:', '--', '-2') == (0, 'local: -2\n', '')
    assert run_with(interpreter, 'exec', 'local:')[0] == 2


def test_arguments_ahead_of_a_command(script: Callable[..., str]) -> None:
    path = script('import sys; print(sys.argv[1:])')
    out = "['-v', 'x']\n"
    assert run_program('run', path, '-v', 'x', '--', *bare_command()) == (0, out, '')


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [('missing.py', 'No such file or directory'), ('.', 'Is a directory')],
)
def test_script_that_cannot_be_read(tmp_path: Path, name: str, sentence: str) -> None:
    path = tmp_path / name
    assert run_program('run', 'local:', path) == (1, '', f'across: {path}: {sentence}\n')
