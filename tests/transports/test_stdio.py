"""The take-over of the standard streams, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from across._core.transports import base

ROOT = Path(base.__file__).parents[3]

BEGINNING = """
import os, subprocess, sys
from across._core.transports.stdio import StdioTransport

def receive(transport, size):
    transport.wait_readable(5)
    buffer = bytearray(size)
    return bytes(buffer[:transport.receive_into(memoryview(buffer))])
"""


def run(code: str, input: bytes = b'', **options: Any) -> subprocess.CompletedProcess[bytes]:
    options.setdefault('stdout', subprocess.PIPE)
    options.setdefault('stderr', subprocess.PIPE)
    return subprocess.run(
        [sys.executable, '-c', BEGINNING + code],
        input=input,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=15,
        check=False,
        **options,
    )


def test_all_that_is_printed_arrives_on_the_standard_error() -> None:
    done = run("""
sys.stdout.write('before ')
transport = StdioTransport()
print('printed')
os.write(1, b'written\\n')
subprocess.run(['/bin/echo', 'by a child'], check=True)
sys.__stdout__.write('and at the end\\n')
transport.connect(5)
transport.send([b'frames'])
""")
    assert done.stderr == b'printed\nwritten\nby a child\nand at the end\n'
    assert done.stdout == b'before frames'


def test_no_null_device() -> None:
    """As in a chroot without /dev: the standard input is empty all the same."""
    done = run(
        """
os.devnull = '/none/null'
transport = StdioTransport()
assert sys.stdin.read() == ''
print('printed')
""",
        b'frames',
    )
    assert (done.stdout, done.stderr, done.returncode) == (b'', b'printed\n', 0)


def test_nobody_else_reads_the_stream() -> None:
    done = run(
        """
transport = StdioTransport()
assert sys.stdin.read() == ''
assert os.read(0, 10) == b''
assert subprocess.run(['cat'], stdout=subprocess.PIPE, check=True).stdout == b''
transport.connect(5)
transport.send([receive(transport, 100)])
""",
        b'for the transport',
    )
    assert done.stderr == b''
    assert done.stdout == b'for the transport'


def test_what_a_loader_has_read_ahead_comes_first() -> None:
    done = run(
        """
assert sys.stdin.buffer.readline() == b'loader\\n'
transport = StdioTransport()
assert sys.stdin.read() == ''
transport.connect(5)
transport.send([receive(transport, 6), receive(transport, 100)])
""",
        b'loader\nframes and more',
    )
    assert done.stderr == b''
    assert done.stdout == b'frames and more'


def test_once_in_a_process() -> None:
    done = run("""
transport = StdioTransport()
try:
    StdioTransport()
except ValueError as exc:
    print(exc)
transport.close(None)
try:
    StdioTransport()
except ValueError as exc:
    print(exc)
""")
    line = b'the standard input and output of this process are already taken over\n'
    assert done.stderr == line * 2
    assert done.returncode == 0


def test_children_inherit_none_of_it() -> None:
    done = run("""
transport = StdioTransport()
transport.connect(5)
subprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False, check=True)
""")
    listed = {line.split('/proc/')[0].split()[-2] for line in done.stderr.decode().splitlines()[1:]}
    assert done.returncode == 0
    assert done.stderr.count(b'-> ') == len(done.stderr.splitlines()) - 1
    targets = [line.rsplit(b'-> ')[-1] for line in done.stderr.splitlines()[1:]]
    assert listed
    # null, twice the standard error, and the folder that is being listed
    assert len(targets) == 4
    assert len({target for target in targets if target.startswith(b'pipe:')}) == 1


def test_close_leaves_no_descriptor() -> None:
    done = run("""
before = len(os.listdir('/dev/fd'))
transport = StdioTransport()
transport.connect(5)
assert len(os.listdir('/dev/fd')) > before
transport.close(5)
assert len(os.listdir('/dev/fd')) == before
print('closed')
""")
    assert done.stderr == b'closed\n'


def test_the_mode_of_shared_streams_is_put_back() -> None:
    read_fd, write_fd = os.pipe()
    done = run(
        """
transport = StdioTransport()
transport.connect(5)
os.write(2, b'%d\\n' % os.get_blocking(transport._out_fd))
transport.close(5)
""",
        stdout=write_fd,
    )
    assert done.stderr == b'0\n'
    assert os.get_blocking(write_fd)
    os.close(read_fd)
    os.close(write_fd)


def without(fd: int, code: str) -> subprocess.CompletedProcess[bytes]:
    """Run code in a process that starts with a descriptor closed, reporting to a file."""
    return run(f'os.close({fd})\n{code}')


def test_without_a_standard_error() -> None:
    done = without(
        2,
        """
transport = StdioTransport()
print('unheard')
os.write(2, b'unheard too')
assert os.get_inheritable(2)
transport.connect(5)
transport.send([b'frames'])
""",
    )
    assert done.stdout == b'frames'
    assert done.returncode == 0


@pytest.mark.parametrize(('fd', 'which'), [(0, 'input'), (1, 'output')])
def test_without_a_stream_to_take(fd: int, which: str) -> None:
    done = without(
        fd,
        """
before = len(os.listdir('/dev/fd'))
try:
    StdioTransport()
except OSError as exc:
    os.write(2, str(exc).encode())
assert len(os.listdir('/dev/fd')) == before
""",
    )
    assert f'the standard {which} of this process is closed'.encode() in done.stderr
    assert done.returncode == 0 or fd == 1  # the interpreter itself misses its output


def test_a_standard_error_that_leads_into_the_stream() -> None:
    done = run(
        """
transport = StdioTransport()
print('unheard')
os.write(2, b'unheard too')
transport.connect(5)
transport.send([b'frames'])
""",
        stderr=subprocess.STDOUT,
    )
    assert done.stdout == b'frames'


def test_odd_objects_in_place_of_the_streams() -> None:
    done = run("""
import io
sys.stdin, sys.stdout = io.StringIO('typed'), None
transport = StdioTransport()
assert sys.stdin.read() == 'typed'
transport.connect(5)
transport.send([b'frames'])
""")
    assert done.stderr == b''
    assert done.stdout == b'frames'
