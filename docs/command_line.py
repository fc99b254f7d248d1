"""Makes the reference of the command line from the program's own parser.

::

    python docs/command_line.py > docs/reference/command-line.rst

A test compares the page with what this prints. It does not use argparse's own help, which looks
different in every Python version.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, _HelpAction, _SubParsersAction
from textwrap import fill
from typing import TYPE_CHECKING

from across.cli.program import make_parser

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100

HEAD = """\
.. Made by docs/command_line.py; change the parser in across/cli, and run that again.

The command line
================

``across`` and ``python -m across`` are the same program. How it is used:
:doc:`../howto/command-line`.
"""

TARGETS = """\
TARGET
------

========================  =================================================================
``local:``                a bare interpreter on this machine, that of the program itself,
                          started with ``-I -S``
``tcp://host:port``       a server; an IPv6 address stands in brackets
``unix:///path``          a server on this machine
``ssh://user@host:port``  ``python3`` on a host that ``ssh`` reaches; without ``user@`` and
                          ``:port``, the configuration of ssh decides
``-- command…``           in place of TARGET, at the end of the line: a command that starts a
                          peer, and is run without a shell
========================  =================================================================
"""

HOSTS = """\
Many hosts
----------

``exec`` and ``run`` take ``--on`` or ``--hosts-file``, or both, in place of TARGET. A host is a
name or address for ``ssh``, as in ``wonderland`` or ``alice@wonderland:2222``, or a TARGET with its
``scheme:``. One that is named twice counts once. In a file, each line has one host, a ``#`` at the
beginning of a line, or after a space, begins a comment, and empty lines are skipped.

With ``run``, options stand ahead of SCRIPT: what follows it are its arguments.
"""

STATUS = """\
Exit status
-----------

===  ===============================================================================================
0    it went well
1    a failure over there, or on the way; standard error has one sentence or, where remote
     code raised an exception, its traceback
2    wrong usage
11…  with ``--on`` and ``--hosts-file``: 10 more than the number of hosts that failed, 99 at most;
     a host has failed where the status for it alone would not be 0
130  interrupted by Ctrl-C
===  ===============================================================================================

What code over there passes to ``sys.exit()`` is the status of ``run``, ``exec`` and ``shell`` at
one TARGET.
"""


def page() -> str:
    """The whole page."""
    parser = make_parser()
    parts = [HEAD, TARGETS, HOSTS, STATUS, section('across', parser)]
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            parts += [section(f'across {name}', child) for name, child in action.choices.items()]
    return '\n'.join(parts)


def section(title: str, parser: ArgumentParser) -> str:
    """What one parser takes."""
    actions = [each for each in parser._actions if not isinstance(each, _HelpAction)]
    # Positional arguments are named where they stand; options may stand anywhere.
    actions.sort(key=lambda action: bool(action.option_strings))
    words = [usage(action) for action in sorted(actions, key=lambda each: not each.option_strings)]
    lines = [title, '-' * len(title), '', '.. code-block:: text', '']
    lines += [
        f'    {title} {" ".join(words)}'.rstrip(),
        '',
        fill(escape(parser.description), WIDTH),
        '',
    ]
    for action in actions:
        lines += entry(action)
    return '\n'.join(lines).rstrip('\n') + '\n'


def usage(action: Action) -> str:
    """How it stands on the command line."""
    if isinstance(action, _SubParsersAction):
        return 'COMMAND …'
    if not action.option_strings:
        return f'[{action.metavar}…]' if action.nargs == '...' else str(action.metavar)
    return f'[{option(action)}]'


def option(action: Action) -> str:
    """An option and its value."""
    return ' '.join([action.option_strings[0], *values(action)])


def values(action: Action) -> Iterator[str]:
    if action.choices:
        yield '|'.join(map(str, action.choices))
    elif action.metavar:
        yield str(action.metavar)


def entry(action: Action) -> list[str]:
    """One argument, described."""
    if isinstance(action, _SubParsersAction):
        return ['``COMMAND``', '    one of those below', '']
    name = option(action) if action.option_strings else str(action.metavar)
    indent = '    '
    help = (action.help or '') % vars(action)
    text = fill(escape(help), WIDTH, initial_indent=indent, subsequent_indent=indent)
    return [f'``{name}``', text, '']


def escape(text: str | None) -> str:
    """Text as it is, whatever it means to reStructuredText."""
    return (text or '').replace('\\', '\\\\').replace('*', '\\*').replace('`', '\\`')


if __name__ == '__main__':
    print(page(), end='')
