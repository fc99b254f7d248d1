"""What leaves a connection: whole frames, in order, from any number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from across._core.threads.outbox import BATCH_SIZE, HIGH_WATER, Outbox
from support.interleaving import Background, in_background
from threads.sinks import Sink, make_outbox

if TYPE_CHECKING:
    from across._core.threads.outbox import Frame

# ----------------------------------------------------------------------------------------- writing


def test_frame_is_written_at_once() -> None:
    sink, outbox, _ = make_outbox()
    outbox.put(b'frame', may_block=False)
    outbox.put([b'head', memoryview(b'buffer')], may_block=True)
    assert sink.writes == [b'frame', b'headbuffer']
    assert not outbox.pending


def test_buffers_are_handed_to_the_sink_as_they_are() -> None:
    seen: list[Any] = []
    sink, outbox, _ = make_outbox()
    send = sink.send
    sink.send = lambda buffers: seen.extend(buffers) or send(buffers)  # type: ignore[method-assign, func-returns-value]
    buffer = bytearray(4)
    outbox.put([b'head', buffer], may_block=True)
    assert seen[1] is buffer


@pytest.mark.parametrize('may_block', [False, True])
def test_partial_writes(may_block: bool) -> None:
    sink, outbox, _ = make_outbox(1, 3, 4, 2)
    outbox.put([b'head', b'', bytearray(b'more'), memoryview(b'end')], may_block)
    assert sink.writes == [b'h', b'ead', b'more', b'en', b'd']
    assert not outbox.pending


def test_empty_buffers_at_the_end() -> None:
    sink, outbox, _ = make_outbox()
    outbox.put([b'head', b''], may_block=False)
    outbox.put([b'', b''], may_block=False)
    assert sink.writes == [b'head']
    assert not outbox.pending


def test_writer_that_may_block_waits_for_room() -> None:
    sink, outbox, _ = make_outbox(2, 0, 0)
    outbox.put(b'frame', may_block=True)
    assert sink.stream == b'frame'
    assert sink.waits == 2


def test_reader_never_blocks_in_a_write() -> None:
    """Both sides fill their buffers: who reads leaves the rest, and goes on reading."""
    sink, outbox, _ = make_outbox(2, 0, 0, 1, 0)
    outbox.put(b'frame', may_block=False)
    assert sink.waits == 0
    assert sink.stream == b'fr'
    assert outbox.pending  # so that the reader waits for room, too
    outbox.put(b'next', may_block=False)
    assert sink.waits == 0
    outbox.flush()
    assert sink.stream == b'fra'
    outbox.flush()
    assert sink.stream == b'framenext'
    assert not outbox.pending


def test_frames_behind_a_rest_keep_their_order() -> None:
    sink, outbox, _ = make_outbox(1, 0, 0)
    outbox.put(b'first', may_block=False)
    outbox.put(b'second', may_block=False)  # finds the rest
    outbox.put(b'third', may_block=True)  # finds the backlog
    assert sink.stream == b'firstsecondthird'


def test_writer_that_may_block_writes_the_rest_of_others_first() -> None:
    sink, outbox, _ = make_outbox(1, 0, 0, 0)
    outbox.put(b'first', may_block=False)
    outbox.put(b'second', may_block=True)
    assert sink.stream == b'firstsecond'
    assert sink.waits == 2


def test_small_frames_are_written_together() -> None:
    sink, outbox, lock = make_outbox()
    lock.acquire()
    for number in range(100):
        outbox.put(b'%02d' % number, may_block=False)
    lock.release()
    outbox.flush()
    assert sink.writes == [b''.join(b'%02d' % number for number in range(100))]


def test_large_frames_are_not_joined() -> None:
    seen: list[list[Any]] = []
    sink, outbox, lock = make_outbox()
    large = memoryview(bytes(BATCH_SIZE))
    send = sink.send
    sink.send = lambda buffers: seen.append(buffers) or send(buffers)  # type: ignore[method-assign, func-returns-value]
    lock.acquire()
    outbox.put([b'head', large], may_block=False)
    outbox.put(b'next', may_block=False)
    lock.release()
    outbox.flush()
    assert seen[0][1] is large
    assert seen[1:] == [[b'next']]


@given(
    st.lists(st.one_of(st.binary(max_size=9), st.lists(st.binary(max_size=5))), max_size=12),
    st.lists(st.integers(0, 7), max_size=40),
    st.lists(st.booleans(), min_size=1),
)
def test_any_partial_writes_give_the_same_stream(
    frames: list[Any], room: list[int], may_block: list[bool]
) -> None:
    sink = Sink(room)
    outbox = Outbox(sink)
    for i, frame in enumerate(frames):
        outbox.put(frame, may_block[i % len(may_block)])
    while outbox.pending:
        outbox.flush()
    assert sink.stream == b''.join(
        b''.join(frame) if isinstance(frame, list) else frame for frame in frames
    )
    assert outbox._queued == 0


# ------------------------------------------------------------------------------------ many threads


def test_frame_left_by_who_missed_the_send_lock_is_sent() -> None:
    sink, outbox, _ = make_outbox()
    sink.during_send.append(lambda: in_background(lambda: outbox.put(b'second', True)))
    outbox.put(b'first', may_block=True)
    assert sink.writes == [b'first', b'second']


@pytest.mark.parametrize('flush', [False, True])
def test_frame_left_after_the_last_look_at_the_queue_is_sent(flush: bool) -> None:
    """The holder has found the queue empty, and has not released the send lock yet."""
    sink, outbox, lock = make_outbox()
    if flush:  # the same when it was flushing
        outbox.backlog.append(b'')
    lock.before_release.append(lambda: in_background(lambda: outbox.put(b'second', True)))
    if flush:
        outbox.flush()
    else:
        outbox.put(b'first', may_block=True)
    assert sink.stream.endswith(b'second')
    assert not outbox.pending


def test_nothing_is_pending_while_somebody_is_at_it() -> None:
    sink, outbox, lock = make_outbox()
    lock.acquire()
    outbox.put(b'frame', may_block=False)
    seen = [outbox.pending]
    lock.release()
    seen.append(outbox.pending)
    assert seen == [False, True]
    outbox.flush()
    assert sink.writes == [b'frame']


def test_flush_leaves_it_to_who_is_at_it() -> None:
    sink, outbox, lock = make_outbox()
    lock.acquire()
    outbox.put(b'frame', may_block=True)
    outbox.flush(may_block=True)
    assert sink.writes == []
    lock.release()
    outbox.flush()


def test_low_water_does_not_block() -> None:
    _, outbox, lock = make_outbox()
    lock.acquire()
    in_background(lambda: outbox.put(bytes(HIGH_WATER), may_block=True))
    lock.release()
    outbox.flush()


def test_high_water_blocks() -> None:
    sink, outbox, lock = make_outbox()
    lock.acquire()
    outbox.put(bytes(HIGH_WATER), may_block=True)
    thread = Background(lambda: outbox.put(b'one more', may_block=True))
    lock.wait_for_waiting()
    assert sink.writes == []
    lock.release()
    thread.join()
    assert sink.stream == bytes(HIGH_WATER) + b'one more'


def test_high_water_does_not_block_the_reader() -> None:
    sink, outbox, lock = make_outbox()
    lock.acquire()
    outbox.put(bytes(HIGH_WATER), may_block=False)
    in_background(lambda: outbox.put(b'answer to the goodbye', may_block=False))
    lock.release()
    outbox.flush()
    assert sink.stream.endswith(b'goodbye')


def test_frame_in_parts_is_written_when_put_returns() -> None:
    """The caller may change its buffers then."""
    sink, outbox, lock = make_outbox()
    lock.acquire()
    thread = Background(lambda: outbox.put([b'frame'], may_block=True))
    lock.wait_for_waiting()
    lock.release()
    thread.join()
    assert sink.writes == [b'frame']


def test_frames_of_many_threads_arrive_whole_and_in_their_order() -> None:
    sink, outbox, _ = make_outbox(*[3, 0, 1, 7] * 500)
    count, per_thread = 4, 100

    def write(name: int) -> None:
        for number in range(per_thread):
            text = b'%d:%03d ' % (name, number)
            outbox.put(text if number % 3 else [text[:2], text[2:]], may_block=True)

    threads = [Background(lambda name=name: write(name)) for name in range(count)]  # type: ignore[misc]
    for thread in threads:
        thread.join()
    while outbox.pending:
        outbox.flush(may_block=True)
    frames = sink.stream.split()
    assert len(frames) == count * per_thread
    for name in range(count):
        mine = [frame for frame in frames if frame.startswith(b'%d:' % name)]
        assert mine == [b'%d:%03d' % (name, number) for number in range(per_thread)]


# ----------------------------------------------------------------------------------------- closing


def test_close_waits_until_nobody_writes() -> None:
    sink, outbox, lock = make_outbox()
    lock.acquire()
    thread = Background(outbox.close)
    lock.wait_for_waiting()
    assert thread.running
    lock.release()
    thread.join()
    assert sink.writes == []


def test_error_of_the_stream_frees_the_send_lock() -> None:
    def fail() -> None:
        raise BrokenPipeError(32, 'Broken pipe')

    sink, outbox, lock = make_outbox()
    frames: list[Frame] = [b'frame', [b'fra', b'me']]
    for frame in frames:
        sink.during_send.append(fail)
        with pytest.raises(BrokenPipeError):
            outbox.put(frame, may_block=True)
        assert not lock.locked()


def test_nothing_is_written_after_close() -> None:
    sink, outbox, _ = make_outbox(1, 0, 0)
    outbox.put(b'frame', may_block=False)
    outbox.close()
    assert not outbox.pending
    assert sink.stream == b'f'
    frames: list[Frame] = [b'frame', [b'fra', b'me']]
    for frame in frames:
        with pytest.raises(BrokenPipeError):
            outbox.put(frame, may_block=True)
    assert sink.stream == b'f'


def test_close_sends_what_was_left_to_others() -> None:
    """A goodbye, say, that came while another thread was sending an answer."""
    sink, outbox, lock = make_outbox()
    lock.acquire()
    outbox.put(b'goodbye', may_block=False)
    lock.release()
    outbox.close()
    assert sink.stream == b'goodbye'


def test_close_lets_go_of_who_waits_for_the_send_lock() -> None:
    """Threads blocked at high water must not outlive their connection."""
    sink, outbox, lock = make_outbox()
    lock.acquire()
    outbox.put(bytes(HIGH_WATER), may_block=False)
    writers = [Background(lambda: outbox.put(b'more', may_block=True)) for _ in range(3)]
    lock.wait_for_waiting(3)
    closer = Background(outbox.close)
    lock.wait_for_waiting(4)
    sink.during_send += [cancelled] * 3
    lock.release()
    closer.join()
    for writer in writers:  # fails, or learns that its frame was dropped with the others
        try:
            writer.join()
        except (InterruptedError, BrokenPipeError):
            pass


def cancelled() -> None:
    raise InterruptedError  # stands for the transport's Cancelled
