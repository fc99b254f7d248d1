"""Ctrl-C while frames are sent: no byte is lost or doubled, no lock kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.ends import run_script
from threads.sinks import make_outbox

TESTS = str(Path(__file__).parents[1])


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize('room', [0, 2, 5, 7, 9])
def test_nothing_is_lost_or_doubled_when_interrupted_right_behind_a_write(room: int) -> None:
    """What would be in doubt is not: the sink says how much it took, even if it can't return."""
    sink, outbox, lock = make_outbox(room)
    sink.behind_send.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        outbox.put([b'frame', b'more'], may_block=True)
    assert sink.stream == b'framemore'[:room]
    assert not lock.locked()
    assert outbox.pending == (room < 9)
    outbox.put(b'next', may_block=False)
    assert sink.stream == b'framemorenext'


def test_nothing_is_doubled_when_interrupted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before what the first write took could be taken into account."""
    sink, outbox, _ = make_outbox(3)
    sink.behind_send.append(interrupt)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, '_settle', interrupt)
        with pytest.raises(KeyboardInterrupt):
            outbox.put(b'frame', may_block=True)
    outbox.put(b'next', may_block=False)
    assert sink.stream == b'framenext'


def test_nothing_is_lost_when_interrupted_right_before_a_write() -> None:
    """How much the write before took has nothing to do with this one."""
    sink, outbox, _ = make_outbox(1)
    sink.during_send += [lambda: None, interrupt]
    with pytest.raises(KeyboardInterrupt):
        outbox.put(b'frame', may_block=True)
    assert sink.stream == b'f'
    outbox.flush()
    assert sink.stream == b'frame'


def test_nothing_is_lost_when_interrupted_while_waiting_for_room() -> None:
    """The rest of the frame is sent by whoever comes next: the stream stays whole."""
    sink, outbox, _ = make_outbox(2, 0)
    sink.during_wait.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        outbox.put(b'frame', may_block=True)
    assert outbox.pending
    outbox.put(b'next', may_block=False)
    assert sink.stream == b'framenext'


def test_nothing_is_lost_when_interrupted_while_waiting_for_the_send_lock() -> None:
    sink, outbox, lock = make_outbox()
    wait = lock.acquire

    def acquire(blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            interrupt()
        return wait(blocking, timeout)

    lock.acquire()
    lock.acquire = acquire  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        outbox.put([b'frame'], may_block=True)
    lock.release()
    outbox.flush()
    assert sink.stream == b'frame'


AT_ANY_CALL = """
import sys
from threads.sinks import make_outbox

def flush_interrupted(call):
    sink, outbox, lock = make_outbox(3)
    lock.acquire()
    for frame in [b'one ', [b'two', b' '], b'three ']:
        outbox.put(frame, may_block=False)
    lock.release()
    calls = 0

    def profile(frame, event, arg):
        # Where a signal handler may run: as a function begins, and behind each call of C code.
        nonlocal calls
        if event in ('call', 'c_return') and frame.f_code.co_filename.endswith('/outbox.py'):
            calls += 1
            if calls == call:
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        outbox.flush()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    if not lock.locked():  # a handler that runs amid `finally` can't be helped
        outbox.flush()
        assert sink.stream == b'one two three ', (call, sink.stream)
    return calls == call

calls = 1
while flush_interrupted(calls):
    calls += 1
print(calls)
"""


def test_nothing_is_lost_when_interrupted_at_any_call() -> None:
    """Other threads' frames are on their way, too: all arrive, whole, once, in their order."""
    # In a process of its own: Python 3.11 can hang where code was traced that has run for long.
    assert int(run_script(f'import sys\nsys.path.insert(0, {TESTS!r})\n{AT_ANY_CALL}')) > 20
