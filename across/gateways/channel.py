"""Channels: what two pieces of a program, in two processes, exchange items over.

A channel is one end of a `across.Stream`, and adds what belongs to gateways: the text of remote
tracebacks, files, callbacks with an end marker.

Layer: gateways. Fetched by bare peers.
"""

from __future__ import annotations

import builtins
import time
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any, Callable, Iterator

from across import DisconnectError, OperationError, get_connection

from . import errors
from .ends import end_of
from .errors import ClosedError, GatewayGoneError, RemoteError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from across import Stream

    from .files import ReadingFile, WritingFile

__all__ = ['NOT_WANTED', 'Channel']

#: Stands for no end marker, as None is one.
NOT_WANTED: Any = object()

# Seconds to wait for why the code over there was not even begun: what says so comes at the same
# time as the end of the channel.
_REFUSAL_TIME = 1.0


class Channel:
    """One end of a two-way exchange of items: anything that can be pickled.

    Made by :meth:`Gateway.remote_exec` and ``newchannel``; the code at the other end has the other
    end. A channel may be sent over a channel, once: what arrives is its other end. An end that is
    garbage collected counts as closed, unless it has a callback.

    Sending waits while the other side is too far behind: neither side fills up with items that
    nobody takes. But :meth:`waitclose` takes all.

    Attributes:
        gateway: The gateway that it belongs to; over there, what stands for it.

    Threads: any number may send and receive. Items arrive in order, each at one of the receivers.
    """

    RemoteError = RemoteError
    TimeoutError = errors.TimeoutError

    def __init__(self, gateway: Any, stream: Stream) -> None:
        self.gateway = gateway
        self._stream = stream
        self._held: deque[Any] = deque()  # taken by waitclose(), for those who receive later
        # Held while items are taken out of the stream, which keeps them in order.
        self._taking = Lock()
        self._untouched = True  # nothing has arrived yet
        self._has_callback = False
        self._call: Future[None] | None = None  # of the code over there
        #: What the channel ended with, once a callback has had its end.
        self.ending: BaseException | None = None

    def begin(self, call: Future[None], task: Any) -> None:
        """Give the code over there what it runs.

        Args:
            call: The one that waits for it.
        """
        self._call = call
        try:
            self._stream.send(task)
        except OperationError:
            if not self._stream.stopped:
                raise
            # The call was refused by now: why is what a receiver gets, as when that comes later.

    # -------------------------------------------------------------------------------- exchanging

    def send(self, item: Any) -> None:
        """Send an item to the other side; waits while that is too far behind.

        Raises:
            ClosedError: Either side has closed the channel; an OSError, too.
            GatewayGoneError: The other process is gone; an OSError, too.
            OperationError: The item can't be pickled; says which part of it.
        """
        try:
            self._stream.send(item)
        except DisconnectError as exc:
            raise errors.gone(exc) from exc
        except OperationError as exc:
            if self.isclosed():
                side = 'this' if self._stream.closed else 'the other'
                raise ClosedError(f'cannot send, {side} side has closed {self!r}') from exc
            raise

    def receive(self, timeout: float | None = None) -> Any:
        """Return the next item that the other side has sent; waits for it.

        Args:
            timeout: Seconds; None for no limit.

        Raises:
            TimeoutError: None came in time.
            RemoteError: The code over there raised an exception.
            EOFError: The other side has closed the channel, and there are no more items.
            GatewayGoneError: The other process is gone; an EOFError, too.
            ClosedError: There is a callback that gets the items.
        """
        if timeout is None:
            with self._taking:
                return self._held.popleft() if self._held else self._take(None)
        deadline = _deadline(timeout)
        if not self._taking.acquire(timeout=max(0.0, timeout)):
            raise _late(timeout)
        try:
            if self._held:
                return self._held.popleft()
            return self._take(max(0.0, deadline - time.monotonic()), timeout)
        finally:
            self._taking.release()

    def _take(self, left: float | None, timeout: float | None = None) -> Any:
        """Take an item out of the stream, with the lock held.

        Args:
            left: Of the timeout, in seconds.
            timeout: What it was in the beginning.
        """
        if self._has_callback:
            raise ClosedError(f'cannot receive, a callback gets the items of {self!r}')
        try:
            item = self._stream.receive(left)
        except builtins.TimeoutError:
            raise _late(timeout or 0) from None
        except BaseException as exc:
            error = self._error_for(exc)
            if error is exc:
                raise
            raise error from error.__cause__
        self._untouched = False
        return item

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self.receive()
        except GatewayGoneError:
            raise  # what has come is not all
        except EOFError:
            raise StopIteration from None

    next = __next__

    def setcallback(self, callback: Callable[[Any], object], endmarker: Any = NOT_WANTED) -> None:
        """Have a function called with each item, also with those that are there already.

        The calls come in order, one at a time, in a thread of the library; :meth:`receive` can't be
        used any more. If the function raises an exception, the channel is closed with it.

        Args:
            callback: Takes an item.
            endmarker: What it is called with in the end; not at all unless given.

        Raises:
            ClosedError: There is a callback already, or another thread is receiving.
            TypeError: ``callback`` is no function.
        """
        if not callable(callback):
            raise TypeError(f'expected a function to call, not {type(callback).__name__!r}')
        if not self._taking.acquire(False):
            raise ClosedError(f'{self!r} can have no callback, another thread is receiving')
        try:
            if self._has_callback:
                raise ClosedError(f'{self!r} has a callback already')
            self._has_callback = True
            held, self._held = self._held, deque()
        finally:
            self._taking.release()
        relay = _Callback(self, callback, endmarker)
        self.gateway.keep(self)
        for item in held:
            relay.hand_over(item)
        self._stream.set_callback(relay.hand_over, relay.end)

    # ------------------------------------------------------------------------------------ closing

    def isclosed(self) -> bool:
        """Tell whether either side has closed the channel. It may still hold items."""
        return self._stream.closed or self._stream.ended or self._stream.stopped

    def is_left(self) -> bool:
        """Tell whether this side has closed the channel: nobody wants what still comes."""
        return self._stream.closed

    def close(self, error: object = None) -> None:
        """Close the channel on both sides; a second time does nothing.

        The other side still gets the items that were sent, then an :exc:`EOFError`. What it sends
        from now on is refused.

        Args:
            error: A text that the other side gets as a :exc:`RemoteError` instead.
        """
        if error is not None:
            self._stream.end(error if isinstance(error, RemoteError) else RemoteError(str(error)))
        self._stream.close()

    def leave(self) -> None:
        """Close the channel, and keep what the other side has sent until now."""
        self._stream.end()
        self._stream.stop()

    def waitclose(self, timeout: float | None = None) -> None:
        """Wait until the other side has closed the channel; its items can be received afterwards.

        All that it sends until then is kept in memory: nobody is there to be waited for.

        Args:
            timeout: Seconds; None for no limit.

        Raises:
            TimeoutError: It has not in time.
            RemoteError: The code over there raised an exception.
            GatewayGoneError: The other process is gone; an EOFError, too.
        """
        try:
            if self._has_callback:
                self._stream.wait_ended(timeout)
            else:
                self._hold_all(timeout)
        except builtins.TimeoutError:
            raise errors.TimeoutError(f'{self!r} was not closed within {timeout:g} s') from None
        except GatewayGoneError:
            raise
        except EOFError:
            return
        except BaseException as exc:
            raise self._error_for(exc) from None

    def _hold_all(self, timeout: float | None) -> None:
        """Take all items out of the stream, until the exception at its end.

        They make room for what is behind them: with nobody to receive them, the other side would
        never get to its end.
        """
        deadline = None if timeout is None else _deadline(timeout)
        if not self._taking.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise errors.TimeoutError
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._held.append(self._take(left))
        finally:
            self._taking.release()

    def _error_for(self, exc: BaseException) -> BaseException:
        """What to raise for the exception of a stream."""
        if isinstance(exc, GatewayGoneError):
            return exc
        if isinstance(exc, DisconnectError):
            return errors.gone(exc)
        if isinstance(exc, RemoteError):
            return RemoteError(exc.formatted)  # without frames of the library over there
        if isinstance(exc, EOFError):
            return self._refusal() or EOFError(f'the other side has closed {self!r}')
        return exc

    def _refusal(self) -> BaseException | None:
        """Why the code over there was not begun, if that is why the channel has ended."""
        if self._call is None or self._stream.closed or not self._untouched:
            return None
        try:
            self._call.result(_REFUSAL_TIME)
        except DisconnectError:
            return None
        except OperationError as exc:
            return RemoteError(str(exc))
        except Exception:  # it goes on without its channel
            return None
        return None

    # -------------------------------------------------------------------------------------- more

    def makefile(self, mode: str = 'w', proxyclose: bool = False) -> ReadingFile | WritingFile:
        """Return a text file: what is written is sent, what is received is read.

        Args:
            mode: ``w`` or ``r``.
            proxyclose: Whether closing the file closes the channel.

        Raises:
            ValueError: There is no such mode.
        """
        from .files import ReadingFile, WritingFile

        if mode == 'w':
            return WritingFile(self, proxyclose)
        if mode == 'r':
            return ReadingFile(self, proxyclose)
        raise ValueError(f"the mode of a channel's file is 'w' or 'r', not {mode!r}")

    def __reduce__(self) -> Any:
        return _arrived, (self._stream,)

    def __repr__(self) -> str:
        state = 'closed' if self.isclosed() else 'open'
        return f'<{type(self).__name__} of {self.gateway.id}, {state}>'


class _Callback:
    """A function that gets the items of a channel."""

    def __init__(self, channel: Channel, callback: Callable[[Any], object], endmarker: Any) -> None:
        self._channel = channel
        self._callback = callback
        self._endmarker = endmarker

    def hand_over(self, item: Any) -> None:
        try:
            self._callback(item)
        except BaseException:
            import traceback

            text = traceback.format_exc()
            _log('the callback of %r failed:\n%s', self._channel, text)
            self._channel.close(text)

    def end(self, error: BaseException | None) -> None:
        channel = self._channel
        channel.ending = None if error is None else channel._error_for(error)
        try:
            if self._endmarker is not NOT_WANTED:
                self._callback(self._endmarker)
        except BaseException:
            import traceback

            _log('the callback of %r failed at its end:\n%s', channel, traceback.format_exc())
        finally:
            channel.gateway.forget(channel)


def _log(text: str, *args: object) -> None:
    import logging

    logging.getLogger('across.gateways').error(text, *args)


def _deadline(timeout: float) -> float:
    if not isinstance(timeout, (int, float)):
        raise TypeError(f'the timeout must be seconds, or None, not {type(timeout).__name__}')
    return time.monotonic() + timeout


def _late(timeout: float) -> errors.TimeoutError:
    return errors.TimeoutError(f'no item came within {timeout:g} s')


def _arrived(stream: Stream) -> Channel:
    """Unpickle a channel: its other end, of the gateway that it came through."""
    channel: Channel = end_of(get_connection()).adopt(stream)
    return channel


Channel.__module__ = 'across.gateways'
