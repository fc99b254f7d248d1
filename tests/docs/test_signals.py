"""The program of the documentation that SIGTERM ends in good order."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from across import Connection
from servers.processes import running
from support.waiting import SECOND, wait_until

SCRIPT = Path(__file__).parents[2] / 'docs' / 'examples' / 'sigterm.py'


def test_sigterm_ends_the_program_in_good_order(tmp_path: Path) -> None:
    path, fifo = tmp_path / 'socket', tmp_path / 'fifo'
    os.mkfifo(fifo)
    with running(SCRIPT.read_text(), path) as process:
        assert process.read_line() == 'serving'
        with Connection.from_unix(str(path)) as conn:
            answer = conn.submit(Path.read_text, fifo)
            with fifo.open('w') as pipe:  # waits until that call reads it
                process.send_signal(signal.SIGTERM)
                wait_until(lambda: not path.exists(), 'the server to close')
                pipe.write('done')
            assert answer.result(10 * SECOND) == 'done'
            conn.wait()  # raises if nobody said goodbye
        assert process.finish() == ('', '', 0)
