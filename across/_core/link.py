"""A link: everything that one connection does to read, dispatch, send, fail and end.

Life: it is started, shakes hands (:mod:`.handshake`), is open until somebody closes it or
something breaks it, and is released by :meth:`Link.close`. What broke it is set once and never
changes.

Who reads, and why nobody ever waits for a write to read, is told in ``docs/explanation/threading``.

Layer: where wire, transports, threads, values and travel meet; private to :mod:`.connection`.
"""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any, Callable, Sequence

from . import debug
from .calls import Calls, PendingCall, interrupted_critical_section
from .errors import DisconnectError, OperationError, ProtocolError
from .handlers import Handlers
from .pulse import Pulse
from .threads.baton import Baton, Waiter
from .threads.cache import service_threads
from .threads.context import context
from .threads.outbox import Outbox
from .threads.watchdog import watchdog
from .transports.base import Cancelled, Transport
from .values.memory import allocate
from .values.pickling import Packed, Pickling
from .values.refs import OWNED, ExportTable, ImportTable
from .wire import frames as wire
from .wire.frames import Frame, FrameDecoder, encode
from .wire.greeting import PeerInfo

_MAIN = threading.main_thread().ident

NEW, CONNECTING, OPEN, CLOSING, CLOSED = range(5)


class Link:
    """One live peer.

    Args:
        owner: The public :class:`.Connection`, for user code.
        transport: Not yet connected.
        options: An :class:`.Options`.
        info: What to tell the peer about this process.
    """

    def __init__(self, owner: Any, transport: Transport, options: Any, info: PeerInfo) -> None:
        self.owner = owner
        self.transport = transport
        self.options = options
        self.info = info
        self.peer: PeerInfo | None = None
        self.state = NEW
        self.opening = True  # the handshake has not ended yet, in one way or the other
        self._opener = 0  # the thread that shakes hands
        #: Why the link ended: a sentence, the exception behind it, and whether that is no fault.
        self.reason = ''
        self.cause: BaseException | None = None
        self.clean = False

        self.decoder = FrameDecoder(allocate, options.max_frame_size)
        self.outbox = Outbox(transport)
        self.baton = Baton(on_free)
        self.calls = Calls(self)
        self.exports = ExportTable()
        self.imports = ImportTable()
        self.dropped = self.imports.dropped.append
        self.pickling = Pickling(self)
        self.handlers = Handlers(self)
        self._exporter: Any = None
        self._importer: Any = None
        self.forwarding: Any = None  # set while this process's streams are forwarded to the peer

        # Guards the change of `state` to CLOSED, and `reason`, `cause`, `clean`. Taken alone.
        self._ending = _thread.allocate_lock()
        self._opened = _thread.allocate_lock()  # held until the handshake has ended
        self._ended = _thread.allocate_lock()  # held until the link is CLOSED
        self._released = _thread.allocate_lock()  # held by close() while, and after, it releases
        self._opened.acquire()
        self._ended.acquire()
        self.cancel_reason: str | None = None  # the reason that cancel() was given

        # Set from before bytes are received until they are dispatched: an exception that comes in
        # between (a KeyboardInterrupt) loses messages. Written by the reader only.
        self.in_doubt = False
        self.reads = 0  # how often bytes came in: the pulse looks whether it goes up
        self.pulse = Pulse(self)

    # ------------------------------------------------------------------------------ beginning

    def start(self, establish: Callable[[Link], None]) -> None:
        """Connect in the background.

        Args:
            establish: Connects and shakes hands; what it raises ends the link.
        """
        self.state = CONNECTING
        self.baton.try_take()
        watchdog.add(self.pulse)

        service_threads.run(lambda: self._begin(establish))

    def _begin(self, establish: Callable[[Link], None]) -> None:
        self._opener = _thread.get_ident()
        reading = True
        try:
            establish(self)
            if self.options.forward_stdio:
                reading = False
                self.baton.pass_on()  # this thread waits for the answer like any caller
                self.calls.operation('forward_stdio')
        except ProtocolError as exc:
            self.fail(str(exc), exc)
        except Cancelled:
            self.fail(self.cancel_reason or 'the connection was cancelled')
        except Exception as exc:
            self.fail(_sentence(exc), exc)
        self._opener = 0
        self.opening = False
        self._opened.release()
        if reading:
            self.serve()
        else:
            self.find_reader()

    def open(self, peer: PeerInfo, rest: bytes) -> None:
        """The handshake succeeded.

        Args:
            rest: What the peer sent behind its greeting.
        """
        self.peer = peer
        self.pulse.begin(time.monotonic())
        self.state = OPEN
        if rest:
            self.decoder.buffer[: len(rest)] = rest
            self._dispatch(self.decoder.received(len(rest)), None)
            if self.handlers.queue:
                self.handlers.call_colleague()

    def wait_open(self) -> None:
        """Wait for the handshake to end, however it does."""
        if self.opening and self._opener != _thread.get_ident():
            with self._opened:
                pass

    @property
    def is_up(self) -> bool:
        return self.state == OPEN

    @property
    def name(self) -> str:
        """Where the link leads, for messages."""
        return self.transport.name

    @property
    def peer_name(self) -> str:
        return str(self.peer) if self.peer is not None else self.transport.name

    @property
    def here(self) -> str:
        return str(self.info)

    @property
    def same_python(self) -> bool:
        return self.peer is not None and self.info.runs_code_of(self.peer)

    @property
    def exporter(self) -> Any:
        """Our side of module sharing, made when first needed."""
        if self._exporter is None:
            from .travel.exporter import Exporter

            self._exporter = Exporter()
        return self._exporter

    @property
    def importer(self) -> Any:
        """The peer's modules here, made when first needed."""
        if self._importer is None:
            from .travel.importer import Importer

            importer = Importer(self.calls.operation, self.here)
            importer.install()
            self._importer = importer
        return self._importer

    def log(self, severity: str, text: str) -> None:
        if debug.verbosity:
            debug.log(severity, self.transport.name, text)

    # -------------------------------------------------------------------------------- reading

    def find_reader(self) -> None:
        """Have a service thread read, if nobody does."""
        if self.baton.free and self.baton.try_take():
            service_threads.run(self.serve)

    def serve(self) -> None:
        """The job of a service thread that holds the baton: read, and run what the peer calls."""
        handlers = self.handlers
        context.critical = True
        while True:
            received = self._receive()
            if received is None:
                self.baton.pass_on()
                break
            woke = self._dispatch(received, None)
            if handlers.queue:
                self.baton.pass_on()
                handlers.work()
                if not self.baton.try_take():
                    break
            elif woke:
                # That caller probably calls again, and then reads for itself without any hand-over.
                self.baton.pass_on()
                break
        context.critical = False

    def wait(self, call: PendingCall, timeout: float = -1) -> bool:
        """Wait for an answer: read while nobody else does, sleep otherwise.

        Returns:
            Whether it is there (or will never be); False after ``timeout`` seconds (-1: none).
        """
        baton = self.baton
        try:
            while not call.done:
                if baton.free and baton.try_take(call) or baton.take_or_sleep(call, timeout):
                    if call.reading and not self._read_for(call, timeout):
                        return False
                    if call.errand is not None:
                        errand, call.errand = call.errand, None
                        self.handlers.run(errand)
                        baton.end_errand(call)
                else:
                    return False
        except BaseException:  # KeyboardInterrupt: the baton and the errand must not be lost
            if self.in_doubt and call.reading:
                self.fail('interrupted while a message was being received')
            baton.leave(call)
            errand, call.errand = call.errand, None
            if errand is not None:
                self.handlers.queue.append(errand)
                self.handlers.call_colleague()
            raise
        return True

    def _read_for(self, call: PendingCall, timeout: float) -> bool:
        """Read as the holder of the baton until there is something for the caller to do."""
        in_time = True
        while not call.done and call.errand is None:
            received = self._receive(None if timeout < 0 else timeout)
            if received is None:
                break
            if not received and timeout >= 0:
                in_time = False
                break
            self._dispatch(received, call)
            if self.decoder.large is not None and _thread.get_ident() == _MAIN:
                # Ctrl-C is raised in the main thread, most likely amid a long transfer, and then
                # nobody knows what has been received: another thread goes on reading.
                call.reading = False
                service_threads.run(self.serve)
                return True
            if self.handlers.queue:
                # A waiting caller never runs a stranger's call: it could not return meanwhile.
                self.handlers.call_colleague()
        self.baton.pass_on(call)
        return in_time

    def _receive(self, timeout: float | None = None) -> list[Frame] | None:
        """Read once, as the holder of the baton; None when the link has ended."""
        transport, decoder = self.transport, self.decoder
        try:
            if self.outbox.backlog and self.outbox.pending:
                self._flush_or_wait(timeout)
            else:
                transport.wait_readable(timeout)
            self.in_doubt = True
            count = transport.receive_into(decoder.buffer)
            if count > 0:
                self.reads += 1
                return decoder.received(count)
            self.in_doubt = False
            if count == 0:
                self.fail(transport.ending())
                return None
            return []
        except Cancelled:
            self.fail(self.cancel_reason or 'the connection was cancelled')
        except OSError as exc:
            self.fail(f'{transport.ending()} ({_sentence(exc)})', exc)
        except ProtocolError as exc:
            self.fail(str(exc), exc)
        except MemoryError as exc:
            self.fail('there is no memory for a message of the peer', exc)
        return None

    def _flush_or_wait(self, timeout: float | None) -> None:
        """Wait to read; what is left over to write is written as soon as there is room for it."""
        self.outbox.flush()
        if self.outbox.pending:
            self.transport.wait_either(timeout)
        else:
            self.transport.wait_readable(timeout)

    def _dispatch(self, received: list[Frame], mine: PendingCall | None) -> bool:
        """Hand each frame to whom it concerns; whether a sleeping caller was woken."""
        woke = False
        for frame in received:
            kind = frame.kind
            if frame.refs:
                # A release may be right behind: our objects in it stay until it is unpacked.
                self.exports.pin(ref >> 1 for ref in frame.refs if ref & OWNED)
            if kind == wire.RESULT or kind == wire.FAILURE:
                call = self.calls.pending.pop(frame.id, None)
                if call is None:
                    if frame.refs:
                        self.give_back_unread(frame)
                    continue
                call.frame = frame
                if call is mine:
                    call.done = True  # nobody else looks at it while we read
                elif call.future is None:
                    self.baton.finish(call)
                    woke = True
                else:
                    self.calls.deliver(call)
            elif kind == wire.CALL:
                self._dispatch_call(frame)
            else:
                self._dispatch_other(frame)
        self.in_doubt = False
        return woke

    def _dispatch_call(self, frame: Frame) -> None:
        if self.state != OPEN:
            return  # we said goodbye: no answer is wanted
        call = self.handlers.add_call(frame)
        if call is None:
            return
        if frame.parent:
            # Made inside a call of ours: the thread that waits for that one runs it, as it would
            # in a single process.
            caller = self.calls.pending.get(frame.parent)
            if caller is not None and caller.future is None and self.baton.give_errand(caller, call):
                return
        self.handlers.queue.append(call)

    def _dispatch_other(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == wire.POST:
            self.handlers.add_post(frame)
        elif kind == wire.CANCEL:
            self.handlers.cancel(frame.id)
        elif kind == wire.RELEASE:
            numbers = memoryview(frame.payload).cast('B')
            values = [wire.NUMBER.unpack_from(numbers, i)[0] for i in range(0, len(numbers), 8)]
            self._drop(self.exports.release(zip(values[::2], values[1::2])))
        elif kind == wire.GOODBYE:
            if self.state == OPEN:
                self.try_send(encode(wire.GOODBYE))
            self.fail('the peer closed the connection', clean=True)

    # -------------------------------------------------------------------------------- sending

    def send(self, frame: Any, may_block: bool = True, flushed: bool = False) -> None:
        """Send a frame, or see to it that it will be sent.

        Raises:
            DisconnectError: The link has ended, or ends here.
        """
        outbox = self.outbox
        try:
            if self.imports.dropped:
                self._send_releases(may_block)
            outbox.put(frame, may_block, flushed)
        except Cancelled:
            self.fail(self.cancel_reason or 'the connection was cancelled')
            raise self.disconnected() from None
        except OSError as exc:
            self.fail(f'{self.transport.ending()} ({_sentence(exc)})', exc)
            raise self.disconnected() from exc
        except BaseException:
            if outbox.in_doubt:
                self.fail('interrupted while a message was being sent')
            raise

    def send_bulk(self, frame: Any) -> None:
        """Send a large frame, and return when it is written.

        The main thread has another one do it: a Ctrl-C amid the transfer would leave unknown what
        the peer has received.
        """
        if _thread.get_ident() != _MAIN:
            self.send(frame, True, True)
            return
        written = _thread.allocate_lock()
        written.acquire()
        errors: list[BaseException] = []

        def send() -> None:
            try:
                self.send(frame, True, True)
            except BaseException as exc:
                errors.append(exc)
            written.release()

        service_threads.run(send)
        written.acquire()
        if errors:
            raise errors[0]

    def try_send(self, frame: Any) -> None:
        """Send without waiting, as the reader and the watchdog must; a broken link is no news."""
        try:
            self.send(frame, may_block=False)
        except DisconnectError:
            pass

    def try_send_releases(self) -> None:
        try:
            self._send_releases(may_block=False)
        except (OSError, Cancelled):
            pass  # the reader finds out, too

    def try_flush(self) -> None:
        try:
            self.outbox.flush()
        except (OSError, Cancelled):
            pass

    def reply(self, frame: Any, exported: Sequence[int] = ()) -> None:
        """Send the answer to a call of the peer; a link that ended meanwhile is no news.

        Args:
            exported: Ids of our objects that it refers to.
        """
        try:
            if self.state == OPEN:
                self.send(frame, True, type(frame) is list)
                return
        except DisconnectError:
            pass
        self.drop_exports(exported)

    def _send_releases(self, may_block: bool) -> None:
        pairs = self.imports.take_dropped()
        payload = b''.join(wire.NUMBER.pack(number) for pair in pairs for number in pair)
        self.outbox.put(encode(wire.RELEASE, 0, 0, payload), may_block)

    # ------------------------------------------------------------------------- refs and errors

    def give_back(self, frame: Frame, taken: set[int]) -> None:
        """After a frame was unpacked: release what it lists and no proxy took, and unpin our own."""
        for ref in frame.refs:
            if not ref & OWNED and ref >> 1 not in taken:
                self.dropped((ref >> 1, 1))
        self._drop(self.exports.release([(ref >> 1, 1) for ref in frame.refs if ref & OWNED]))

    def give_back_unread(self, frame: Frame) -> None:
        if frame.refs:
            self.give_back(frame, set())

    def drop_exports(self, ref_ids: Sequence[int]) -> None:
        """Take back references that were never sent."""
        if ref_ids:
            self._drop(self.exports.release([(ref_id, 1) for ref_id in ref_ids]))

    def _drop(self, objects: list[Any]) -> None:
        """Drop objects in a service thread: their finalizers are user code."""
        if objects:
            service_threads.run(objects.clear)

    def unpack(self, frame: Frame) -> Any:
        """Unpickle a payload; what goes wrong is an OperationError."""
        try:
            return self.pickling.loads(frame)
        except OperationError:
            raise
        except ModuleNotFoundError as exc:
            raise OperationError(
                f'{self.here} has no module {exc.name!r}; make it importable there with '
                f'conn.export({(exc.name or "").partition(".")[0]!r})'
            ) from exc
        except Exception as exc:
            raise OperationError(f'{self.here} cannot unpickle what it received: {_sentence(exc)}') from exc

    def pack_failure(self, exc: BaseException) -> Packed:
        from .values.faults import pack_fault

        here = f'{self.info.host}, process {self.info.pid}'

        def pack(dumps: Callable[[Any], bytes]) -> Any:
            return pack_fault(exc, here=here, dumps=dumps)

        return self.pickling.dumps_parts(pack, 'the exception')

    def unpack_failure(self, frame: Frame) -> BaseException:
        from .values.faults import unpack_fault
        import pickle

        exc: BaseException = self.pickling.loads(frame, lambda data: unpack_fault(data, loads=pickle.loads))
        return exc

    # --------------------------------------------------------------------------------- ending

    def disconnected(self) -> DisconnectError:
        """The error that says why this link has ended; a new one for each who asks."""
        reason = self.reason or 'it is closed'
        if self.name not in reason:
            reason = f'no connection to {self.name}: {reason}'
        error = DisconnectError(reason)
        error.__cause__ = self.cause
        return error

    def fail(self, reason: str, cause: BaseException | None = None, clean: bool = False) -> None:
        """End the link: all that waits on it gets an error, now. Only the first reason counts."""
        with self._ending:
            if self.state == CLOSED:
                return
            if self.state == CLOSING:  # how a link ends that was to end is of no interest
                reason, cause, clean = self.reason, None, True
            self.reason, self.cause, self.clean = reason, cause, clean
            self.state = CLOSED
        self.log('INFO' if clean else 'ERROR', reason)
        self.transport.cancel()
        self.calls.fail_all()
        self.handlers.cancel_all()
        self._ended.release()

    def cancel(self, reason: str) -> None:
        """End the link from any thread, also from a signal handler: takes no lock."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
        self.transport.kill()
        watchdog.wake()

    def wait_ended(self) -> None:
        if self.state != CLOSED:
            with self._ended:
                pass

    def close(self) -> bool:
        """Say goodbye and release everything; False if that was done, or begun, before."""
        if context.critical:
            raise interrupted_critical_section()
        if not self._released.acquire(False):
            return False
        try:
            self.wait_open()
            if self.state == OPEN:
                self._say_goodbye()
        except DisconnectError:
            pass
        finally:
            self.fail('it was closed', clean=True)
            self._release()
        return True

    def _say_goodbye(self) -> None:
        """Tell the peer that we want nothing more, and wait until it agrees, the timeout at most."""
        timeout = self.options.timeout
        self.state = CLOSING
        self.reason = 'it was closed'
        self.calls.fail_all()
        farewell = self.calls.add_farewell()
        self.send(encode(wire.GOODBYE))
        if not self.wait(farewell, -1 if timeout is None else timeout):
            self.fail(f'the peer did not answer our goodbye within {timeout:g} s')

    def _release(self) -> None:
        """Free what the link holds, once nobody uses it any more."""
        watchdog.remove(self.pulse)
        last = Waiter()
        while not last.reading:
            self.baton.take_or_sleep(last)  # and keep it: nobody reads from now on
        self.outbox.close()
        if self.forwarding is not None:
            self.forwarding.stop()
        if self._importer is not None:
            self._importer.uninstall()
        if not self.clean:
            self.transport.kill()
        self.transport.close(self.options.timeout)
        self._drop(self.exports.clear())

    def forked(self) -> None:
        """In a forked child: this copy is dead. Takes no lock: its holder may not exist here."""
        self.reason, self.cause, self.clean = 'this process was forked from the one that has it', None, True
        self.state = CLOSED
        self._released = _thread.allocate_lock()
        self._released.acquire()
        self._opened = self._ended = _thread.allocate_lock()
        self.calls.forget()
        self.transport.abandon()


def on_free() -> None:
    """A baton was left free: the watchdog finds a reader if none comes by itself."""
    if watchdog.dozing:
        watchdog.wake()


def _sentence(exc: BaseException) -> str:
    """An exception in one line: an OSError by what the system says, others with their type."""
    if isinstance(exc, OSError) and exc.strerror is None and exc.args:
        return str(exc)
    return f'{exc.strerror or exc}' if isinstance(exc, OSError) else f'{type(exc).__name__}: {exc}'
