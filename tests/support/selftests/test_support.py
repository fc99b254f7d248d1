"""The tests' own support, tried on purpose-made leaks and a real login."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from support.ends import stop_process
from support.interpreters import Interpreter
from support.leaks import Resources, find_leaks
from support.sshd import Sshd, missing_part, running_sshd
from support.waiting import MS, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def leaks_since(before: Resources) -> str:
    return '\n'.join(find_leaks(before, timeout=20 * MS))


def test_nothing_left_is_no_leak() -> None:
    assert find_leaks(Resources.now()) == []


def test_thread_left_behind_is_found() -> None:
    before, stop = Resources.now(), threading.Event()
    thread = threading.Thread(target=stop.wait, name='forgotten')
    thread.start()
    try:
        assert "thread 'forgotten'" in leaks_since(before)
    finally:
        stop.set()
        thread.join()
    assert find_leaks(before) == []


def test_thread_that_ends_by_itself_is_no_leak() -> None:
    before = Resources.now()
    threading.Timer(50 * MS, lambda: None).start()
    assert find_leaks(before) == []


CHATTY = """
import os, threading
def chat():
    while True:
        os.write(1, b'.')
for _ in range(8):
    threading.Thread(target=chat).start()
"""


def test_no_thread_of_a_stopped_process_runs() -> None:
    child = subprocess.Popen([sys.executable, '-c', CHATTY], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as pipe:
        try:
            assert pipe.read(1) == b'.'
            stop_process(child.pid)
            os.set_blocking(pipe.fileno(), False)
            while pipe.read():
                pass  # what was written before
            assert not select.select([pipe], [], [], 50 * MS)[0]
        finally:
            child.kill()
            child.wait()


def test_child_left_behind_is_found_alive_and_dead() -> None:
    before = Resources.now()
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    try:
        assert f'child process {child.pid}' in leaks_since(before)
    finally:
        child.kill()
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert f'child process {child.pid}' in leaks_since(before)
    child.communicate()
    assert find_leaks(before) == []


def test_descriptor_left_behind_is_found() -> None:
    before = Resources.now()
    ends = os.pipe()
    try:
        assert f'descriptor {ends[0]} pipe:' in leaks_since(before)
    finally:
        for end in ends:
            os.close(end)
    assert find_leaks(before) == []


def test_temporary_file_left_behind_is_found() -> None:
    before = Resources.now()
    handle, path = tempfile.mkstemp()
    os.close(handle)
    try:
        assert f'file {path}' in leaks_since(before)
    finally:
        os.unlink(path)


def test_wait_until_returns_the_value_and_gives_up_with_a_reason() -> None:
    values = iter([0, '', 'done'])
    assert wait_until(lambda: next(values)) == 'done'
    with pytest.raises(TimeoutError, match='for the moon, last seen 0'):
        wait_until(lambda: 0, 'the moon', timeout=5 * MS)


def test_interpreter_is_the_version_it_says(interpreter: Interpreter) -> None:
    code = 'import sys; print(tuple(sys.version_info[:2]))'
    run = subprocess.run([interpreter.path, '-I', '-S', '-c', code], capture_output=True)
    assert run.stdout.decode().strip() == str(interpreter.version)


def test_own_interpreter_is_among_those_found(interpreters: list[Interpreter]) -> None:
    assert sys.version_info[:2] in [found.version for found in interpreters]


def test_sshd_lets_us_in_and_keeps_words_apart(sshd: Sshd) -> None:
    code = 'import sys; print(sys.argv[1:], sys.stdin.read())'
    run = subprocess.run(
        sshd.command('python3', '-I', '-S', '-c', code, 'two words', "it's"),
        input=b'given',
        capture_output=True,
    )
    assert run.stderr == b''
    assert run.stdout.decode().strip() == str(['two words', "it's"]) + ' given'


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs, rather than waits for its parent to take notice of its end."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_sshd_leaves_no_process(tmp_path: Path) -> None:
    missing = missing_part()
    if missing:
        pytest.skip(missing)
    with running_sshd(tmp_path) as server:
        client = subprocess.Popen(
            server.command('cat'), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert client.stdin
        assert client.stdout
        client.stdin.write(b'hello\n')
        client.stdin.flush()
        assert client.stdout.readline() == b'hello\n'
        config = str(tmp_path / 'sshd_config')
        children = list(filter(is_alive, psutil.Process().children()))
        (daemon,) = (child for child in children if config in ' '.join(child.cmdline()))
        family = daemon.children(recursive=True)
        assert family
    assert not any(process.is_running() for process in family)
    client.communicate()
    assert client.returncode == 255
