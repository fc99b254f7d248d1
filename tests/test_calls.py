"""`Connection.call`: what travels, what comes back, and what it says when that fails."""

from __future__ import annotations

import collections
import functools
import operator
import os
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from across import AcrossError, Connection, DisconnectError, OperationError, get_connection, ref
from support.ends import raised_by
from support.interpreters import bare_command
from support.peers import Pair, environment
from support.waiting import SECOND, wait_until

FACTOR = 3


def multiply(value: int) -> int:
    return value * FACTOR


# ------------------------------------------------------------------------------- by reference


@pytest.mark.parametrize(
    ('func', 'arguments', 'result'),
    [
        (len, ('abc',), 3),
        (os.path.join, ('a', 'b'), 'a/b'),
        (Decimal, ('1.50',), Decimal('1.50')),
        ('a-b'.split, ('-',), ['a', 'b']),
        (Decimal(2).sqrt, (), Decimal(2).sqrt()),
        (dict.fromkeys, ('ab', 0), {'a': 0, 'b': 0}),
        (functools.partial(int, base=2), ('101',), 5),
        (operator.itemgetter(1), ([7, 8],), 8),
        (collections.Counter, ('aab',), collections.Counter('aab')),
        (Path.joinpath, (Path('x'), 'y'), Path('x/y')),
    ],
    ids=[
        *('builtin', 'function', 'class', 'method', 'bound', 'classmethod', 'partial', 'getter'),
        *('subclass', 'unbound'),
    ],
)
def test_importable_functions_classes_and_instances(
    peer: Connection, func: Any, arguments: tuple[Any, ...], result: Any
) -> None:
    found = peer.call(func, *arguments)
    assert found == result
    assert type(found) is type(result)


def test_names_of_keyword_arguments_are_free(peer: Connection) -> None:
    assert peer.call(dict, self=1, func=2, args=3, kwargs=4, timeout=5) == {
        'self': 1, 'func': 2, 'args': 3, 'kwargs': 4, 'timeout': 5,
    }  # fmt: skip


def test_it_runs_over_there(peer: Connection) -> None:
    assert peer.call(os.getpid) != os.getpid()
    peer.call(os.environ.__setitem__, 'ACROSS_MARK', 'set')
    assert peer.call(os.environ.get, 'ACROSS_MARK') is None  # the bound method took a copy along
    peer.call(os.putenv, 'ACROSS_MARK', 'set')
    assert 'ACROSS_MARK' not in os.environ


def test_arguments_are_copies(pair: Pair) -> None:
    numbers = [1]
    returned = pair.near.call(lambda col: col.append(2) or col, numbers)
    assert (numbers, returned) == ([1], [1, 2])


def test_identity_within_the_arguments_is_kept(peer: Connection) -> None:
    shared: list[int] = []
    assert peer.call(lambda first, second: first[0] is second, [shared], shared)


@pytest.mark.parametrize('func', [None, 5, 'os.getpid', []], ids=repr)
def test_what_cannot_be_called(pair: Pair, func: Any) -> None:
    for method in (pair.near.call, pair.near.call_ref, pair.near.submit):
        with pytest.raises(TypeError, match=type(func).__name__):
            method(func)


# ----------------------------------------------------------------------------------- by value


def test_lambdas_and_closures(peer: Connection) -> None:
    step = 10

    def climb(count: int) -> int:
        return 0 if not count else step + climb(count - 1)

    assert peer.call(lambda *values, **named: (values, named), 1, two=2) == ((1,), {'two': 2})
    assert peer.call(climb, 4) == 40


def test_functions_as_arguments_and_results(peer: Connection) -> None:
    def compose(outer: Any, inner: Any) -> Any:
        return lambda value: outer(inner(value))

    def double(value: int) -> int:
        return 2 * value

    composed = peer.call(compose, double, lambda value: value + 1)
    assert composed(5) == 12


def test_closures_use_globals_and_helpers(peer: Connection) -> None:
    def work(value: int) -> int:
        return value * FACTOR

    def twice(value: int) -> int:
        return work(work(value))

    assert peer.call(twice, 2) == 18


def test_local_class_keeps_its_type_on_the_way_back(peer: Connection) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def moved(self, by: int) -> Point:
            return type(self)(self.x + by)

    moved = peer.call(Point(1).moved, 2)
    assert moved.x == 3
    assert isinstance(moved, Point)


SCRIPT = """
import sys
from dataclasses import dataclass
from across import Connection

STEP = 5

@dataclass
class Point:
    x: int
    def moved(self):
        return Point(self.x + STEP)

def helper(point):
    return point.moved()

def job(count):
    return [helper(Point(x)) for x in range(count)], __name__

conn = Connection.from_command(sys.argv[1:])
points, name = conn.call(job, 2)
print(points == [Point(5), Point(6)], name)
try:
    conn.call(lambda: helper(None))
except AttributeError as exc:
    print(exc)
conn.close()
"""


@pytest.mark.parametrize('how', ['file', 'stdin', 'command'])
def test_script_without_export_and_guard(tmp_path: Path, how: str) -> None:
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    words = {'file': [str(script)], 'stdin': ['-'], 'command': ['-c', SCRIPT]}[how]
    run = subprocess.run(
        [sys.executable, *words, *bare_command()],
        input=SCRIPT, capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert run.stderr == ''
    first, second = run.stdout.splitlines()
    assert first == 'True __main__'
    assert second == "'NoneType' object has no attribute 'moved'"


def test_interactive_session() -> None:
    session = textwrap.dedent("""
        import sys
        from across import Connection
        conn = Connection.from_command(sys.argv[1:])
        def twice(value):
            return value + value

        print(conn.call(twice, 'ab'), conn.call(lambda: twice(2)))
        conn.close()
    """)
    run = subprocess.run(
        [sys.executable, '-i', '-q', '-', *bare_command()],
        input=session, capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert run.stdout == 'abab 4\n', run.stderr


# ------------------------------------------------------------------------------------- errors


def test_exception_comes_back_and_the_connection_goes_on(peer: Connection) -> None:
    with pytest.raises(KeyError) as caught:
        peer.call({}.__getitem__, 'absent')
    assert caught.value.args == ('absent',)
    assert not isinstance(caught.value, AcrossError)
    assert peer.call(len, '') == 0


def test_even_the_end_of_the_interpreter_is_an_exception(peer: Connection) -> None:
    for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit()):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            peer.call(fail)
    assert peer.call(len, '') == 0


def test_missing_module_is_named_with_what_to_do(peer: Connection) -> None:
    import pytest

    with pytest.raises(OperationError) as caught:
        peer.call(pytest.approx, 1)
    message = str(caught.value)
    assert "'_pytest'" in message
    assert socket.gethostname() in message
    assert '{}.{}'.format(*sys.version_info) in message
    assert "conn.export('_pytest')" in message
    assert not isinstance(caught.value, DisconnectError)
    assert peer.call(len, '') == 0


def test_missing_module_here(pair: Pair, peer: Connection) -> None:
    """A result may need a module that only the peer has."""
    code = """
    import sys, types
    module = types.ModuleType('only_over_there')
    exec('class Thing: pass', module.__dict__)
    sys.modules['only_over_there'] = module
    module.Thing()
    """
    with pytest.raises(OperationError, match='only_over_there'):
        peer.execute(textwrap.dedent(code))
    assert peer.call(len, '') == 0


def test_unpicklable_argument_is_located(peer: Connection) -> None:
    with pytest.raises(OperationError, match='lock') as caught:
        peer.call(print, {'deep': [1, threading.Lock()]})
    assert "key 'deep'" in str(caught.value)
    assert peer.call(len, '') == 0


def test_unpicklable_result_is_located(peer: Connection) -> None:
    def make() -> Any:
        import threading

        return {'lock': threading.Lock()}

    with pytest.raises(OperationError, match='lock') as caught:
        peer.call(make)
    assert "result, key 'lock'" in str(caught.value)
    assert peer.call(len, '') == 0


def test_argument_whose_pickling_fails(peer: Connection) -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError('not me')

    with pytest.raises(OperationError, match='Stubborn') as caught:
        peer.call(print, Stubborn())
    assert 'not me' in str(caught.value)


def test_argument_whose_unpickling_fails(peer: Connection) -> None:
    class Fragile:
        def __reduce__(self) -> Any:
            return int, ('not a number',)

    with pytest.raises(OperationError, match='not a number'):
        peer.call(print, Fragile())
    assert peer.call(len, '') == 0


def test_unpicklable_exception_still_tells_its_story(peer: Connection) -> None:
    def fail() -> None:
        import threading

        class OddError(Exception):
            pass

        raise OddError('the story', threading.Lock())

    error = raised_by(peer.call, fail)
    assert (type(error).__name__, type(error).__bases__) == ('OddError', (Exception,))
    story, lock = error.args
    assert story == 'the story'
    assert lock.startswith('<unlocked _thread.lock object at 0x')
    assert peer.call(len, '') == 0


def test_closed_connection_says_so(pair: Pair) -> None:
    pair.near.close()
    for _ in range(2):
        with pytest.raises(DisconnectError, match='closed'):
            pair.near.call(len, '')
    wait_until(lambda: not pair.far.is_connected())
    with pytest.raises(DisconnectError, match='peer closed'):
        pair.far.call(len, '')


def test_ctrl_c_leaves_the_connection_usable(peer: Connection) -> None:
    def interrupt(pid: int) -> None:
        import os
        import signal
        import threading

        os.kill(pid, signal.SIGINT)
        threading.Event().wait(60)

    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            peer.call(interrupt, os.getpid())
        assert peer.call(os.getpid) != os.getpid()


# ------------------------------------------------------------------------------------ threads


def test_calls_of_threads_overlap(pair: Pair) -> None:
    """None of the calls returns before all of them run."""
    count = 32
    barrier = threading.Barrier(count)

    def meet(proxy: Any, number: int) -> int:
        proxy.wait(10 * SECOND)
        return number

    with ThreadPoolExecutor(count) as threads:
        found = threads.map(lambda number: pair.near.call(meet, ref(barrier), number), range(count))
        assert list(found) == list(range(count))


def test_every_thread_gets_its_own_results(peer: Connection) -> None:
    def work(thread: int) -> None:
        for number in range(100):
            assert peer.call(operator.add, thread, number) == thread + number

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


def calls_back(value: int) -> int:
    return int(get_connection().call(multiply, value)) + 1


def test_calls_back(pair: Pair) -> None:
    assert pair.near.call(calls_back, 2) == 7
    assert pair.far.call(calls_back, 3) == 10


def test_nested_call_runs_in_the_thread_that_waits(peer: Connection) -> None:
    """As within one process: what that thread holds (locks, thread-locals) is at hand."""
    lock = threading.RLock()

    class Locked:
        def enter(self) -> int:
            assert lock.acquire(timeout=5 * SECOND)
            lock.release()
            return threading.get_ident()

    with lock:
        found = peer.call(lambda locked: locked.enter(), ref(Locked()))
    assert found == threading.get_ident()
