"""What is written behind ``--on`` and in a hosts file, and every mistake in it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

import pytest

from across.cli.hosts import Host, each_once, parse_hosts, read_hosts
from across.cli.program import make_parser, parsers_of
from across.cli.targets import Target
from across.cli.words import Words, arrange
from cli.program import run_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ('word', 'label', 'target'),
    [
        ('wonderland', 'wonderland', Target('ssh', host='wonderland')),
        ('alice@wonderland', 'alice@wonderland', Target('ssh', 'alice', 'wonderland')),
        ('wonderland:2222', 'wonderland:2222', Target('ssh', None, 'wonderland', 2222)),
        ('[::1]', '[::1]', Target('ssh', host='::1')),
        ('10.0.0.1', '10.0.0.1', Target('ssh', host='10.0.0.1')),
        ('ssh://a@b', 'ssh://a@b', Target('ssh', 'a', 'b')),
        ('tcp://a:1', 'tcp://a:1', Target('tcp', host='a', port=1)),
        ('unix:///a#b', 'unix:///a#b', Target('unix', path='/a#b')),
        ('local:', 'local', Target('local')),
    ],
)
def test_host(word: str, label: str, target: Target, tmp_path: Path) -> None:
    assert parse_hosts(word) == [Host(label, target)]
    (tmp_path / 'hosts').write_text(word)
    assert read_hosts(str(tmp_path / 'hosts')) == [Host(label, target)]


def test_list_between_commas() -> None:
    assert [host.label for host in parse_hosts('a, b,,tcp://c:1,')] == ['a', 'b', 'tcp://c:1']


def test_file_with_comments(tmp_path: Path) -> None:
    path = tmp_path / 'hosts'
    lines = ['\ufeff# all of them', 'a', '', '  bé # the second', '#c', 'unix:///d#1 #', 'e']
    path.write_bytes('\r\n'.join(lines).encode())
    labels = [host.label for host in read_hosts(str(path))]
    assert labels == ['a', 'bé', 'unix:///d#1', 'e']  # no comment begins within a word


def test_host_named_twice_counts_once() -> None:
    hosts = each_once(parse_hosts('a,b,ssh://a,a,b:22'))
    assert [host.label for host in hosts] == ['a', 'b', 'b:22']


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('', "'' names no host"),
        (' , ', "' , ' names no host"),
        ('a,b c', "'b c' is no host; write host, user@host:port, or a TARGET such as tcp://"),
        ('-oProxyCommand=x', "'-oProxyCommand=x' is no host"),
        ('a:b', "'a:b' is no host"),
        ('::1', "'::1' is no host"),
        ('me:secret@a', "'me:secret@a' is no host"),
        ('http://a', "'http://a' is no target; those are local:, tcp://host:port"),
        ('tcp://a', "'tcp://a' is not of the form tcp://host:port"),
        ('command:', "'command:' is no host"),
    ],
)
def test_mistake_in_a_host(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        parse_hosts(text)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (b'', 'hosts names no host'),
        (b'# nobody\n', 'hosts names no host'),
        (b'a\n\nb c\n', "hosts, line 3: 'b c' is no host; write host"),
        (b'# x\ntcp://a', "hosts, line 2: 'tcp://a' is not of the form tcp://host:port"),
        (b'a\n\xff\n', 'hosts: this is not text in UTF-8'),
        (None, 'hosts: No such file or directory'),
    ],
)
def test_mistake_in_a_file(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / 'hosts').write_bytes(content)
    with pytest.raises(ArgumentTypeError) as caught:
        read_hosts(str(tmp_path / 'hosts'))
    assert str(caught.value).startswith(f'{tmp_path}/{sentence}')


@pytest.mark.parametrize(
    ('typed', 'parsed'),
    [
        ('exec --on a 1', 'exec command: --on a 1'),
        ('exec 1 --on a', 'exec command: 1 --on a'),
        ('exec --on=a 1', 'exec command: --on=a 1'),
        ('exec --on tcp://a:1 1', 'exec command: --on tcp://a:1 1'),
        ('exec --export local: --on a 1', 'exec command: --export local: --on a 1'),
        ('--debug exec --hosts-file f -- -2', '--debug exec command: --hosts-file f -- -2'),
        ('run --on a s.py --on b -- c', 'run command: --on a s.py --on b -- c'),
        ('run local: s.py --on b -- c', 'run local: s.py --on b -- c'),
        ('exec local: 1', 'exec local: 1'),
        ('ping --on a', 'ping --on a'),
        ('bios --raw', 'bios --raw'),
    ],
)
def test_hosts_stand_in_place_of_target(typed: str, parsed: str) -> None:
    assert arrange(typed.split(), parsers_of(make_parser())) == Words(parsed.split())


def test_arguments_of_a_script_are_its_own() -> None:
    """Also where a command follows."""
    words = arrange(['run', 's.py', '--on', 'b', '--', 'c', 'd'], parsers_of(make_parser()))
    assert words == Words(['run', 'command:', 's.py', '--on', 'b'], ['c', 'd'])


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        ('exec --on a local: 1', "exec: error: --on comes in place of TARGET, which is 'local:'"),
        ('run --hosts-file {hosts} local: x', '--hosts-file comes in place of TARGET'),
        ('exec --width 3 local: 1', 'exec: error: --width goes with --on or --hosts-file'),
        ('exec --fail-fast local: 1', '--fail-fast goes with --on or --hosts-file'),
        ('exec --width 0 --on a 1', "--width: '0' is not a number of 1 or more"),
        ('exec --on b/c 1', "argument --on: 'b/c' is no host"),
        ('exec --hosts-file {hosts}x 1', 'hostsx: No such file or directory'),
        ('exec --on a', 'the following arguments are required: CODE'),
        ('exec 1', "argument TARGET: '1' is no target"),
        ('exec --hosts x 1', "argument TARGET: 'x' is no target"),
        ('shell --on a', "argument TARGET: 'a' is no target"),
    ],
)
def test_wrong_usage(words: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / 'hosts').write_text('a')
    result = run_program(*words.format(hosts=tmp_path / 'hosts').split())
    assert (result.status, result.out) == (2, '')
    assert sentence in result.err
