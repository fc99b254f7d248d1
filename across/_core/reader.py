"""The reading side of a connection: whoever holds the baton reads, and hands each frame on.

Layer: just below :mod:`.link`. Who reads when, and why a reader never waits for a write, is told in
``docs/explanation/threading``.
"""

from __future__ import annotations

import time
from _thread import get_ident

from .dispatcher import Dispatcher
from .errors import ProtocolError, sentence
from .interrupts import SIGNAL_PAUSE, came_from_handler, owed, settle, shield
from .states import OPEN, UP
from .threads.baton import Baton, Waiter
from .threads.cache import service_threads
from .threads.context import context
from .threads.watchdog import TICK, watchdog
from .transports.base import Cancelled
from .values.memory import allocate
from .wire.frames import CALL, IDLE, RESULT, FrameDecoder

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from .calls import PendingCall
    from .idle import Idle
    from .link import Link
    from .wire.frames import Frame

# For how many calls to keep a reader ready, after one had to wait for the watchdog to find one:
# handlers that block, and calls against the direction of the last one, seldom come alone.
EAGER = 64

_NEVER = float('inf')

# A connection that is idle for so long (seconds) gives up its thread; early, if it had one call or
# none: where many have little to say, few threads serve them all.
PARK_AFTER = 1.0
PARK_EARLY = 0.01


class Reader:
    """Reads for one link, in turns: a caller that waits, or a service thread."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transport = link.transport
        self._outbox = link.sender.outbox
        self.baton = Baton(self._on_free)
        self.dispatcher = Dispatcher(link, self.baton)
        self.decoder = FrameDecoder(allocate, link.options.max_frame_size)
        self.reads = 0  # how often bytes came in: the pulse looks whether it goes up
        # The holder of the baton takes messages in: if an exception ends that, nobody knows which.
        self._in_doubt = False
        self._found_late = False  # the watchdog found messages that nobody was reading
        self.idle: Idle | None = None  # None: it always keeps a thread
        self._finder_comes = False  # a service thread is on its way to take the baton
        self._eager = 0  # how often to hand the baton to a service thread, rather than leave it

    def feed(self, data: bytes) -> None:
        """Take in what the handshake has read too much."""
        while data:
            room = self.decoder.buffer
            count = min(len(room), len(data))
            room[:count], data = data[:count], data[count:]
            self.dispatcher.dispatch(self.decoder.received(count), None)
        watchdog.rouse(self._link.pulse)
        if self._link.handlers.queue:
            self._link.handlers.call_colleague()

    def find(self) -> None:
        """Have a service thread read, if nobody does: Ctrl-C amid this must not lose the baton."""
        if self.baton.free and not self._finder_comes:
            self._finder_comes = True
            service_threads.run(self._serve_if_free)

    def _serve_if_free(self) -> None:
        self._finder_comes = False
        context.thread.critical = True  # first: a collection may begin at any step
        if self.baton.try_take():
            self.serve()
        context.thread.critical = False

    def _serve_instead(self, holder: Waiter) -> None:
        context.thread.critical = True
        if self.baton.take_from(holder):
            self.serve()
        context.thread.critical = False

    def look(self, stuck: bool) -> None:
        """What the watchdog does where nobody reads (`stuck`: for a whole tick): find a reader."""
        self._finder_comes = False
        if not self.baton.try_take():
            return
        try:
            late = bool(self._transport.received) or self._transport.wait_readable(0.0)
        except Cancelled:
            late = True
        self._found_late = late
        if late or stuck:
            service_threads.run(self.serve)
        else:
            self.baton.pass_on()

    def serve(self, received: list[Frame] | None = None) -> None:
        """Of a service thread with the baton: read on from `received`, and run the peer's calls."""
        handlers = self._link.handlers
        thread = context.thread
        thread.critical = True
        if self.idle is not None and self.idle.parked:
            self.idle.unpark()
        early = PARK_EARLY if self.idle is not None else _NEVER  # it never parks
        pause, next_pause, quiet_since = early, early, None
        if received is None:
            received = self._receive(pause)
        while received is not None:
            if len(received) == 1 and not self._found_late:
                frame = received[0]
                if frame.kind == CALL and not (frame.refs or frame.parent or handlers.queue):
                    # A plain call, what nearly every read brings: it need not be queued.
                    quiet_since, pause, next_pause = None, next_pause, PARK_AFTER
                    call = handlers.add_call(frame) if self._link.state == OPEN else None
                    if call is not None and not self._work(handlers.run, call):
                        break
                    received = self._receive(pause)
                    continue
            woke = self.dispatcher.dispatch(received, None)
            if self._found_late:
                self._found_late = False
                if handlers.queue:  # calls of the peer have waited; results don't count
                    self._eager = EAGER
            if handlers.queue:
                quiet_since, pause, next_pause = None, next_pause, PARK_AFTER
                if not self._work(handlers.work):
                    break
            elif woke:
                # That caller probably calls again, and then reads for itself without any hand-over.
                self._give_up()
                break
            elif received and received[-1].kind != IDLE:
                if next_pause == early:
                    watchdog.rouse(self._link.pulse)  # it was left alone until now
                quiet_since, pause, next_pause = None, next_pause, PARK_AFTER
            elif self.idle is not None:
                quiet_since = quiet_since or time.monotonic()
                if not received or time.monotonic() - quiet_since >= pause:
                    if self.idle.park(not received):
                        break
                    pause = PARK_AFTER  # try again later
            received = self._receive(pause)
        else:
            self.baton.pass_on()
        thread.critical = False

    def _work(self, work: Callable[..., None], *args: Any) -> bool:
        """Run calls of the peer; whether this thread, which held the baton, has it again then."""
        if self._give_up():
            work(*args)
            return self.baton.try_take()
        began = time.monotonic()
        work(*args)
        if time.monotonic() - began > TICK:
            self._eager = EAGER  # whatever came meanwhile would have waited for the watchdog
        return False

    def _on_free(self) -> None:
        """The baton was left free: the watchdog finds a reader if none comes by itself."""
        pulse = self._link.pulse
        if pulse.resting:
            if self.idle is not None and self.idle.parked:
                self.idle.unpark()
            watchdog.rouse(pulse)

    def wait(self, call: PendingCall, timeout: float = -1) -> bool:
        """Wait for an answer: read while nobody else does, sleep otherwise.

        Returns:
            Whether it is there (or will never be); False after ``timeout`` seconds (-1: none).
        """
        try:
            if owed:
                settle()
            if timeout >= 0:
                return self._wait_on(call, timeout, timeout)
            pause = SIGNAL_PAUSE if get_ident() == shield.thread else None
            # What nearly every wait is, in one piece: nobody reads, and the answer comes next.
            # Else the rest goes on with the baton, if this thread has it, and with what came.
            transport, outbox = self._transport, self._outbox
            if (
                self.baton.take(call)
                and not (call.done or call.errand is not None)
                and not (transport.received or outbox.backlog or outbox.rest)
            ):
                try:
                    count = transport.receive_next(self.decoder.buffer, pause)
                except (Cancelled, OSError) as exc:
                    self._fail(exc)
                    count = 0
                frame = self.decoder.plain(count)
                if frame is not None and frame.id == call.id and frame.kind == RESULT:
                    transport.received = []
                    self.reads += 1
                    self._link.calls.pending.pop(frame.id, None)
                    call.frame = frame
                    call.done = True
                    if self._eager:
                        self._give_up()
                    else:
                        self.baton.pass_on()
                    return True
            return self._wait_on(call, timeout, pause or timeout)
        except BaseException:
            owed.append((self.leave, call))
            settle()
            raise

    def _wait_on(self, call: PendingCall, timeout: float, pause: float) -> bool:
        """The same in general; this thread may have the baton already."""
        baton = self.baton
        deadline = time.monotonic() + timeout if timeout >= 0 else _NEVER
        in_time = True
        while True:
            if baton.take(call):
                in_time = self._read_for(call, pause, deadline)
            elif not call.done and call.errand is None:
                in_time = baton.sleep(call, pause)
                if in_time:
                    continue  # perhaps with the baton
            if call.errand is not None:
                self._link.handlers.run(call.errand, call)
            elif call.done:
                return True
            elif timeout >= 0 and not in_time:
                return False

    def leave(self, call: PendingCall) -> None:
        """Nobody waits for a call any more: neither the baton nor an errand must be lost."""
        errand = self.baton.leave(call)
        if errand is not None:
            self._link.handlers.queue.append(errand)
            self._link.handlers.call_colleague()

    def _read_for(self, call: PendingCall, pause: float, deadline: float) -> bool:
        """Read as the holder of the baton until there is something for the caller to do.

        If a signal handler ends this, who reads next sees to what was received.

        Returns:
            False if the deadline is over, or nothing came for the time of a pause.
        """
        in_time = True
        while not call.done and call.errand is None:
            count = self._receive_bytes(None if pause < 0 else pause)
            if count < 0:
                call.done = True  # the link has ended: no answer will come
            else:
                if count:
                    self._take_in(count, call)
                if not call.done and (not count or time.monotonic() >= deadline):
                    in_time = False
                    break
        if self._eager:
            self._give_up()
        else:
            self.baton.pass_on()
        return in_time

    def _take_in(self, count: int, call: PendingCall) -> None:
        """Decode and dispatch what a waiting caller has received."""
        with shield:
            self._in_doubt = True
            received = self.decode(count)
            if received is None:
                call.done = True  # the link has ended
            else:
                self.dispatcher.dispatch(received, call)
            self._transport.received = []
            self._in_doubt = False
            if self._link.handlers.queue:  # a caller runs no stranger's call: it could not return
                self._link.handlers.call_colleague()

    def _give_up(self) -> bool:
        """Stop reading; whether nobody in particular reads from now on.

        Usually the next reader comes by itself, and waking one would be dear. If the watchdog
        found messages that had waited, a service thread takes over at once, for a while.
        """
        if self._eager > 0 and self.baton.nobody_waits:
            self._eager -= 1
            heir = Waiter()  # holds it until that thread comes
            with shield:
                try:
                    self.baton.entrust(heir)
                    service_threads.run(lambda: self._serve_instead(heir))
                except BaseException:  # no memory
                    if self.baton.take_from(heir):
                        self.baton.pass_on()
                    raise
            return False
        self.baton.pass_on()
        return True

    def _receive(self, timeout: float | None = None) -> list[Frame] | None:
        """Read once, in a service thread that holds the baton; None when the link has ended."""
        try:
            count = self._receive_bytes(timeout)
            if count <= 0:
                return None if count else []
            plain = self.decoder.plain(count)  # what nearly every read brings
            frames = self.decode(count) if plain is None else [plain]
            self._transport.received = []
            return frames
        except BaseException as exc:  # a fault of ours: whoever waits must not do so for ever
            self._link.fail(f'reading failed: {sentence(exc)}', exc)
            return None

    def _receive_bytes(self, timeout: float | None) -> int:
        """Read once, as the holder of the baton: how many bytes; 0: time is up, -1: ended."""
        transport, outbox = self._transport, self._outbox
        if transport.received and transport.received[0] and self._link.state in UP:
            return self._receive_left()
        try:
            if (outbox.backlog or outbox.rest) and outbox.pending:
                outbox.flush()
                if outbox.pending:  # what is left over is written as soon as there is room for it
                    transport.wait_either(timeout)
                    timeout = 0.0
            count = transport.receive_next(self.decoder.buffer, timeout)
            if count > 0:
                self.reads += 1
                return count
            if count < 0:
                return 0
            self._link.fail(transport.ending())
        except (Cancelled, OSError) as exc:
            self._fail(exc)
        return -1

    def _fail(self, exc: BaseException) -> None:
        """End the link for an error that came out of reading."""
        link = self._link
        if isinstance(exc, Cancelled):
            link.fail(link.cancel_reason or 'the connection was cancelled')
        elif came_from_handler(exc):
            raise exc
        else:
            link.fail(f'{self._transport.ending()} ({sentence(exc)})', exc)

    def _receive_left(self) -> int:
        """The same for what a thread had received when it was interrupted."""
        if self._in_doubt:
            self._link.fail('interrupted while a message was being received')
            return -1
        self.reads += 1
        return self._transport.received[0]

    def decode(self, count: int) -> list[Frame] | None:
        """The frames that are complete with what was received; None when the link ends of it."""
        try:
            return self.decoder.received(count)
        except ProtocolError as exc:
            self._link.fail(str(exc), exc)
        except MemoryError as exc:
            self._link.fail('there is no memory for a message of the peer', exc)
        return None
