"""What stands in place of TARGET: a command after ``--``, or ``--on`` and ``--hosts-file``.

The parser of the standard library can't say that; here the words are put in the order it knows.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Iterator, NamedTuple

from .targets import COMMAND, is_target

# In place of TARGET.
OF_HOSTS = ('--on', '--hosts-file')


class Words(NamedTuple):
    """The words of a command line.

    Attributes:
        argv: For the parser; COMMAND stands where TARGET is missing.
        command: What follows ``--``, if that is a command.
        problem: What is wrong with them, if anything is.
    """

    argv: list[str]
    command: list[str] | None = None
    problem: str = ''


def arrange(argv: list[str], parsers: dict[str, ArgumentParser]) -> Words:
    """Put `COMMAND` where TARGET is missing, and take the command after ``--`` out.

    Where there is a TARGET, or hosts, ``--`` means what it always does, or belongs to the arguments
    of a script.

    Args:
        argv: What was typed.
        parsers: Those of the subcommands that have a TARGET.
    """
    end = argv.index('--') if '--' in argv else len(argv)
    start = next((at for at in range(end) if argv[at] in parsers), None)
    if start is None:
        return Words(argv)
    options, words = _sorted_out(argv[start + 1 : end], argv[start], parsers[argv[start]])
    has_target = bool(words) and is_target(words[0])
    known = parsers[argv[start]]._option_string_actions
    hosts = next((each for each in options if each in OF_HOSTS and each in known), None)
    if hosts and has_target:
        return Words(argv, problem=f'{hosts} comes in place of TARGET, which is {words[0]!r} here')
    if hosts or (end < len(argv) and not has_target):
        before = [*argv[: start + 1], COMMAND, *argv[start + 1 : end]]
        return Words([*before, *argv[end:]]) if hosts else Words(before, argv[end + 1 :])
    return Words(argv)


def _sorted_out(
    words: list[str], command: str, parser: ArgumentParser
) -> tuple[list[str], list[str]]:
    """The names of options, and what is none; without the arguments of a script."""
    options: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word.startswith('-') and word != '-':
            options.append(_skip_value(word, rest, parser))
        else:
            others.append(word)
            if command == 'run' and len(others) > is_target(others[0]):
                break  # that was the script
    return options, others


def _skip_value(word: str, rest: Iterator[str], parser: ArgumentParser) -> str:
    name, has_value, _ = word.partition('=')
    action = parser._option_string_actions.get(name)
    if action is not None and action.nargs is None and not has_value:
        next(rest, None)
    return name
