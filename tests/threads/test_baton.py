"""The reader role: who reads, who sleeps, and that no hand-over is ever lost."""

from __future__ import annotations

import gc
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from across._core.threads.baton import Baton, Waiter
from support.interleaving import Background, ObservedLock
from support.waiting import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable


class Frees:
    """Counts how often the baton was left free."""

    def __init__(self) -> None:
        self.count = 0
        self.baton = Baton(self)

    def __call__(self) -> None:
        assert not self.baton.mutex.locked()
        self.count += 1


@pytest.fixture
def frees() -> Frees:
    return Frees()


@pytest.fixture
def baton(frees: Frees) -> Baton:
    return frees.baton


class ScriptedLock:
    """What a waiter sleeps on; a test says what happens while it does, and how it wakes."""

    def __init__(self, meanwhile: Callable[[], object], wakes: bool | BaseException) -> None:
        self._meanwhile = meanwhile
        self._wakes = wakes
        self.releases = 0

    def acquire(self, timeout: float = -1) -> bool:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None  # type: ignore[assignment]
            meanwhile()
            if isinstance(self._wakes, BaseException):
                raise self._wakes
            if not self._wakes:
                return False  # timed out, this very moment
        assert self.releases > 0, 'nobody would ever wake this waiter'
        self.releases -= 1
        return True

    def release(self) -> None:
        assert self.releases == 0, 'released twice'
        self.releases += 1


def sleeper(meanwhile: Callable[[], object], wakes: bool | BaseException) -> Any:
    """A waiter that, once it sleeps, sees something happen and wakes: or times out, or is hit."""
    waiter: Any = Waiter()
    waiter.lock = ScriptedLock(meanwhile, wakes)
    return waiter


def take_or_sleep(baton: Baton, waiter: Waiter, timeout: float = -1) -> bool:
    """What a caller does while its answer is not there; the same results as of `sleep`."""
    if waiter.done or waiter.errand is not None:
        return True
    return baton.take(waiter) or baton.sleep(waiter, timeout)


def fall_asleep(baton: Baton, waiter: Waiter | None = None) -> tuple[Waiter, Background[bool]]:
    """Have a thread sleep in the waiting room."""
    waiter = waiter or Waiter()
    lock: Any = ObservedLock(locked=True)
    waiter.lock = lock
    thread = Background(lambda: take_or_sleep(baton, waiter, 5 * SECOND))
    lock.wait_for_waiting()
    return waiter, thread


# ------------------------------------------------------------------------------ taking, passing on


def test_one_holder_at_a_time(baton: Baton, frees: Frees) -> None:
    assert baton.try_take()
    assert not baton.try_take()
    assert frees.count == 0
    baton.pass_on()
    assert frees.count == 1
    assert baton.free
    assert baton.try_take()


def test_waiter_takes_the_free_baton_at_once(baton: Baton) -> None:
    first, second = Waiter(), Waiter()
    assert baton.take(first)
    baton.pass_on()
    assert baton.holder is not first
    assert take_or_sleep(baton, second)
    assert baton.holder is second
    assert take_or_sleep(baton, second)  # it does not wait for itself


def test_giving_it_away_is_counted(baton: Baton) -> None:
    """The watchdog sees by that whether anything moves."""
    waiter = Waiter()
    baton.try_take()
    baton.pass_on()
    take_or_sleep(baton, waiter)
    baton.pass_on()
    baton.take(waiter)
    heir, thread = fall_asleep(baton)
    baton.pass_on()
    thread.join()
    assert baton.holder is heir
    assert baton.changes == 3


def test_baton_goes_to_who_sleeps_longest(baton: Baton, frees: Frees) -> None:
    baton.try_take()
    sleepers = [fall_asleep(baton) for _ in range(3)]
    baton.pass_on()
    for waiter, thread in sleepers:
        assert thread.join()
        assert baton.holder is waiter
        assert sum(baton.holder is each for each, _ in sleepers) == 1
        assert not baton.free
        baton.pass_on()
    assert baton.free
    assert frees.count == 1


def test_timeout_ends_the_sleep(baton: Baton) -> None:
    baton.try_take()
    waiter = Waiter()
    assert not take_or_sleep(baton, waiter, MS)
    baton.pass_on()
    assert baton.free  # it is not in the waiting room any more
    assert baton.holder is not waiter
    assert take_or_sleep(baton, waiter, MS)


# --------------------------------------------------------------------------------------- finishing


def test_finish_wakes_the_sleeper_without_the_baton(baton: Baton) -> None:
    baton.try_take()
    waiter, thread = fall_asleep(baton)
    baton.finish(waiter)
    assert thread.join()
    assert waiter.done
    assert baton.holder is not waiter
    assert not baton.free


def test_finish_of_who_is_awake(baton: Baton) -> None:
    baton.try_take()
    waiter = Waiter()
    baton.finish(waiter)
    assert take_or_sleep(baton, waiter)  # returns although somebody else reads


def test_result_ready_after_the_role_is_given_up(baton: Baton) -> None:
    """The reader marks a waiter done, then frees the baton: the waiter must not go and read."""
    baton.try_take()
    waiter = Waiter()
    baton.finish(waiter)
    baton.pass_on()
    assert take_or_sleep(baton, waiter)
    assert baton.holder is not waiter
    assert baton.free


def test_result_ready_just_before_falling_asleep(baton: Baton) -> None:
    """A waiter that looked before its result came looks again under the mutex."""
    baton.try_take()
    mutex: Any = ObservedLock(locked=True)
    baton.mutex = mutex
    waiter = Waiter()
    thread = Background(lambda: take_or_sleep(baton, waiter, 5 * SECOND))
    mutex.wait_for_waiting()  # on its way into the waiting room
    waiter.done = True  # what finish() does, with the mutex that is held here
    mutex.release()
    assert thread.join()
    assert waiter.lock is None  # never slept


# ------------------------------------------------------------------ double release, lost promotion


def test_double_release_finish_then_pass_on(baton: Baton) -> None:
    baton.try_take()

    def meanwhile() -> None:
        baton.finish(waiter)
        baton.finish(waiter)
        baton.pass_on()
        baton.give_errand(waiter, 'too late')

    waiter = sleeper(meanwhile, wakes=True)
    assert take_or_sleep(baton, waiter)
    assert waiter.lock.releases == 0
    assert waiter.done
    assert baton.holder is not waiter
    assert baton.free


def test_double_release_pass_on_then_finish(baton: Baton) -> None:
    baton.try_take()

    def meanwhile() -> None:
        baton.pass_on()
        baton.finish(waiter)

    waiter = sleeper(meanwhile, wakes=True)
    assert take_or_sleep(baton, waiter)
    assert waiter.lock.releases == 0
    assert waiter.done
    assert baton.holder is waiter
    assert not baton.free


def test_lost_promotion_timeout_at_the_moment_of_the_hand_over(baton: Baton) -> None:
    """The timeout runs out, but the baton is there already: the waiter takes it."""
    baton.try_take()
    waiter = sleeper(baton.pass_on, wakes=False)
    assert take_or_sleep(baton, waiter, SECOND)
    assert waiter.lock.releases == 0  # taken in: the next sleep would end at once
    assert baton.holder is waiter


def test_timeout_at_the_moment_of_the_result(baton: Baton) -> None:
    baton.try_take()
    waiter = sleeper(lambda: baton.finish(waiter), wakes=False)
    assert take_or_sleep(baton, waiter, SECOND)
    assert waiter.done


def test_leaving_waiter_passes_the_baton_on(baton: Baton) -> None:
    """Ctrl-C hits a waiter that has just been given the baton: the next one gets it."""
    baton.try_take()
    waiter = sleeper(baton.pass_on, wakes=KeyboardInterrupt())
    heirs: list[tuple[Waiter, Background[bool]]] = []
    scripted = waiter.lock._meanwhile

    def meanwhile() -> None:
        scripted()
        heirs.append(fall_asleep(baton))

    waiter.lock._meanwhile = meanwhile
    with pytest.raises(KeyboardInterrupt):
        take_or_sleep(baton, waiter)
    baton.leave(waiter)
    ((heir, thread),) = heirs
    assert thread.join()
    assert baton.holder is heir
    assert baton.holder is not waiter


def test_leaving_waiter_without_heir_frees_the_baton(baton: Baton, frees: Frees) -> None:
    baton.try_take()
    waiter = sleeper(baton.pass_on, wakes=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take_or_sleep(baton, waiter)
    baton.leave(waiter)
    assert baton.free
    assert frees.count == 1


def test_leaving_waiter_is_not_given_anything(baton: Baton) -> None:
    baton.try_take()
    waiter = sleeper(lambda: None, wakes=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take_or_sleep(baton, waiter)
    baton.leave(waiter)
    assert not baton.give_errand(waiter, 'errand')
    baton.pass_on()
    assert baton.free
    assert waiter.lock.releases == 0


def test_real_interrupt_of_a_sleeping_main_thread(baton: Baton) -> None:
    baton.try_take()
    waiter = Waiter()
    lock: Any = ObservedLock(locked=True)
    waiter.lock = lock
    main = threading.get_ident()

    def interrupt() -> None:
        lock.wait_for_waiting()
        signal.pthread_kill(main, signal.SIGINT)

    thread = Background(interrupt)
    with pytest.raises(KeyboardInterrupt):
        take_or_sleep(baton, waiter, 5 * SECOND)
    thread.join()
    baton.leave(waiter)
    baton.pass_on()
    assert baton.free


# ----------------------------------------------------------------------------------------- errands


def test_errand_wakes_its_waiter(baton: Baton) -> None:
    baton.try_take()
    waiter, thread = fall_asleep(baton)
    assert baton.give_errand(waiter, 'errand')
    assert thread.join()
    assert waiter.errand == 'errand'
    assert not waiter.done


def test_one_errand_at_a_time(baton: Baton) -> None:
    waiter = Waiter()
    assert baton.give_errand(waiter, 'first')
    waiter.errand = None  # taken
    assert not baton.give_errand(waiter, 'second')
    baton.end_errand(waiter)
    assert baton.give_errand(waiter, 'third')


def test_no_errand_for_who_is_done(baton: Baton) -> None:
    waiter = Waiter()
    baton.finish(waiter)
    assert not baton.give_errand(waiter, 'errand')


def test_errand_before_falling_asleep(baton: Baton) -> None:
    baton.try_take()
    waiter = Waiter()
    assert baton.give_errand(waiter, 'errand')
    assert take_or_sleep(baton, waiter)
    assert baton.holder is not waiter


def test_baton_is_not_given_to_who_runs_an_errand(baton: Baton) -> None:
    baton.try_take()
    waiter, thread = fall_asleep(baton)
    baton.give_errand(waiter, 'errand')
    thread.join()
    baton.pass_on()
    assert baton.holder is not waiter
    assert baton.free


# ------------------------------------------------------------------------------------- all at once


def test_many_threads_take_turns_and_none_is_forgotten(baton: Baton) -> None:
    """Threads read and finish each other in every order; all of them come to their end."""
    count, rounds = 6, 60
    waiting: dict[Waiter, None] = {}

    def caller() -> int:
        reads = 0
        for _ in range(rounds):
            waiter = Waiter()
            waiting[waiter] = None
            while not waiter.done:
                assert take_or_sleep(baton, waiter, 5 * SECOND)
                if baton.holder is waiter:
                    reads += 1
                    # The "frame" that was read answers whoever waits longest.
                    answered = next(iter(waiting))
                    del waiting[answered]
                    baton.finish(answered)
                    baton.pass_on()
        return reads

    threads = [Background(caller) for _ in range(count)]
    assert sum(thread.join() for thread in threads) == count * rounds
    assert baton.free
    assert not waiting


def test_taking_from_a_holder(baton: Baton) -> None:
    holder, other = Waiter(), Waiter()
    assert baton.take(holder)
    assert not baton.take_from(other)
    assert baton.take_from(holder)
    assert not baton.take_from(holder)
    assert not baton.free


def test_nothing_is_made_under_the_mutex(baton: Baton) -> None:
    """That may set off the garbage collector, and a finalizer that makes a call needs the mutex."""
    seen: list[bool] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            seen.append(baton.mutex.locked())

    enabled = gc.isenabled()
    try:
        # The collector comes when so many objects were made: at each step of the method, once.
        for count in range(gc.get_threshold()[0] - 20, gc.get_threshold()[0] + 1):
            gc.disable()
            holder = Waiter()
            baton.take(holder)
            gc.collect()
            Cycle()
            made: list[list[int]] = [[] for _ in range(count)]
            gc.enable()
            baton.take_from(holder)
            baton.put_down()
            del made
    finally:
        gc.enable() if enabled else gc.disable()
    gc.collect()
    assert seen
    assert not any(seen)
