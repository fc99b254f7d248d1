"""Bytes between an interpreter that this process starts, and a stream: the middle of ``via``.

Layer: gateways. Runs in the process of the gateway that is gone through; fetched by bare peers.
"""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from across import Stream

# Bytes taken from the interpreter at once.
_CHUNK = 1 << 16
# Seconds that it gets to end by itself once nobody talks with it any more.
_END_WAIT = 5.0


def start(stream: Stream, argv: list[str]) -> int:
    """Start a command, and relay its standard input and output.

    Returns:
        The id of the process.

    Raises:
        OSError: It can't be started.
    """
    # A session of its own: a Ctrl-C typed at the terminal is not for it.
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    )
    assert process.stdin is not None
    stdin = process.stdin

    def feed(data: bytes) -> None:
        view = memoryview(data)
        with suppress(OSError):  # it has ended; the other direction tells
            while view:
                view = view[stdin.write(view) or 0 :]

    stream.set_callback(feed, lambda *_: stdin.close())
    # Ends when the process does, or closes its output.
    threading.Thread(target=_drain, args=(stream, process), daemon=True).start()
    return process.pid


def _drain(stream: Stream, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout as stdout, suppress(Exception):  # nobody is there to be told
        while True:
            data = os.read(stdout.fileno(), _CHUNK)
            if not data:
                break
            stream.send(data)
    stream.close()
    try:
        process.wait(_END_WAIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
