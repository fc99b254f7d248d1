"""What differs under ``across run``, as docs/howto/command-line.rst lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.program import run_program, serving

if TYPE_CHECKING:
    from pathlib import Path


def test_a_script_that_ends_its_process(tmp_path: Path) -> None:
    """Its status is known for a child only, and what it printed last may be lost there, too."""
    script = tmp_path / 'script.py'
    script.write_text('import os; os._exit(3)')
    status, out, err = run_program('run', 'local:', script)
    assert (status, out, err.count('\n')) == (1, '', 1)
    assert err.startswith('across: process ')
    assert err.endswith(' ended with status 3\n')
    with serving(f'unix://{tmp_path}/socket') as target:
        status, out, err = run_program('run', target, script)
    assert (status, out, err.count('\n')) == (1, '', 1)
    assert err.startswith(f'across: no connection to {tmp_path}/socket: ')


def test_standard_input_has_no_descriptor(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text("""\
import io, sys
try:
    sys.stdin.fileno()
except io.UnsupportedOperation as exc:
    print(exc, input())
""")
    result = run_program('run', 'local:', script, stdin='and a line')
    assert result == (0, 'fileno and a line\n', '')
