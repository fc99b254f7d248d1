"""``across shell``: an interactive prompt in the interpreter over there."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from across.cli import far
from across.cli.arguments import add_export, add_target

if TYPE_CHECKING:
    from across.cli.near import Session

SUMMARY = 'an interactive prompt in the interpreter over there'
DETAILS = (
    'Type Python statements that run over there. Tab completes names, Ctrl-C interrupts the '
    'statement that runs, a second one ends the connection; Ctrl-D or exit() leaves. Without a '
    'terminal, statements are read from standard input, and no prompt is shown.'
)


def add_arguments(parser: ArgumentParser) -> None:
    add_target(parser)
    add_export(parser)


def run(args: Namespace) -> int:
    from across.cli.near import add_to_path, session

    add_to_path()
    with session(args, args.export, by_line=True) as there:
        introduction = there.far.describe()
        if sys.stdin is None or not sys.stdin.isatty():
            return _serve_lines(there)
        host = there.connection.call(far.describe_process)['host']
        print(f'{introduction}\nRunning on {host}. Ctrl-D or exit() leaves.')
        _complete_names(there)
        return _serve_terminal(there)


def _serve_lines(there: Session) -> int:
    line = there.terminal.read_line()
    outcome = far.Outcome()
    while line is not None and not outcome.exited:
        outcome = there.run(far.Session.push, line)
        line = there.terminal.read_line() if not outcome.exited else None
    if outcome.more:  # the end of the input ends a block, too
        outcome = there.run(far.Session.push, '')
    return outcome.status if outcome.exited else 0


def _serve_terminal(there: Session) -> int:
    more = False
    while True:
        try:
            line = input('... ' if more else '>>> ')
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print('\nKeyboardInterrupt')
            there.far.forget_lines()
            more = False
            continue
        outcome = there.run(far.Session.push, line)
        if outcome.exited:
            return outcome.status
        more = outcome.more


def _complete_names(there: Session) -> None:
    """Let the Tab key complete the names that exist over there."""
    try:
        import readline
    except ImportError:
        return  # Python was built without it: lines can be typed all the same
    matches: list[str] = []

    def complete(text: str, state: int) -> str | None:
        if state == 0:
            if not readline.get_line_buffer().strip():
                matches[:] = ['\t']
            else:
                matches[:] = there.far.complete(text)
        return matches[state] if state < len(matches) else None

    readline.set_completer(complete)
    # The editline library, which some Pythons have in place of GNU readline, has its own language.
    is_editline = 'libedit' in (readline.__doc__ or '')
    readline.parse_and_bind('bind ^I rl_complete' if is_editline else 'tab: complete')
