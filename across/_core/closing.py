"""The last steps of a link: the goodbye, and the release of what it holds.

Layer: just below :mod:`.link`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from .interrupts import SIGNAL_PAUSE
from .states import CLOSING, OPEN
from .threads.baton import Waiter
from .threads.cache import service_threads
from .threads.main_loop import main_loop
from .threads.watchdog import watchdog
from .wire.frames import GOODBYE, encode

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from .link import Link


def tell_end(link: Link) -> None:
    """Wake all who wait; who comes while another thread is at it joins in, lest that one stops."""
    link.transport.cancel()
    link.calls.fail_all()
    link.handlers.cancel_all()
    with suppress(RuntimeError):  # somebody else has done it
        link.ended.release()
    main_loop.wake()
    while link.end_callbacks:
        with suppress(IndexError):
            service_threads.run(link.end_callbacks.pop(0))
    link.told = True


def begin_closing(link: Link) -> bool:
    """Want nothing more; False if that was so before."""
    with link.ending:
        if link.state != OPEN:
            return False
        link.state = CLOSING
        link.reason = 'it was closed'
    link.calls.fail_all()
    return True


def say_goodbye(link: Link) -> None:
    """Tell the peer that we want nothing more, and wait until it agrees.

    Raises:
        DisconnectError: It can't be told.
    """
    timeout = link.options.timeout
    begun = begin_closing(link)
    farewell = link.calls.add_farewell()
    if begun:
        link.sender.send(encode(GOODBYE))
    if not link.reader.wait(farewell, -1 if timeout is None else timeout):
        link.log('WARNING', f'the peer did not answer our goodbye within {timeout:g} s')
        link.transport.kill()


class _Last(Waiter):
    """Who takes the baton of a link that is closed, and keeps it: nobody reads any more."""


def release(link: Link) -> None:
    """End a link, and free what it holds, once nobody uses it any more.

    If an exception of a signal handler ends this, it can be called again.
    """
    link.fail('it was closed', clean=True)
    baton = link.reader.baton
    while type(baton.holder) is not _Last:
        service_threads.run_stranded()  # one may hold the baton
        last = _Last()
        if not baton.take(last):
            baton.sleep(last, SIGNAL_PAUSE)
    if link.reader.idle is not None:
        link.reader.idle.leave()
    link.sender.outbox.close()
    if link.forwarding is not None:
        link.forwarding.stop()
    if link.made_importer is not None:
        link.made_importer.uninstall()
    if not link.clean:
        link.transport.kill()
    link.transport.close(link.options.timeout)
    link.payloads.drop(link.exports.clear())
    with suppress(RuntimeError):  # it was released before
        link.gone.release()
    watchdog.remove(link.pulse)  # last: it also sees to what signals have left undone


def release_soon(link: Link) -> None:
    """The same in a service thread; don't wait for a child to end by itself."""
    link.transport.kill()
    service_threads.run(partial(release, link))
