"""Many targets: what is written behind ``--on``, and in a hosts file."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import NamedTuple

from .errors import named, sentence
from .targets import Target, is_target, parse_target

_COMMENT = re.compile(r'(^|\s)#.*')


class Host(NamedTuple):
    """One of many targets."""

    label: str  # as it was written; stands ahead of each line of its output
    target: Target


def parse_hosts(text: str) -> list[Host]:
    """Read what is written behind ``--on``.

    Raises:
        ArgumentTypeError: Some word of it is no host, or there is none at all.
    """
    words = [word.strip() for word in text.split(',')]
    hosts = [_parse_host(word) for word in words if word]
    if not hosts:
        raise ArgumentTypeError(f'{text!r} names no host')
    return hosts


def read_hosts(path: str) -> list[Host]:
    """Read a file with a host on each line.

    Raises:
        ArgumentTypeError: It can't be read, a line is no host, or there is none at all; says which
            file and line.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = file.read().splitlines()
    except OSError as exc:
        raise ArgumentTypeError(sentence(named(exc, path))) from None
    except UnicodeDecodeError:
        raise ArgumentTypeError(f'{path}: this is not text in UTF-8') from None
    hosts = []
    for number, line in enumerate(lines, 1):
        word = _COMMENT.sub('', line).strip()
        try:
            hosts += [_parse_host(word)] if word else []
        except ArgumentTypeError as exc:
            raise ArgumentTypeError(f'{path}, line {number}: {exc}') from None
    if not hosts:
        raise ArgumentTypeError(f'{path} names no host')
    return hosts


def each_once(hosts: list[Host]) -> list[Host]:
    """Leave out what names a target that was named before."""
    by_target: dict[Target, Host] = {}
    for host in hosts:
        by_target.setdefault(host.target, host)
    return list(by_target.values())


def _parse_host(word: str) -> Host:
    if '://' in word or is_target(word):
        target = parse_target(word)
        if target.scheme == 'command':
            raise ArgumentTypeError(f'{word!r} is no host')
        return Host(word.rstrip(':'), target)
    try:
        return Host(word, parse_target(f'ssh://{word}'))
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f'{word!r} is no host; write host, user@host:port, or a TARGET such as tcp://host:port'
        ) from None
