"""Functions and classes by value: between real interpreters, and in what words it fails."""

from __future__ import annotations

import base64
import functools
import importlib
import io
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from across import OperationError
from across._core.values import byvalue
from across._core.values.explain import explain_unpicklable
from support.interpreters import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = Path(__file__).parent / 'peers'
HERE = sys.version_info[1]
OTHER = 8 if HERE != 8 else 13
PEER = 'wonderland (CPython 3.8.18)'


def run(minor: int, *args: str, input: str = '', same_python: bool = False) -> str:
    """Run an interpreter that has nothing but the standard library and the core."""
    interpreter = find_interpreter(minor)
    if interpreter is None:
        pytest.skip(f'no CPython 3.{minor}')
    environment = {
        **os.environ,
        'CHECKOUT': str(Path(byvalue.__file__).parents[3]),
        'PYTHONPATH': str(PEERS),
        'SAME_PYTHON': '1' if same_python else '',
        'PYTHONIOENCODING': 'utf-8',
    }
    done = subprocess.run(
        [interpreter.path, *args], input=input, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dumps(value: object, *, same_python: bool = False, by_reference: Any = ()) -> bytes:
    file = io.BytesIO()
    byvalue.ByValuePickler(
        file, None, same_python=same_python, peer=PEER, by_reference=by_reference
    ).dump(value)
    return file.getvalue()


def bounce(minor: int, *functions: Callable[[], Any]) -> list[Any]:
    """Call functions in one other interpreter, and bring back what they return."""
    sent = '\n'.join(base64.b64encode(dumps(each)).decode() for each in functions)
    received = run(minor, str(PEERS / 'harness.py'), 'bounce', input=sent)
    return [pickle.loads(base64.b64decode(line)) for line in received.splitlines()]


# ------------------------------------------------------------------------- between interpreters

PAIRS = [(11, 8), (8, 13), (13, 8), (9, 12), (12, 10), (10, 11)]


@pytest.mark.parametrize('script', ['functions.py', 'classes.py'])
@pytest.mark.parametrize(('sender', 'receiver'), PAIRS)
def test_source_travels_between_versions(sender: int, receiver: int, script: str) -> None:
    pickles = run(sender, str(PEERS / script))
    results = run(receiver, str(PEERS / 'harness.py'), 'load', input=pickles)
    assert len(results.splitlines()) >= 8
    assert [line for line in results.splitlines() if not line.endswith(' True')] == []


@pytest.mark.parametrize('script', ['functions.py', 'classes.py'])
def test_byte_code_travels_between_equal_versions(script: str) -> None:
    pickles = run(HERE, str(PEERS / script), same_python=True)
    results = run(HERE, str(PEERS / 'harness.py'), 'load', input=pickles, same_python=True)
    assert len(results.splitlines()) >= 8
    assert [line for line in results.splitlines() if not line.endswith(' True')] == []


def test_code_of_the_command_line_has_source() -> None:
    code = 'import harness\nf = lambda: 6 * 7\nharness.dump([f])'
    for arguments in (['-c', code], ['-Bc', code], ['-W', 'ignore', f'-c{code}']):
        sent = run(11, *arguments)
        assert run(OTHER, str(PEERS / 'harness.py'), 'load', input=sent) == '<lambda> 42\n'


@pytest.mark.parametrize('minor', range(8, 14))
def test_methods_of_the_command_line_are_not_taken_for_generated_ones(minor: int) -> None:
    code = """
import harness
from dataclasses import dataclass
from typing import NamedTuple

@dataclass
class Point:
    x: int
    def __repr__(self): return 'mine'

class Pair(NamedTuple):
    x: int
    def __repr__(self): return 'mine, too'

harness.dump([lambda: (Point(1), Pair(1), Point(1) == Point(1))])
"""
    sent = run(minor, '-c', code, same_python=True)
    expected = '<lambda> (mine, mine, too, True)\n'
    assert run(minor, str(PEERS / 'harness.py'), 'load', input=sent, same_python=True) == expected
    if minor == 11:
        sent = run(minor, '-c', code)
        assert run(OTHER, str(PEERS / 'harness.py'), 'load', input=sent) == expected


# ------------------------------------------------------------------------------- there and back


def test_a_class_comes_back_as_itself() -> None:
    class Spam:
        def twin(self) -> Spam:
            return Spam()

    cls, made = bounce(OTHER, lambda: Spam, lambda: Spam().twin())
    assert cls is Spam
    assert type(made) is Spam


def test_two_pickles_of_a_class_give_one_class() -> None:
    class Egg:
        x = 1

    data = [dumps([Egg, Egg()]), dumps([Egg, Egg()])]

    def load_both() -> tuple[bool, ...]:
        import pickle

        (first, one), (second, two) = map(pickle.loads, data)
        first.x = 2
        return first is second, type(one) is type(two) is first, second.x == 2

    assert bounce(OTHER, load_both) == [(True, True, True)]
    assert Egg.x == 1


def test_code_that_was_received_can_be_sent_on() -> None:
    def make(base: int) -> Callable[[int], int]:
        def outer(x: int) -> Callable[[int], int]:
            return lambda y: base * 100 + x * 10 + y

        return outer(2)

    one, two = bounce(OTHER, lambda: make(1), lambda: [lambda x: x, lambda x: -x])
    assert one(3) == 123
    assert [f(5) for f in two] == [5, -5]


def test_remote_frames_of_sent_code_have_their_line() -> None:
    def fail() -> str:
        import traceback

        try:
            raise ValueError('spam')  # this very line
        except ValueError:
            return traceback.format_exc()

    (text,) = bounce(OTHER, fail)
    line = fail.__code__.co_firstlineno + 4
    assert f'File "{__file__}", line {line}, in fail\n' in text
    assert "raise ValueError('spam')  # this very line\n" in text


def test_each_thing_is_in_a_pickle_once() -> None:
    def f() -> None:
        """A text that is not short."""

    class C:
        g = f

    data = dumps([f, f, C, C, C()])
    assert data.count(b'A text that is not short') == 2  # source and __doc__
    assert data.count(b'fill_class') == 1


def test_by_reference_when_the_peer_can_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules['__main__']

    def f() -> int:
        return 1

    f.__module__ = '__main__'
    f.__qualname__ = 'exported_f'
    monkeypatch.setattr(main, 'exported_f', f, raising=False)
    for same_python in (True, False):
        by_reference = dumps(f, same_python=same_python, by_reference={'__main__'})
        assert by_reference == pickle.dumps(f, 5)
        assert pickle.loads(dumps(f, same_python=same_python)) is not f


@pytest.mark.parametrize('same_python', [True, False])
def test_importable_things_go_as_with_plain_pickle(same_python: bool) -> None:
    value = [os.path.join, Path('/x'), 1, functools.partial(int, base=2), pickle.PickleError('x')]
    loaded = pickle.loads(dumps(value, same_python=same_python))
    assert loaded[0] is os.path.join
    assert loaded[1] == Path('/x')
    assert loaded[3]('11') == 3


@pytest.mark.parametrize('same_python', [True, False])
def test_large_views_go_out_of_band(same_python: bool) -> None:
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    content = bytearray(b'x' * 100_000)
    byvalue.ByValuePickler(
        file, buffers.append, same_python=same_python, peer=PEER, by_reference=()
    ).dump(memoryview(content))
    assert len(file.getvalue()) < 200
    loaded = pickle.loads(file.getvalue(), buffers=buffers)
    assert type(loaded) is memoryview
    content[0] = ord('y')
    assert bytes(loaded[:2]) == b'yx'  # the very memory
    strided = pickle.loads(dumps(memoryview(b'abcdef')[::2], same_python=same_python))
    assert bytes(strided) == b'ace'


@pytest.mark.parametrize('same_python', [True, False])
def test_the_dispatch_table_is_the_callers(same_python: bool) -> None:
    class Odd:
        def __reduce__(self) -> Any:
            raise TypeError

    file = io.BytesIO()
    pickler = byvalue.ByValuePickler(
        file, None, same_python=same_python, peer=PEER, by_reference=()
    )
    pickler.dispatch_table = {Odd: lambda odd: (str, ('odd',))}
    pickler.dump([Odd(), lambda: 5, property(len)])
    assert pickle.loads(file.getvalue())[0] == 'odd'


# ------------------------------------------------------------------------------------- sentences


def test_no_source() -> None:
    space: dict[str, Any] = {'__name__': 'm'}
    exec('def f(): return 1\nclass C:\n  def g(self): pass', space)
    for value, name in ((space['f'], 'f'), (space['C'], 'C.g')):
        with pytest.raises(OperationError) as info:
            dumps(value)
        assert str(info.value) == (
            f"function {name!r} of module 'm' has no source here, and wonderland (CPython 3.8.18) "
            'runs a different Python, so its byte code cannot be sent'
        )
        assert pickle.loads(dumps(value, same_python=True))


def test_source_that_was_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'edited_module.py'
    path.write_text('def make():\n    def f(x): return x\n    return f\n')
    monkeypatch.syspath_prepend(tmp_path)
    f = importlib.import_module('edited_module').make()
    path.write_text('def make():\n    def f(x, y): return x\n    return f  # longer\n')
    with pytest.raises(OperationError) as info:
        dumps(f)
    assert str(info.value) == (
        f"function 'make.<locals>.f' of module 'edited_module' is not what {path} says now, and "
        f'{PEER} runs a different Python, so its byte code cannot be sent'
    )


def test_syntax_too_new_for_the_peer() -> None:
    def modern(x: int) -> str:
        match x:
            case 1:
                return 'one'
        return ''

    data = base64.b64encode(dumps(modern)).decode()
    text = run(8, str(PEERS / 'harness.py'), 'load', input=f'modern {data}')
    line = modern.__code__.co_firstlineno
    assert f'across.OperationError: the function at {__file__}:{line} cannot be rebuilt by ' in text
    assert f'Python 3.8: invalid syntax (line {line + 1})' in text


def explain(value: object, root: str = 'the result') -> str:
    def can_pickle(part: object) -> bool:
        try:
            dumps(part)
        except Exception:
            return False
        return True

    return explain_unpicklable(value, can_pickle, root)


class Job:
    def __init__(self) -> None:
        self.name = 'x'
        self._lock = threading.Lock()


class Slotted:
    __slots__ = ('lock',)

    def __init__(self) -> None:
        self.lock = threading.Lock()


def test_culprits() -> None:
    lock = threading.Lock()

    def closure() -> object:
        return lock

    call: tuple[Any, ...] = (print, (1, {'sock': Job()}), {})
    where = "argument 2, key 'sock', attribute '_lock'"
    assert explain(call, 'the call') == f"cannot pickle '_thread.lock' object: {where}"
    where = "keyword argument 'job', attribute '_lock'"
    assert explain((print, (), {'job': Job()})) == f"cannot pickle '_thread.lock' object: {where}"
    for value, where in (
        ([1, Slotted()], "item 2, attribute 'lock'"),
        (closure, "variable 'lock' of test_culprits.<locals>.closure"),
        (functools.partial(print, lock), 'its state, item 2, item 1'),
        ({(1, Job()): 2}, 'key (1, <'),
        (Job().__init__, "its object, attribute '_lock'"),  # type: ignore[misc]
    ):
        text = explain(value)
        assert text.startswith(f"cannot pickle '_thread.lock' object: the result, {where}"), text
    assert explain(lock) == "cannot pickle '_thread.lock' object: the result"
    assert explain((print, (io.StringIO, sys._getframe()), {}), 'the call') == (
        "cannot pickle 'frame' object: argument 2"
    )


def test_culprits_of_large_values_are_looked_for_within_limits() -> None:
    probes = []

    def can_pickle(part: object) -> bool:
        probes.append(part)
        return not isinstance(part, list)

    nested: list[Any] = [threading.Lock()]
    for _ in range(50):
        nested = [nested]
    assert explain(nested).startswith("cannot pickle 'list' object: the result, item 1, item 1")
    explain_unpicklable([*range(10_000), []], can_pickle, 'x')
    assert len(probes) == 500
