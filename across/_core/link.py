"""A link: the parts of one connection, its beginning and its end.

Life: it is started, shakes hands (:mod:`.handshake`), is open until somebody closes it or
something breaks it, and is released by :meth:`Link.close`. What broke it is set once and never
changes.

Layer: where wire, transports, threads, values and travel meet; private to :mod:`.connection`.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
import weakref

from . import debug
from .calls import Calls, interrupted_critical_section
from .closing import release, release_soon, say_goodbye, tell_end
from .errors import AcrossError, DisconnectError, ProtocolError, sentence
from .handlers import Handlers
from .interrupts import owed, settle, shield, wait_for
from .payloads import Payloads
from .pulse import LONGEST_REST, Pulse
from .reader import Reader
from .sender import Sender
from .states import CLOSED, CLOSING, CONNECTING, NEW, OPEN, UP
from .threads.cache import service_threads
from .threads.context import context
from .threads.main_loop import main_loop
from .threads.watchdog import watchdog
from .transports.base import Cancelled, Transport
from .values.refs import ExportTable, ImportTable
from .wire.greeting import PeerInfo

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from typing import Any, Callable

    from .posts import Posts

FORKED = 'this process was forked from the one that has it'
DROPPED = 'it was dropped: nobody refers to it any more'
PEER_LEFT = 'the peer closed the connection'


class Link:
    """One live peer.

    Args:
        owner: The public :class:`.Connection`, for user code. Threads keep a link alive, but not
            its owner: when nobody else does either, the link is dropped.
        transport: Not yet connected.
        options: An :class:`.Options`.
        info: What to tell the peer about this process.
    """

    # A server has thousands of them.
    __slots__ = (
        *('calls', 'cancel_reason', 'cause', '_claimed', 'clean', '_closing', 'drop_exports'),
        *('_dropped', 'dropped', 'end_callbacks', 'ended', 'ending', '_exporter', 'exports'),
        *('forwarding', 'give_back', 'gone', 'handlers', 'imports', 'info', 'made_importer'),
        *('making', 'opened', '_opener', 'opening', 'options', '_owner', 'payloads', 'peer'),
        *('peer_left', 'posts', 'pulse', 'reader', 'reason', 'send_limit', 'sender', 'state'),
        *('streams', 'told', 'transport', '__weakref__'),
    )

    def __init__(self, owner: Any, transport: Transport, options: Any, info: PeerInfo) -> None:
        self._owner: Callable[[], Any] = weakref.ref(owner)
        self.transport = transport
        self.options = options
        self.info = info
        self.peer: PeerInfo | None = None
        self.send_limit = sys.maxsize  # bytes that the body of a frame to the peer may have
        self.state = NEW
        self.opening = True  # the handshake has not ended yet, in one way or the other
        self._opener = 0  # the thread that shakes hands
        #: Why the link ended: a sentence, the exception behind it, and whether that is no fault.
        self.reason = ''
        self.cause: BaseException | None = None
        self.clean = False
        self.peer_left = False  # it said goodbye

        self.exports = ExportTable()
        self.imports = ImportTable()
        self.dropped = self.imports.dropped.append  # all that a finalizer may call
        self.payloads = Payloads(self)
        self.drop_exports = self.payloads.undo_exports  # as the pickling layer knows it
        self.give_back = self.payloads.give_back
        self.calls = Calls(self)
        self.handlers = Handlers(self)
        self.sender = Sender(self)
        self.reader = Reader(self)
        self.pulse = Pulse(self)
        self.making = _thread.allocate_lock()  # guards the making of these three; taken alone
        self._exporter: Any = None
        self.made_importer: Any = None
        self.streams: Any = None  # a streams.table.Streams, made by streams_of()
        self.posts: Posts | None = None  # made by the reader for the first
        self.forwarding: Any = None  # set while this process's streams are forwarded to the peer

        # Guards the change of `state` to CLOSED, `reason`, `cause`, `clean`, and `end_callbacks`.
        # Taken alone.
        self.ending = _thread.allocate_lock()
        self.opened = _thread.allocate_lock()  # held until the handshake has ended
        self.ended = _thread.allocate_lock()  # held until the link is CLOSED
        self.gone = _thread.allocate_lock()  # held until close() is through
        self._claimed = _thread.allocate_lock()  # taken by who shakes hands, or calls that off
        self.opened.acquire()
        self.ended.acquire()
        self.gone.acquire()
        # Under 0, the first close: its thread, in a tuple of its own. Only set by setdefault(),
        # which is atomic for signal handlers, too.
        self._closing: dict[int, tuple[int]] = {}
        self.cancel_reason: str | None = None  # the reason that cancel() was given
        self._dropped = False  # nobody is left to close it
        self.told = False  # that it has ended, to all who waited
        self.end_callbacks: list[Callable[[], None]] | None = None  # for service threads

    # ------------------------------------------------------------------------------ beginning

    def start(self, establish: Callable[[Link], None]) -> None:
        """Connect in the background.

        Args:
            establish: Connects and shakes hands; what it raises ends the link.
        """
        try:
            self.state = CONNECTING
            if not self.transport.owns_stdio:  # a process with one connection has nothing to share
                from .idle import Idle

                self.reader.idle = Idle(self)
            self.reader.baton.try_take()
            # Until then the threads that connect and read notice all themselves, or rouse it.
            watchdog.add(self.pulse, LONGEST_REST)
            service_threads.run(lambda: self._begin(establish))
        except BaseException:  # no thread to be had, or Ctrl-C
            owed.append((self._call_off,))
            settle()
            self.close()
            raise

    def _call_off(self) -> None:
        """The connection shall not be made; if it has been made, it shall be closed as usual."""
        if self._claimed.acquire(False):
            self.transport.kill()
            self.opening = False
            self.fail('it was not made')
            self.reader.baton.pass_on()
            self.opened.release()
        elif self.state < OPEN:
            self.transport.kill()  # the thread that is at it notices

    def _begin(self, establish: Callable[[Link], None]) -> None:
        if not self._claimed.acquire(False):
            return  # called off
        self._opener = _thread.get_ident()
        reading = True
        try:
            establish(self)
            if self.options.forward_stdio:
                reading = False
                self.reader.baton.pass_on()  # this thread waits for the answer like any caller
                self.calls.operation('forward_stdio')
        except ProtocolError as exc:
            self.fail(str(exc), exc)
        except Cancelled:
            self.fail(self.cancel_reason or 'the connection was cancelled')
        except Exception as exc:
            self.fail(sentence(exc), exc)
        self.opening = False
        self._opener = 0
        self.opened.release()
        if reading:
            self.reader.serve()
        else:
            self.reader.find()

    def open(self, peer: PeerInfo, rest: bytes) -> None:
        """The handshake succeeded.

        Args:
            rest: What the peer sent behind its greeting.
        """
        self.peer = peer
        if peer.max_frame_size is not None:
            self.send_limit = peer.max_frame_size
        self.pulse.begin(time.monotonic())
        with self.ending:
            if self.state != CONNECTING:
                raise Cancelled('cancelled at the last moment')
            self.state = OPEN
        self.pulse.announce()
        if rest:
            self.reader.feed(rest)

    def wait_open(self) -> None:
        """Wait for the handshake to end, however it does."""
        if self.opening and self._opener != _thread.get_ident():
            wait_for(self.opened)

    @property
    def owner(self) -> Any:
        owner = self._owner()
        if owner is None:
            raise DisconnectError(f'no connection to {self.name}: {DROPPED}')
        return owner

    @property
    def live_owner(self) -> Any:
        """The owner, or None."""
        return self._owner()

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

            with self.making:
                if self._exporter is None:
                    self._exporter = Exporter()
        return self._exporter

    @property
    def importer(self) -> Any:
        """The peer's modules here, made when first needed."""
        if self.made_importer is None:
            from .travel.importer import Importer

            with self.making:
                if self.made_importer is None:
                    importer = Importer(self.calls.operation, self.here)
                    importer.install()
                    self.made_importer = importer
        return self.made_importer

    def log(self, severity: str, text: str) -> None:
        if debug.verbosity:
            debug.log(severity, self.transport.name, text)

    # --------------------------------------------------------------------------------- ending

    def disconnected(self) -> DisconnectError:
        """The error that says why this link has ended; a new one for each who asks."""
        error = DisconnectError(self._describe_end())
        error.__cause__ = self.cause
        return error

    def broken(self) -> AcrossError:
        """The same, for those who are told of a breach of the protocol as such."""
        if isinstance(self.cause, ProtocolError):
            return type(self.cause)(self._describe_end())
        return self.disconnected()

    def _describe_end(self) -> str:
        reason = self.reason or 'it is closed'
        return reason if self.name in reason else f'no connection to {self.name}: {reason}'

    def fail(self, reason: str, cause: BaseException | None = None, clean: bool = False) -> None:
        """End the link: all that waits on it gets an error, now. Only the first reason counts."""
        with shield:
            with self.ending:
                first = self.state != CLOSED
                if self.state == CLOSING:  # how a link ends that was to end is of no interest
                    reason, cause, clean = self.reason, None, True
                if self.peer_left:  # a thread that sends may notice it before the reader says so
                    reason, cause, clean = PEER_LEFT, None, True
                if first:
                    self.reason, self.cause, self.clean = reason, cause, clean
                    self.state = CLOSED
            if first:
                self.log('INFO' if clean else 'ERROR', reason)
            if not self.told:
                tell_end(self)

    def cancel(self, reason: str) -> None:
        """End the link from any thread, also from a signal handler: takes no lock."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
        self.transport.kill()
        watchdog.rouse(self.pulse)

    def drop(self) -> bool:
        """The owner is garbage: have the link ended and released; False if it was closed before.

        Threads: any; a finalizer calls it, so it takes no lock.
        """
        if self._closing or self.state == NEW:
            return False
        self._owner = type(None)  # whoever looks at the warning must not bring it back to life
        self._dropped = True
        self.cancel(DROPPED)
        return True

    @property
    def is_to_end(self) -> bool:
        """Whether the watchdog has to call :meth:`end_cancelled`."""
        return self._dropped or (self.cancel_reason is not None and self.state != CLOSED)

    def end_cancelled(self) -> None:
        """What the watchdog does about a link that was cancelled."""
        if self.cancel_reason is not None:
            self.fail(self.cancel_reason)
        if self._dropped:
            self._dropped = False
            service_threads.run(self.close)

    def wait_ended(self) -> None:
        if threading.current_thread() is threading.main_thread():
            main_loop.wait(lambda: self.state == CLOSED)
        elif self.state != CLOSED:
            wait_for(self.ended)

    def close(self) -> bool:
        """Say goodbye and release everything.

        Returns:
            False if somebody else did. That is waited for, unless it is this very thread (which a
            signal handler has interrupted), or this thread runs a call of the peer.
        """
        thread = context.thread
        if thread.critical:
            raise interrupted_critical_section()
        mine = (_thread.get_ident(),)
        try:
            first = self._closing.setdefault(0, mine)
            if first is mine:
                self._part()
                release(self)
                return True
            call = thread.call
            if first != mine and (call is None or not call.belongs_to(self)):
                wait_for(self.gone)
            return False
        except BaseException:  # Ctrl-C: whoever typed it has waited long enough
            try:
                if 0 in self._closing and self._closing[0] is mine:
                    self.transport.kill()
                    release(self)
            except BaseException:  # and again
                owed.append((release_soon, self))
                settle()
                raise
            raise

    def _part(self) -> None:
        """Say goodbye, if there is anybody to say it to."""
        try:
            if self.state == NEW:  # interrupted before it began
                self._call_off()
            self.wait_open()
            if self.cancel_reason is not None:
                self.fail(self.cancel_reason)
            if self.state in UP:
                say_goodbye(self)
        except DisconnectError:
            pass

    def finish(self, drain: bool) -> None:
        """Begin to close, and don't wait; see :func:`.ending.finish`."""
        from .ending import finish

        finish(self, drain)

    def forked(self) -> None:
        """In a forked child: this copy is dead. Takes no lock: its holder may not exist here."""
        self.reason, self.cause, self.clean = FORKED, None, True
        self.state = CLOSED
        self._closing[0] = (0,)
        self.opened = self.ended = self.gone = _thread.allocate_lock()
        self.end_callbacks = None
        self.calls.forget()
        if self.made_importer is not None:
            self.made_importer.abandon()
        self.transport.abandon()
