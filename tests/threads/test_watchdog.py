"""The watchdog: ticks while something may be due, dozes otherwise, and is woken in time."""

from __future__ import annotations

import math
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from across._core.threads import watchdog as module
from across._core.threads.context import context
from across._core.threads.watchdog import Watchdog
from support.waiting import MS, SECOND, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Ward:
    """Counts ticks.

    Args:
        patience: What it says of itself.
        when_asked: Called each time that it is asked for its patience.
    """

    def __init__(
        self, patience: float = math.inf, when_asked: Callable[[], object] | None = None
    ) -> None:
        self._patience = patience
        self._when_asked = when_asked
        self.resting = False
        self.ticks = 0
        self.times: list[float] = []
        self.critical = False

    def tick(self, now: float) -> None:
        self.times.append(now)
        self.critical = context.thread.critical
        self.ticks += 1

    def patience(self) -> float:
        if self._when_asked is not None:
            self._when_asked()
        return self._patience


@pytest.fixture
def dog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    """A watchdog whose doze would outlast the test."""
    monkeypatch.setattr(module, 'DOZE', 3600)
    dog = Watchdog()
    yield dog
    for ward in list(dog._wards):
        dog.remove(ward)
    wait_until(lambda: dog._thread is None, 'the watchdog to end')


def fall_asleep(dog: Watchdog) -> None:
    """Wait until the thread sleeps for long, and nothing is about to wake it."""
    wait_until(lambda: dog.dozing and dog._wakeup.locked(), 'the watchdog to doze')


def test_all_wards_are_looked_after(dog: Watchdog) -> None:
    wards = [Ward(0), Ward(0), Ward(5 * MS)]
    for ward in wards:
        dog.add(ward)
    wait_until(lambda: all(ward.ticks > 2 for ward in wards))
    assert wards[0].times == sorted(wards[0].times)
    assert wards[0].critical  # a finalizer that runs here must not make a remote call


def test_one_thread_for_all_wards(dog: Watchdog) -> None:
    for _ in range(3):
        dog.add(Ward())
    names = [thread.name for thread in threading.enumerate()]
    assert names.count('across-watchdog') == 1
    assert dog._thread is not None
    assert dog._thread.daemon


def test_thread_ends_with_the_last_ward(dog: Watchdog) -> None:
    first, second = Ward(), Ward()
    dog.add(first)
    dog.add(second)
    fall_asleep(dog)
    thread = dog._thread
    assert thread is not None
    dog.remove(first)
    assert thread.is_alive()
    dog.remove(second)
    thread.join(5 * SECOND)
    assert not thread.is_alive()
    dog.remove(second)  # removing again does no harm


def test_new_ward_after_the_thread_has_ended(dog: Watchdog) -> None:
    first, second = Ward(), Ward()
    dog.add(first)
    dog.remove(first)
    wait_until(lambda: dog._thread is None)
    dog.add(second)
    wait_until(lambda: second.ticks)


def test_new_ward_ends_a_doze(dog: Watchdog) -> None:
    dog.add(Ward())
    fall_asleep(dog)
    ward = Ward()
    dog.add(ward)
    wait_until(lambda: ward.ticks)


def test_resting_ward_is_roused_alone(dog: Watchdog) -> None:
    ward, other = Ward(), Ward()
    dog.add(ward)
    dog.add(other)
    fall_asleep(dog)
    before, others = ward.ticks, other.ticks
    assert ward.resting
    dog.rouse(ward)
    wait_until(lambda: ward.ticks > before)
    fall_asleep(dog)  # and rests again
    assert ward.resting
    assert other.ticks == others


def test_ward_is_roused_while_it_is_about_to_rest(dog: Watchdog) -> None:
    """Somebody frees a baton after its link was looked at: `resting` tells that in time."""
    armed: list[bool] = []
    seen: list[bool] = []

    def free_a_baton() -> None:
        if armed:
            armed.clear()
            seen.append(ward.resting)
            dog.rouse(ward)

    ward = Ward(when_asked=free_a_baton)
    dog.add(ward)
    fall_asleep(dog)
    before = ward.ticks
    armed.append(True)
    dog.rouse(ward)
    wait_until(lambda: ward.ticks == before + 2)
    assert seen == [True]


def test_rousing_the_removed_does_no_harm(dog: Watchdog) -> None:
    ward, other = Ward(), Ward()
    dog.add(ward)
    dog.add(other)
    fall_asleep(dog)
    before = ward.ticks
    dog.remove(ward)
    dog.rouse(ward)
    dog.rouse(other)
    wait_until(lambda: other.ticks > 1)
    assert ward.ticks == before


def test_removed_ward_is_not_kept_alive(dog: Watchdog) -> None:
    ward = Ward(3600)
    gone = weakref.ref(ward)
    dog.add(ward)
    dog.add(Ward())
    fall_asleep(dog)
    dog.remove(ward)
    del ward
    assert gone() is None


def test_resting_wards_do_not_cost_the_ticks_of_others(dog: Watchdog) -> None:
    resting, busy = Ward(), Ward(0)
    dog.add(resting)
    wait_until(lambda: resting.ticks)
    before = resting.ticks
    dog.add(busy)
    wait_until(lambda: busy.ticks > 10)
    assert resting.ticks == before


def test_waking_again_and_again_does_no_harm(dog: Watchdog) -> None:
    ward = Ward()
    dog.add(ward)
    for _ in range(100):
        dog.wake()
    fall_asleep(dog)
    dog.wake()
    dog.wake()
    fall_asleep(dog)


def test_impatient_ward_keeps_it_ticking(dog: Watchdog) -> None:
    patient, impatient = Ward(), Ward(0)
    dog.add(patient)
    dog.add(impatient)
    wait_until(lambda: impatient.ticks > 3)
    dog.remove(impatient)
    fall_asleep(dog)


def test_patience_is_a_limit(dog: Watchdog) -> None:
    ward = Ward(20 * MS)
    dog.add(ward)
    wait_until(lambda: ward.ticks > 3)


def test_doze_ends_by_itself(dog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finalizers left behind is sent some time, though they wake nobody."""
    monkeypatch.setattr(module, 'DOZE', 10 * MS)
    ward = Ward(30 * MS)
    dog.add(ward)
    wait_until(lambda: ward.ticks > 3)


def test_forget_starts_anew() -> None:
    """In a forked child, the thread of the parent does not exist."""
    dog = Watchdog()
    gone = threading.Thread()
    dog._thread, dog._wards = gone, {Ward(): None}
    dog._mutex.acquire()  # whoever held it is gone, too
    dog.forget()
    ward = Ward()
    dog.add(ward)
    wait_until(lambda: ward.ticks)
    dog.remove(ward)
    wait_until(lambda: dog._thread is None)


def test_ward_that_is_added_at_rest_wakes_nobody(dog: Watchdog) -> None:
    dog.add(Ward())
    fall_asleep(dog)
    ward = Ward()
    dog.add(ward, 3600)
    assert dog.dozing
    assert ward.resting
    dog.rouse(ward)
    wait_until(lambda: ward.ticks)
