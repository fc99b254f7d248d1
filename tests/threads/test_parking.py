"""The parking lot: who is parked is told once that its descriptor turned readable."""

from __future__ import annotations

import os
import select
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from across._core.threads.context import context
from across._core.threads.parking import EpollPoller, ParkingLot, PollPoller
from support.ends import run_script
from support.waiting import SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

POLLERS = [PollPoller] + ([EpollPoller] if hasattr(select, 'epoll') else [])


class Guest:
    """A pipe; counts how often it was told that it is readable."""

    def __init__(self, lot: ParkingLot) -> None:
        self.parked = self.left = False
        self.told = 0
        self.critical = False
        self.parks_again = False
        self._lot = lot
        self.end, self._other_end = os.pipe()

    def park(self) -> bool:
        return self._lot.park(self, self.end)

    def on_readable(self) -> None:
        self.critical = context.thread.critical
        self.told += 1
        if self.parks_again:
            self.read()
            self.park()

    def write(self) -> None:
        os.write(self._other_end, b'x')

    def read(self) -> None:
        os.read(self.end, 100)

    def close(self) -> None:
        self._lot.leave(self)
        os.close(self.end)
        os.close(self._other_end)


@pytest.fixture(params=POLLERS)
def lot(request: pytest.FixtureRequest) -> ParkingLot:
    return ParkingLot(request.param)


@pytest.fixture
def guests(lot: ParkingLot) -> Iterator[list[Guest]]:
    made = [Guest(lot) for _ in range(3)]
    yield made
    for guest in made:
        guest.close()
    wait_until(lambda: lot._poller is None, 'the thread to end')


def threads() -> int:
    return [thread.name for thread in threading.enumerate()].count('across-parking')


def test_parked_guest_is_told_once(guests: list[Guest]) -> None:
    first, second, _ = guests
    for guest in guests:
        assert guest.park()
        assert guest.parked
    assert threads() == 1
    first.write()
    wait_until(lambda: first.told)
    assert not first.parked
    assert first.critical  # a finalizer that runs here must not make a remote call
    second.write()  # handled behind whatever else the first might cause
    wait_until(lambda: second.told)
    assert [guest.told for guest in guests] == [1, 1, 0]


def test_what_was_readable_before_is_told_too(guests: list[Guest]) -> None:
    guests[0].write()
    guests[0].park()
    wait_until(lambda: guests[0].told)


def test_parks_again_when_told(guests: list[Guest]) -> None:
    guests[0].parks_again = True
    guests[0].park()
    for count in range(1, 50):
        guests[0].write()
        wait_until(lambda: guests[0].told >= count)  # noqa: B023
        wait_until(lambda: guests[0].parked)


def test_unparked_guest_is_not_told(lot: ParkingLot, guests: list[Guest]) -> None:
    first, second, _ = guests
    first.park()
    second.park()
    assert lot.unpark(first)
    assert not lot.unpark(first)
    first.write()
    second.write()
    wait_until(lambda: second.told)
    assert not first.told
    first.park()
    wait_until(lambda: first.told)


def test_who_has_left_is_parked_no_more(lot: ParkingLot, guests: list[Guest]) -> None:
    first, second, _ = guests
    first.park()
    second.park()
    lot.leave(first)
    assert not first.parked
    assert not first.park()
    first.write()
    second.write()
    wait_until(lambda: second.told)
    assert not first.told


def test_new_guest_on_the_descriptor_of_one_that_left(lot: ParkingLot) -> None:
    for _ in range(50):
        guest = Guest(lot)
        guest.write()
        guest.park()
        guest.close()
        later = Guest(lot)
        assert later.end == guest.end
        later.park()
        later.write()
        wait_until(lambda: later.told)  # noqa: B023
        later.close()
    wait_until(lambda: lot._poller is None, 'the thread to end')


def test_thread_ends_with_the_last_guest_and_begins_anew(lot: ParkingLot) -> None:
    for _ in range(20):
        guest = Guest(lot)
        guest.park()
        guest.write()
        wait_until(lambda: guest.told)  # noqa: B023
        guest.close()
    wait_until(lambda: lot._poller is None, 'the thread to end')
    wait_until(lambda: threads() == 0)


INTERRUPTED_AT_EVERY_STATEMENT = """
import itertools, sys
sys.path.insert(0, sys.argv[1])
from support.probes import interrupt, probe
probe(['across._core.threads.parking'])
from across._core.threads import parking
from support.waiting import wait_until
from threads.test_parking import Guest

what, kind = sys.argv[2:]
lot = parking.ParkingLot(getattr(parking, kind))
for number in itertools.count(1):
    guest = Guest(lot)
    guest.park()
    if what == 'leave when unparked':
        lot.unpark(guest)
    use = lot.leave if what.startswith('leave') else lot.unpark
    more = interrupt(number, lambda: use(guest))
    if what == 'unpark and park':
        lot.unpark(guest)
        assert not guest.parked
        assert guest.park()
        guest.write()
        wait_until(lambda: guest.told)
    guest.close()
    assert not lot._fds
    wait_until(lambda: lot._poller is None, 'the thread to end')
    if not more:
        break
print(number)
"""


@pytest.mark.parametrize('poller', POLLERS)
@pytest.mark.parametrize(
    'what', ['unpark and park', 'unpark and leave', 'leave', 'leave when unparked']
)
def test_what_was_interrupted_can_be_done_again(what: str, poller: type) -> None:
    """Nothing is left of it: neither the guest, nor what would keep the thread from ending."""
    tests = Path(__file__).parents[1]
    numbers = run_script(INTERRUPTED_AT_EVERY_STATEMENT, tests, what, poller.__name__)
    assert int(numbers) > 3


def test_end_of_a_stream_is_told(guests: list[Guest]) -> None:
    guest = guests[0]
    guest.park()
    spare = os.dup(guest.end)
    os.close(guest._other_end)
    wait_until(lambda: guest.told)
    guest._other_end = spare


@pytest.mark.skipif(not hasattr(select, 'epoll'), reason='poll() takes any descriptor')
def test_what_cannot_be_waited_for_is_not_parked(tmp_path_factory: pytest.TempPathFactory) -> None:
    lot = ParkingLot()
    guest = Guest(lot)
    with open(__file__, 'rb') as file:
        assert not lot.park(guest, file.fileno())
        assert not guest.parked
        guest.close()
    wait_until(lambda: lot._poller is None, 'the thread to end')


def test_nothing_is_parked_where_no_thread_is_to_be_had(
    lot: ParkingLot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    guest = Guest(lot)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', start)
        assert not guest.park()
        assert not guest.parked
    assert guest.park()
    guest.close()
    wait_until(lambda: lot._poller is None, 'the thread to end')


def test_forget_leaves_the_parents_descriptors_alone(lot: ParkingLot, guests: list[Guest]) -> None:
    """In a forked child: it closes its copies, what the parent waits for stays as it was."""
    guests[0].park()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # from 3.12 on: there are threads
        pid = os.fork()
    if not pid:
        os._exit(len(lot._fds))
    _, status = os.waitpid(pid, 0)
    assert status == 0
    guests[0].write()
    wait_until(lambda: guests[0].told, 'the byte', 5 * SECOND)
