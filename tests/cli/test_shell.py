"""``across shell``: in a terminal, and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.program import STUBBORN, Terminal, run_program, serving, terminal
from cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = r'>>> $'
MORE = r'\.\.\. $'


@pytest.fixture
def shell() -> Iterator[Terminal]:
    with terminal('shell', 'local:') as term:
        term.read_until(PROMPT)
        yield term


def answer(shell: Terminal, line: str) -> str:
    """What is on the screen between a typed line and the next prompt."""
    shell.type(line + '\n')
    shell.read_until('\n')
    return shell.read_until(PROMPT)[: -len('>>> ')]


def test_it_introduces_the_interpreter() -> None:
    with terminal('shell', 'local:') as term:
        shown = term.read_until(PROMPT)
    assert shown.startswith('Python 3.')
    assert 'Ctrl-D' in shown


def test_expressions_are_shown_and_names_kept(shell: Terminal) -> None:
    assert answer(shell, 'x = 20 + 1') == ''
    assert answer(shell, 'x * 2') == '42\n'
    assert answer(shell, 'None') == ''
    assert answer(shell, '_') == '42\n'
    assert answer(shell, '__name__') == "'__main__'\n"


def test_code_runs_over_there(shell: Terminal) -> None:
    assert answer(shell, 'import os; os.getpid()') != f'{shell.pid}\n'


def test_block_goes_on_until_an_empty_line(shell: Terminal) -> None:
    shell.type('for i in range(3):\n')
    shell.read_until(MORE)
    shell.type('    print(i)\n')
    shell.read_until(MORE)
    assert answer(shell, '') == '0\n1\n2\n'


def test_traceback_shows_the_typed_source(shell: Terminal) -> None:
    shell.type('def f(): return 1 / 0\n')
    shell.read_until(MORE)
    answer(shell, '')
    shown = answer(shell, 'f()')
    assert shown.startswith('Traceback (most recent call last):\n  File "<shell 2>", line 1')
    assert 'def f(): return 1 / 0' in shown
    assert shown.endswith('ZeroDivisionError: division by zero\n')
    assert 'far.py' not in shown


def test_syntax_error_is_only_that(shell: Terminal) -> None:
    shown = answer(shell, '1 +* 2')
    assert shown.startswith('  File "<shell 1>", line 1\n')
    assert 'SyntaxError: invalid syntax' in shown
    assert answer(shell, '1') == '1\n'


def test_input_reads_from_the_terminal(shell: Terminal) -> None:
    shell.type('name = input("who? ")\n')
    shell.read_until(r'\nwho\? $')
    assert answer(shell, 'Alice') == ''
    assert answer(shell, 'name') == "'Alice'\n"


def test_ctrl_c_at_the_prompt_drops_the_statement(shell: Terminal) -> None:
    shell.type('if True:\n')
    shell.read_until(MORE)
    shell.press_until('\x03', 'KeyboardInterrupt\n')
    shell.read_until(PROMPT)
    assert answer(shell, '1') == '1\n'


def test_ctrl_c_interrupts_running_code(shell: Terminal) -> None:
    answer(shell, 'import sys')
    shell.type('while print("busy") or sys.stdout.flush() is None:\n')
    shell.read_until(MORE)
    shell.type('    while True: pass\n')
    shell.read_until(MORE)
    shell.type('\n')
    shell.read_until('busy\n')
    shell.type('\x03')
    assert 'KeyboardInterrupt\n' in shell.read_until(PROMPT)
    assert answer(shell, 'sys is not None') == 'True\n'


def test_ctrl_c_interrupts_what_blocks(shell: Terminal) -> None:
    shell.type('import time; print("asleep", flush=True); time.sleep(1000)\n')
    shell.read_until('asleep\n')
    shell.type('\x03')
    assert 'KeyboardInterrupt\n' in shell.read_until(PROMPT)
    answer(shell, 'import signal; seen = signal.signal(signal.SIGUSR1, print)')
    assert answer(shell, 'signal.getsignal(signal.SIGUSR1)') == '<built-in function print>\n'


def test_ctrl_c_interrupts_input(shell: Terminal) -> None:
    shell.type('input("who? ")\n')
    shell.read_until(r'\nwho\? $')
    shell.type('\x03')
    assert 'KeyboardInterrupt\n' in shell.read_until(PROMPT)
    assert answer(shell, '1') == '1\n'


def test_second_ctrl_c_leaves_code_that_does_not_stop(shell: Terminal) -> None:
    shell.type(f'exec({STUBBORN!r})\n')
    shell.read_until(r'\n\d+\n')
    shell.type('\x03')
    shell.read_until('waiting for the code to stop')
    shell.type('\x03')
    assert shell.finish() == 130


def test_tab_completes_names_over_there(shell: Terminal) -> None:
    pytest.importorskip('readline')
    answer(shell, 'wonderland = 7')
    shell.type('wonderl\t')
    shell.read_until('wonderland')
    assert answer(shell, ' + 1') == '8\n'


def test_lines_can_be_edited_and_fetched_again() -> None:
    pytest.importorskip('readline')
    with Screen('shell', 'local:') as screen:
        screen.wait_for('>>>$')
        screen.type('cat = 1\n')
        screen.wait_for('>>>$')
        screen.type('at + 41\x01c\n')  # Ctrl-A goes to the beginning of the line
        screen.wait_for('>>> cat [+] 41\n42\n>>>$')
        screen.type('\x1b[A\x7f0\n')  # up; rub out the 1
        screen.wait_for('>>> cat [+] 40\n41\n>>>$')
        screen.type('\x04')
        assert screen.finish() == 0


def test_ctrl_d_leaves(shell: Terminal) -> None:
    shell.type('\x04')
    assert shell.finish() == 0


@pytest.mark.parametrize(('typed', 'status'), [('exit()', 0), ('quit(3)', 3)])
def test_exit_leaves(shell: Terminal, typed: str, status: int) -> None:
    shell.type(typed + '\n')
    assert shell.finish() == status


def test_peer_that_dies_ends_it_with_a_sentence(shell: Terminal) -> None:
    shell.type('import os; os._exit(9)\n')
    assert 'ended with status 9' in shell.read_until('across: .*\n')
    assert shell.finish() == 1


def test_statements_of_a_pipe() -> None:
    lines = 'def double(x):\n    return 2 * x\n\ndouble(21)\n1/0\nname = input()\nAlice\nname\n'
    result = run_program('shell', 'local:', stdin=lines)
    assert result.status == 0
    assert result.out == "42\n'Alice'\n"
    assert result.err.endswith('ZeroDivisionError: division by zero\n')


@pytest.mark.parametrize('lines', ['if True:\n    exit(5)\n', 'exit(5)\nprint(1)\n', 'exit(5)'])
def test_pipe_that_ends_in_a_block_or_with_an_exit(lines: str) -> None:
    assert run_program('shell', 'local:', stdin=lines) == (5, '', '')


def test_shell_at_a_server() -> None:
    with serving('tcp://127.0.0.1:0') as target, terminal('shell', target) as shell:
        shell.read_until(PROMPT)
        assert answer(shell, 'print(1)') == '1\n'
        shell.type('input("who? ")\n')
        shell.read_until(r'\nwho\? $')
        assert answer(shell, 'Alice') == "'Alice'\n"
