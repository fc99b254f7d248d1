"""Exceptions as plain data: what comes back, and how every interpreter prints it."""

from __future__ import annotations

import builtins
import gc
import linecache
import os
import pickle
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from across import ForeignError
from across._core.values import faults, sourcelines, tracebacks
from support.interpreters import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = Path(__file__).parent / 'peers'
SCRIPT = str(PEERS / 'faulty.py')
HERE = 'wonderland, process 4242'


def run(minor: int, *args: str, input: str = '') -> subprocess.CompletedProcess[str]:
    interpreter = find_interpreter(minor)
    if interpreter is None:
        pytest.skip(f'no CPython 3.{minor}')
    environment = {
        **os.environ,
        'CHECKOUT': str(Path(faults.__file__).parents[3]),
        'PYTHONPATH': str(PEERS),
        'PYTHONIOENCODING': 'utf-8',
        'PYTHON_COLORS': '0',
    }
    return subprocess.run(
        [interpreter.path, SCRIPT, *args],
        input=input,
        env=environment,
        capture_output=True,
        encoding='utf-8',
    )


def printed(sender: int, receiver: int, name: str) -> tuple[str, str]:
    """What format_exc() and the interpreter itself print of a remote exception."""
    shown = run(receiver, 'show', input=run(sender, name).stdout)
    assert shown.returncode == 1
    return shown.stdout, shown.stderr


def travel(exc: BaseException, here: str = HERE) -> BaseException:
    """There and back."""
    data = faults.pack_fault(exc, here=here, dumps=pickle.dumps)
    check_plain(data)
    return faults.unpack_fault(pickle.loads(pickle.dumps(data)), loads=pickle.loads)


def check_plain(data: object) -> None:
    assert type(data) in (str, int, bytes, list, tuple, dict, type(None), bool)
    if isinstance(data, (list, tuple)):
        for each in data:
            check_plain(each)
    elif isinstance(data, dict):
        check_plain(list(data.items()))


def caught(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as exc:
        return exc
    raise AssertionError('nothing was raised')


# --------------------------------------------------------------------------- what users see

FRAME = '  File "{file} [wonderland, process 4242]", line {line}, in {name}\n    {source}\n'


def frame(name: str, source: str) -> str:
    lines = Path(SCRIPT).read_text().splitlines()
    start = next(i for i, text in enumerate(lines) if text.startswith(f'def {name}('))
    line = next(i for i, text in enumerate(lines[start:], start + 1) if text.strip() == source)
    return FRAME.format(file=SCRIPT, line=line, name=name, source=source)


@pytest.mark.parametrize('receiver', [8, 11, 12, 13])
@pytest.mark.parametrize('sender', [8, 13])
def test_printed_frames(sender: int, receiver: int) -> None:
    remote = frame('pack', 'function()') + frame('simple', "raise ValueError('no')")
    remote += 'ValueError: no\n'
    for text in printed(sender, receiver, 'simple'):
        local, _, rest = text.partition('    raise exc\n')
        assert 'in show\n' in local
        assert 'wonderland' not in local
        assert rest.rstrip() + '\n' == remote


@pytest.mark.parametrize('receiver', [8, 11, 13])
def test_printed_chains(receiver: int) -> None:
    for text in printed(11, receiver, 'chained'):
        assert 'direct cause' in text
        assert frame('chained', "raise KeyError('outer') from exc") + "KeyError: 'outer'" in text
    for text in printed(11, receiver, 'in_context'):
        assert 'During handling of the above' in text
        assert frame('in_context', "{}['missing']") + "KeyError: 'missing'" in text


@pytest.mark.parametrize(('sender', 'receiver'), [(8, 13), (13, 8), (11, 12)])
def test_printed_errors_with_fields(sender: int, receiver: int) -> None:
    for name, end in (
        ('os_error', "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'"),
        ('unicode_error', "can't decode byte 0xff in position 0: ordinal not in range(128)"),
        ('import_error', "ModuleNotFoundError: No module named 'no_such_module_here'"),
    ):
        for text in printed(sender, receiver, name):
            assert text.rstrip().endswith(end)
    for text in printed(sender, receiver, 'syntax'):
        assert '  File "remote.cfg", line ' in text
        assert 'SyntaxError: ' in text


@pytest.mark.parametrize('receiver', [8, 11, 13])
def test_printed_recursion_is_folded(receiver: int) -> None:
    for text in printed(12, receiver, 'recursion'):
        assert text.count('Previous line repeated 95 more times') == 1
        assert ', in … 703 frames left out …\n' in text
        assert text.count('dive(n - 1)') < 10
        assert 'ValueError: deep' in text


@pytest.mark.parametrize('receiver', [11, 12, 13])
def test_printed_groups(receiver: int) -> None:
    for text in printed(11, receiver, 'group'):
        assert text.count("raise ValueError('no')\n") == 2
        assert text.count("raise KeyError('outer') from exc\n") == 1
        assert 'direct cause' in text
        assert '    | ValueError: no\n' in text
        assert '    | a note\n' in text
        assert '  | ExceptionGroup: many (2 sub-exceptions)\n' in text


def test_groups_where_there_are_none() -> None:
    for text in printed(11, 8, 'group'):
        assert text.rstrip().endswith(
            "ExceptionGroup: many (2 sub-exceptions): ValueError: no; KeyError: 'outer'"
        )


# ----------------------------------------------------------------------------- what comes back


class Odd(Exception):
    def __init__(self, code: int, *, lock: object = None) -> None:
        super().__init__(f'code {code}')
        self.code = code
        self.lock = lock


class Slots(Exception):
    __slots__ = ('__private', 'where')

    def __init__(self) -> None:
        self.where, self.__private = 'here', 1

    def private(self) -> int:
        return self.__private


class Reduced(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__('sum')
        self.a, self.lock = a + b, threading.Lock()

    def __reduce__(self) -> Any:
        return Reduced, (self.a, 0)


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    def __reduce__(self) -> Any:
        raise RuntimeError

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError


class Maker(OSError):
    def __new__(cls, *args: object, wanted: int) -> Maker:
        return super().__new__(cls, *args)

    def __init__(self, *args: object, wanted: int) -> None:
        super().__init__(*args)
        self.wanted = wanted


BUILTIN = [
    OSError(2, 'gone', '/a', None, '/b'),
    BlockingIOError(11, 'later', 5),
    UnicodeEncodeError('ascii', 'ä', 0, 1, 'no'),
    ImportError('m', name='n', path='/p'),
    KeyError('k'),
    KeyError(),
    StopIteration(7),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    ValueError('a', 1),
    ValueError(''),
    SyntaxError('bad', ('f.py', 3, 2, 'x y')),
    ForeignError('m.E', 'text'),
]


@pytest.mark.parametrize('exc', BUILTIN, ids=repr)
def test_builtin_exceptions(exc: BaseException) -> None:
    back = travel(exc)
    assert type(back) is type(exc)
    assert (back.args, str(back), repr(back)) == (exc.args, str(exc), repr(exc))
    for name in (
        *('errno', 'strerror', 'filename', 'filename2', 'characters_written', 'encoding'),
        *('object', 'start', 'end', 'reason', 'name', 'path', 'msg', 'value', 'code'),
        *('lineno', 'offset', 'text', 'type_name', 'message'),
    ):
        assert getattr(back, name, None) == getattr(exc, name, None), name


def test_a_signature_that_differs_from_args() -> None:
    back = travel(Odd(5))
    assert isinstance(back, Odd)
    assert (str(back), back.args, back.code) == ('code 5', ('code 5',), 5)
    maker = travel(Maker(2, 'gone', '/x', wanted=1))
    assert isinstance(maker, Maker)
    assert (maker.errno, maker.filename, maker.wanted, maker.args) == (2, '/x', 1, (2, 'gone'))


def test_slots_and_own_ways_of_pickling() -> None:
    slots = travel(Slots())
    assert isinstance(slots, Slots)
    assert (slots.where, slots.private()) == ('here', 1)
    reduced = travel(Reduced(1, 2))
    assert isinstance(reduced, Reduced)
    assert reduced.a == 3
    assert hasattr(reduced.lock, 'acquire')


def test_what_cannot_be_pickled_comes_as_text() -> None:
    lock = threading.Lock()
    back = travel(Odd(5, lock=lock))
    assert isinstance(back, Odd)
    assert (back.code, back.lock) == (5, repr(lock))
    assert travel(ValueError(1, lock)).args == (1, repr(lock))


def test_hostile_exceptions() -> None:
    back = travel(Hostile('x'))
    assert isinstance(back, Hostile)
    assert back.args == ('x',)

    class Local(Hostile):
        pass

    foreign = travel(caught(lambda: (_ for _ in ()).throw(Local())))
    assert isinstance(foreign, ForeignError)
    assert foreign.type_name.endswith('.test_hostile_exceptions.<locals>.Local')
    assert foreign.message.startswith('<')
    assert 'in <lambda>\n' in ''.join(traceback.format_exception(foreign))


def test_a_class_that_cannot_be_rebuilt() -> None:
    exc = caught(lambda: int('x'))
    exc.__cause__ = KeyError('cause')
    data = faults.pack_fault(exc, here=HERE, dumps=pickle.dumps)

    def loads(data: bytes) -> Any:
        if b'KeyError' in data:
            return pickle.loads(data)
        raise ModuleNotFoundError('no such')

    back = faults.unpack_fault(data, loads=loads)
    assert isinstance(back, ForeignError)
    assert str(back) == "ValueError: invalid literal for int() with base 10: 'x'"
    assert type(back.__cause__) is KeyError
    assert HERE in ''.join(traceback.format_exception(back))


def test_links() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__context__, second.__context__ = second, first  # a cycle
    second.__cause__ = first
    second.__suppress_context__ = False
    back = travel(first)
    assert back.__context__ is not None
    assert back.__context__.__context__ is back
    assert back.__context__.__cause__ is back
    assert not back.__context__.__suppress_context__
    assert not back.__suppress_context__


def test_long_chains_and_long_messages() -> None:
    exc = ValueError(0)
    for i in range(1, 1000):
        cause, exc = exc, ValueError(i)
        exc.__cause__ = cause
    back: BaseException | None = travel(exc)
    for i in reversed(range(1000)):
        assert back is not None
        assert back.args == (i,)
        back = back.__cause__
    text = 'x' * 100_000_000
    data = faults.pack_fault(ValueError(text), here=HERE, dumps=pickle.dumps)
    assert len(pickle.dumps(data)) < 100_001_000  # once, not twice
    assert faults.unpack_fault(data, loads=pickle.loads).args[0] == text


def test_notes() -> None:
    exc = ValueError('x')
    exc.__notes__ = ['one', 2]  # type: ignore[list-item]
    assert travel(exc).__notes__ == ['one', '2']
    exc.__notes__ = 7  # type: ignore[assignment]
    assert travel(exc).__notes__ == ['7']


@pytest.mark.skipif(sys.version_info < (3, 11), reason='no exception groups')
def test_groups() -> None:
    shared = caught(lambda: int('x'))
    shared.__cause__ = OSError(1, 'y')
    group: Any = builtins.BaseExceptionGroup  # type: ignore[attr-defined, unused-ignore]
    back: Any = travel(group('outer', [group('inner', [KeyboardInterrupt(), shared]), shared]))
    assert type(back) is group
    assert back.exceptions[0].exceptions[1] is back.exceptions[1]
    assert isinstance(back.exceptions[1].__cause__, PermissionError)
    assert traceback.extract_tb(back.exceptions[1].__traceback__)[0].filename.endswith(']')


# ------------------------------------------------------------------------------------ tracebacks


def test_a_second_journey_keeps_frames() -> None:
    def again(exc: BaseException) -> BaseException:
        def reraise() -> None:
            raise exc

        return caught(reraise)

    once = travel(caught(lambda: int('x')))
    twice = travel(again(once), here='looking-glass, process 7')
    text = ''.join(traceback.format_exception(twice))
    assert text.count(f'{__file__} [{HERE}]') == 2
    assert text.count('[looking-glass, process 7]') == 2
    assert text.count('[') == 4
    assert text.index('looking-glass') < text.index('wonderland')
    assert "    once = travel(caught(lambda: int('x')))\n" in text


def test_frames_of_the_library_are_left_out() -> None:
    exc = caught(lambda: tracebacks.unpack_traceback([('f', 1, 2, '', '')]))  # type: ignore[list-item]
    names = [each[2] for each in tracebacks.pack_traceback(exc.__traceback__, HERE)]
    assert names == ['caught', '<lambda>']
    own: Any = exc.__traceback__
    while '_core' not in own.tb_frame.f_code.co_filename:
        own = own.tb_next
    assert tracebacks.pack_traceback(own, HERE)  # nothing else is left


def test_no_garbage_and_a_bounded_linecache() -> None:
    exc = caught(lambda: int('x'))
    gc.collect()
    for i in range(sourcelines.LIMIT + 50):
        travel(exc, here=f'host, process {i}')
        sourcelines.remember_lines(f'<{i}>', 3, ['x\n'])
    assert linecache.getline('<249>', 3) == 'x\n'
    linecache.checkcache()
    assert sum(name.startswith('<') for name in sourcelines._names) <= sourcelines.LIMIT
    assert gc.collect() < 50
