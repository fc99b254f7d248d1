"""Each Python example of README.rst, of the pages and of the docstrings runs, as a script.

What an example takes for granted is added by its `Script`, or its `Server`. Names of hosts, ports
and folders are replaced by those of real ones on this machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from across import Connection, OperationError, Options
from support.examples import PAGES, ROOT, check_output, find_examples
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from support.certificates import Certificates
    from support.stage import Stage


class Script(NamedTuple):
    """An example that comes to its end.

    Attributes:
        before: What comes ahead of it. Where that ends in a colon, the example is indented.
        after: What follows it, to see what it has done.
        prints: What it prints; dots stand for anything.
        raises: The last line of the traceback that it ends with.
        needs: A shell command; where that fails, the example can't run.
        server: The server that it connects to.
    """

    before: str = ''
    after: str = ''
    prints: str = ''
    raises: str = ''
    needs: str = 'true'
    server: str = ''


class Server(NamedTuple):
    """An example that serves until it is stopped.

    Attributes:
        before: What comes ahead of it.
        shares: All clients are served by the server's own process.
        status: What it exits with at SIGTERM.
    """

    before: str = ''
    shares: bool = False
    status: int = 0


ROOTS = [*PAGES, *sorted((ROOT / 'across').rglob('*.py'))]
EXAMPLES = {
    str(path.relative_to(ROOT)): examples for path in ROOTS if (examples := find_examples(path))
}

# Lines that can't be run where the tests run, and why.
NOT_RUN = {
    "Connection.from_ssh('wonderland', python='docker exec -i web python3')": 'needs a container',
}

BARE = """\
import sys
from across import Connection, get_bios

with Connection.from_command([sys.executable, '-I', '-S', '-c', get_bios()]) as conn:
"""
LOAD = Script(prints="('...', ...)")
# Connections that are only made: each is used once.
CONNECTIONS = 'from across import Connection\n'
USED = r'with \1 as conn: print(conn.call(abs, -42))'
TUTORIAL = EXAMPLES['docs/tutorial/index.rst']
FIRST, DIVIDE = TUTORIAL[0].source, TUTORIAL[1].source.partition('    print')[0]
ACCEPTING = """\
import socket
from across.servers import LocalConnectionHandler
"""
SYSTEMD = """\
import os, socket
with socket.socket(socket.AF_UNIX) as sock:
    sock.bind('/run/user/1000/across')
    os.chmod('/run/user/1000/across', 0o600)
    sock.listen()
    if sock.fileno() == 3:
        os.set_inheritable(sock.detach(), True)
    else:
        os.dup2(sock.fileno(), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
"""


# For each file, one for each of its examples.
STAGES: dict[str, list[Script | Server]] = {
    'README.rst': [LOAD, Script(prints="['...', '...', '...']")],
    'docs/index.rst': [LOAD],
    'docs/tutorial/index.rst': [
        Script(),
        Script(FIRST, prints='2.5'),
        Script(FIRST + DIVIDE, raises='ZeroDivisionError: division by zero'),
        Script(FIRST + DIVIDE, prints='4.0'),
        Script(FIRST + DIVIDE, prints='2 Bob'),
    ],
    'docs/howto/exchange-items.rst': [
        Script(
            'import pathlib\n'
            'from across.gateways import makegateway\n'
            'with makegateway() as gateway:\n',
            prints='/srv/album/alice.jpg',
        ),
        Script(
            'from across.gateways import Group\n',
            prints='[(..., ..., ...), (..., ...), (..., ...)]',
        ),
    ],
    'docs/howto/jump-host.rst': [
        Script(CONNECTIONS, prints='42'),
        Script(prints='(..., ..., ...)'),
        Script(prints='42'),
    ],
    'docs/howto/lock-it-down.rst': [
        Server(),
        Script(prints='279936', server=EXAMPLES['docs/howto/lock-it-down.rst'][0].source),
    ],
    'docs/howto/other-doors.rst': [
        Script(prints='[...]', needs='sudo -n true'),
        Script(CONNECTIONS, prints='42', needs='sudo -n -u www-data true'),
    ],
    'docs/howto/over-ssh.rst': [
        Script(CONNECTIONS, prints='42'),
        Script(CONNECTIONS, prints='42\n42'),
        Script(CONNECTIONS, prints='42\n42\n42'),
    ],
    'docs/howto/proxies.rst': [
        Script(
            BARE + "    proxy = conn.call_ref(open, '/dev/null')\n    print(",
            after=')',
            prints='/dev/null',
        ),
    ],
    'docs/howto/run-tests-over-ssh.rst': [
        Script(after='print(execnet.__name__)', prints='across.gateways.execnet')
    ],
    'docs/howto/serve.rst': [
        Server(shares=True),
        Server(),
        Script("from across.servers import Server\nserver = Server.listen_tcp('localhost', 0)\n"),
        Script(after='assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)'),
        Server(shares=True, status=-signal.SIGTERM),
    ],
    'docs/howto/systemd.rst': [
        Server(SYSTEMD),
    ],
    'across/__init__.py': [
        Script(
            'import os\nfrom across import Connection, get_bios\n',
            after="assert os.path.isdir('/home/alice')",
            needs='sudo -n true',
        ),
    ],
    'across/_core/connection.py': [
        Script(
            'import os\nfrom across import Connection\n',
            after="assert os.path.isdir('/home/alice')",
            server=EXAMPLES['across/servers/__init__.py'][0].source,
        ),
        Script(
            BARE,
            after='import pathlib; print(pathlib.Path("extinct_species").read_text())',
            prints='dinosaurs',
        ),
        Script('def follow(path): return open(path)\n' + BARE, after='print(line)', prints='...'),
        Script(BARE),
    ],
    'across/_core/debug.py': [
        Script(
            'import os\n'
            'from across._core import debug\n'
            "debug.verbosity, peer, size = debug.DETAILED, 'wonderland', 7\n"
            'os.dup2(1, 2)\n',
            prints='... wonderland  received 7 bytes',
        )
    ],
    'across/_core/serving.py': [
        Script(
            'import across, signal\ndef handler(*args): pass\n' + BARE,
            after='    print(conn.execute("import signal; str(signal.getsignal(10))"))',
            prints='<function handler at ...>',
        )
    ],
    'across/gateways/__init__.py': [Script(prints="b'...'", needs='test -f /etc/hostname')],
    'across/gateways/rsync.py': [
        Script(
            'from across.gateways import Group, RSync\n'
            "with Group(['popen//chdir=work']) as group:\n",
            after='import pathlib; print(pathlib.Path("work/copy-of-project/README").read_text())',
            prints='Curiouser and curiouser!',
        )
    ],
    'across/servers/__init__.py': [Server()],
    'across/servers/handlers.py': [Server(ACCEPTING, shares=True, status=-signal.SIGTERM)],
    'across/servers/listeners.py': [
        Script(
            'import os\n'
            'from across import Connection\n'
            'from across.servers import ProcessConnectionHandler, Server\n',
            after='    with Connection.from_tcp(host, port) as conn:\n'
            '        assert conn.call(os.getpid) != os.getpid()\n',
        )
    ],
}

SHOWN = [
    (f'{file}-{number}', file, number, stage)
    for file, stages in STAGES.items()
    for number, stage in enumerate(stages)
]
SCRIPTS = [pytest.param(f, n, s, id=i) for i, f, n, s in SHOWN if isinstance(s, Script)]
SERVERS = [pytest.param(f, n, s, id=i) for i, f, n, s in SHOWN if isinstance(s, Server)]


def test_every_example_is_run() -> None:
    assert {file: len(stages) for file, stages in STAGES.items()} == {
        file: len(examples) for file, examples in EXAMPLES.items()
    }


def test_what_is_not_run_is_still_there() -> None:
    shown = ''.join(each.source for examples in EXAMPLES.values() for each in examples)
    assert [line for line in NOT_RUN if line not in shown] == []


def whole(script: Script, example: str) -> str:
    kept = ''.join(
        re.sub(r'^(Connection\..+)$', USED, line)
        for line in example.splitlines(keepends=True)
        if line.strip() not in NOT_RUN
    )
    inner = script.before.endswith(':\n')
    return script.before + (textwrap.indent(kept, '    ') if inner else kept) + script.after


@pytest.fixture
def options(request: pytest.FixtureRequest, stage: Stage) -> Options:
    """What clients need; where the example is about certificates, they are there."""
    if 'lock-it-down' not in request.node.callspec.id:
        return Options()
    certificates: Certificates = request.getfixturevalue('certificates')
    stage.add_certificates(certificates)
    return Options(ssl_context=certificates.client_context(certificates.client))


@pytest.mark.usefixtures('options')
@pytest.mark.parametrize(('file', 'number', 'script'), SCRIPTS)
def test_script(stage: Stage, file: str, number: int, script: Script) -> None:
    example = EXAMPLES[file][number]
    assert example.shown.strip() in ('', script.prints, script.raises)
    if subprocess.run(script.needs, shell=True, capture_output=True).returncode:
        pytest.skip(f'{script.needs!r} fails')
    with ExitStack() as stack:
        port = stack.enter_context(stage.serving(script.server))[1] if script.server else 0
        process = stack.enter_context(
            stage.running(stage.localized(whole(script, example.source), port))
        )
        out, err = process.communicate(timeout=15 * SECOND)
        if script.raises:
            assert (err.splitlines()[-1], process.returncode) == (script.raises, 1), err
        else:
            assert (err, process.returncode) == ('', 0)
        check_output(out, stage.localized(script.prints, port) + '\n' * bool(script.prints))


@pytest.mark.parametrize(('file', 'number', 'server'), SERVERS)
def test_server(stage: Stage, options: Options, file: str, number: int, server: Server) -> None:
    with stage.serving(server.before + EXAMPLES[file][number].source) as (process, port):

        def connect() -> Connection:
            if port:
                return Connection.from_tcp('localhost', port, options=options)
            return Connection.from_unix(str(stage.folder / 'across'), options=options)

        def called() -> object:
            try:
                with connect() as conn:
                    return conn.call(os.getpid)
            except OperationError:
                return None

        assert (wait_until(called, 'an answer') == process.pid) == server.shares
        process.terminate()
        out, err = process.communicate(timeout=15 * SECOND)
        assert (out, err, process.returncode) == ('', '', server.status)
