"""Service threads: kept for a while, used again, ended."""

from __future__ import annotations

import _thread
import threading
import weakref
from typing import Any

import pytest

from across._core.threads import cache as module
from across._core.threads.cache import ThreadCache
from support.interleaving import Sequencer
from support.waiting import MS, SECOND, wait_until


@pytest.fixture
def cache() -> ThreadCache:
    return ThreadCache()


def run(cache: ThreadCache) -> int:
    """Run a job; the id of its thread, once that is idle again."""
    found: list[int] = []
    before = len(cache._idle)
    cache.run(lambda: found.append(_thread.get_ident()))
    wait_until(lambda: found and len(cache._idle) >= max(before, 1), 'the job')
    return found[0]


def service_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == 'across-service'}


def test_job_runs_in_a_daemon_thread_of_its_own(cache: ThreadCache) -> None:
    found: list[threading.Thread] = []
    cache.run(lambda: found.append(threading.current_thread()))
    (thread,) = wait_until(lambda: found)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == 'across-service'
    wait_until(lambda: cache._idle)
    cache.dismiss()


def test_idle_thread_gets_the_next_job(cache: ThreadCache) -> None:
    assert run(cache) == run(cache) == run(cache)
    cache.dismiss()


def test_last_one_to_be_idle_is_the_first_to_work(cache: ThreadCache) -> None:
    steps = Sequencer()
    ids: dict[str, int] = {}

    def job(name: str, step: int) -> None:
        ids[name] = _thread.get_ident()
        steps.take(step)

    cache.run(lambda: job('first', 1))
    cache.run(lambda: job('second', 3))
    wait_until(lambda: len(ids) == 2)
    steps.take(0)
    wait_until(lambda: len(cache._idle) == 1)
    steps.take(2)
    wait_until(lambda: len(cache._idle) == 2)
    assert run(cache) == ids['second']
    cache.dismiss()


def test_jobs_at_the_same_time_run_in_threads_of_their_own(cache: ThreadCache) -> None:
    barrier = threading.Barrier(5)

    def meet() -> None:
        barrier.wait(5 * SECOND)  # passed only if all jobs run at once

    for _ in range(4):
        cache.run(meet)
    meet()
    wait_until(lambda: len(cache._idle) == 4)
    cache.dismiss()
    assert cache._idle == []


def test_dismissed_threads_end(cache: ThreadCache) -> None:
    before = service_threads()
    run(cache)
    (thread,) = service_threads() - before
    cache.dismiss()
    thread.join(5 * SECOND)
    assert not thread.is_alive()
    cache.dismiss()  # nothing left to do


def test_idle_thread_ends_by_itself(cache: ThreadCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'IDLE_TIMEOUT', MS)
    before = service_threads()
    ended = threading.Event()
    cache.run(ended.set)
    assert ended.wait(5 * SECOND)
    wait_until(lambda: not service_threads() - before, 'the thread to end')
    assert cache._idle == []
    run_again = threading.Event()
    cache.run(run_again.set)
    assert run_again.wait(5 * SECOND)


def test_idle_thread_keeps_no_job_alive(cache: ThreadCache) -> None:
    class Job:
        def __call__(self) -> None:
            pass

    job = Job()
    weak = weakref.ref(job)
    cache.run(job)
    del job
    wait_until(lambda: cache._idle)
    assert weak() is None
    cache.dismiss()


def test_job_that_comes_as_the_idle_timeout_runs_out(
    cache: ThreadCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread was taken off the idle list just before it would have ended: it runs the job."""
    found: list[str] = []

    class Wakeup:
        def __init__(self) -> None:
            self._lock = _thread.allocate_lock()
            self.timeouts = 1

        def acquire(self, timeout: float = -1) -> bool:
            if timeout >= 0 and self.timeouts:
                self.timeouts -= 1
                cache.run(lambda: found.append('late'))
                return False
            return self._lock.acquire(timeout=timeout)

        def release(self) -> None:
            self._lock.release()

    class Worker(module._Worker):
        def __init__(self, job: Any) -> None:
            super().__init__(job)
            wakeup: Any = Wakeup()
            wakeup._lock.acquire()
            self.wakeup = wakeup

    monkeypatch.setattr(module, '_Worker', Worker)
    cache.run(lambda: found.append('first'))
    wait_until(lambda: found == ['first', 'late'] and cache._idle)
    cache.dismiss()


def test_dismissing_while_another_thread_takes_the_last_one(cache: ThreadCache) -> None:
    class Taken(list[Any]):
        """Shows a worker that is gone when it is to be popped."""

        def __bool__(self) -> bool:
            return True

    cache._idle = Taken()
    cache.dismiss()  # does not raise


def test_forget_starts_anew(cache: ThreadCache) -> None:
    """In a forked child, the idle list names threads that don't exist."""
    cache._idle.append(module._Worker(lambda: None))  # of a thread of the parent
    cache.forget()
    done = threading.Event()
    cache.run(done.set)
    assert done.wait(5 * SECOND)
    wait_until(lambda: cache._idle)
    cache.dismiss()
