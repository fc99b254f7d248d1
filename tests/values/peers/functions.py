"""Functions by value, for another Python to check: see harness.py. Syntax of Python 3.8."""

# mypy: ignore-errors
# ruff: noqa: UP006, UP035, UP045, F821, B023

import contextlib
import dataclasses
import functools
import os
import os.path
import types
import xml.dom.minidom
from typing import List, Optional

import harness

counter = 0
threshold = 40
CHECKS = []


def check(func):
    CHECKS.append(func)
    return func


def undecorated(text):
    def decorate(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            return text + func(*args, **kwargs)

        return wrapper

    return decorate


def bump():
    global counter
    counter += 1
    return counter


@check
def globals_are_shared():
    return bump() == 1 and bump() == 2 and counter == 2


@check
def globals_of_nested_code():
    def inner():
        class Local:
            limit = threshold

        return [Local.limit + x for x in (1, 2)]

    return inner() == [41, 42]


@check
def modules_and_submodules():
    dom = xml.dom.minidom.parseString('<a>b</a>')
    return os.path.basename('/a/b') == 'b' and dom.documentElement.tagName == 'a'


def with_defaults(a, b=2, *args, c, d=threshold, **kwargs) -> 'int':
    """Has it all."""
    return (a, b, args, c, d, kwargs)


with_defaults.tag = ['x']


@check
def attributes_of_functions():
    f = with_defaults
    return (
        f(1, c=3) == (1, 2, (), 3, 40, {})
        and f.tag == ['x']
        and f.__doc__ == 'Has it all.'
        and f.__qualname__ == f.__name__ == 'with_defaults'
        and f.__annotations__ == {'return': 'int'}
        and f.__module__ == '__main__'
    )


def annotated(a: List[int], b: Optional[str], c: int) -> None:
    pass


@check
def annotations():
    return annotated.__annotations__['c'] is int and 'List' in str(annotated.__annotations__['a'])


@undecorated('hello ')
@undecorated('big ')
def greet(name):
    return name


@check
def decorated():
    return greet('bob') == 'hello big bob' and greet.__wrapped__.__wrapped__('x') == 'x'


@functools.lru_cache(maxsize=7)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@check
def lru_cache():
    return fib(30) == 832040 and fib.cache_info().maxsize == 7


@contextlib.contextmanager
def managed():
    yield 'in'


@check
def context_managers():
    with managed() as value:
        return value == 'in'


def make_counter():
    total = 0

    def add(n):
        nonlocal total
        total += n

    def get():
        return total

    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    unset = 1
    del unset
    return add, get, even, lambda: unset if total else None


add, get, even, unset = make_counter()


@check
def shared_cells_and_mutual_recursion():
    add(2)
    add(3)
    return get() == 5 and even(10) and not even(7)


# fmt: off
pair = (lambda x: x + 1, lambda x: x + 2); same = [lambda: 1, lambda: 1]  # noqa: E702
long_lambda = functools.reduce(
    lambda f, g: lambda x: g(f(x)),
    [lambda x: x * 2,
     lambda x: (
         x - 1)],
)
# fmt: on
closures = [lambda x, i=i: x + i for i in (1, 2)]
late = [lambda: i for i in (1, 2)]
of_modules = [lambda: os.getpid() > 0, lambda: os.getcwd()[:0]]  # `os` is imported above
of_each_other = lambda: (lambda: os.getpid() > 0, os.getpid())  # noqa: E731
umlauts = ('äöü', lambda: 'äöü', lambda: 'ß')


@check
def lambdas():
    return (
        [f(1) for f in pair] == [2, 3]
        and [f() for f in same] == [1, 1]
        and long_lambda(4) == 7
        and [f(1) for f in closures] == [2, 3]
        and [f() for f in late] == [2, 2]
        and [f() for f in of_modules] == [True, '']
        and of_each_other()[0]()
        and umlauts[1]() == 'äöü'
        and umlauts[2]() == 'ß'
    )


@check
def generators_and_coroutines():
    def numbers():
        yield from (1, 2)

    async def answer():
        return 42

    async def agen():
        yield 1

    try:
        answer().send(None)
    except StopIteration as exc:
        kind = type(agen()).__name__
        return list(numbers()) == [1, 2] and exc.value == 42 and kind == 'async_generator'


data = memoryview(b'abcdef')
ints = memoryview(bytes(range(16))).cast('i', (2, 2))


@check
def memoryviews():
    kept = ints.shape == (2, 2) and ints.format == 'i'
    return type(data) is memoryview and bytes(data[1:3]) == b'bc' and kept


@check
def qualified_names():
    def outer():
        def inner():
            pass

        return inner

    return outer().__qualname__ == 'qualified_names.<locals>.outer.<locals>.inner'


@check
def source_is_shown():
    import inspect
    import linecache

    linecache.checkcache()
    lines = inspect.getsource(greet.__wrapped__.__wrapped__)
    return 'def greet(name)' in lines


@check
def sentinels():
    expected = (type(None), types.FunctionType, types.MappingProxyType)
    return missing is dataclasses.MISSING and kinds == expected


missing = dataclasses.MISSING
kinds = (type(None), types.FunctionType, types.MappingProxyType)


if __name__ == '__main__':
    harness.dump(CHECKS)
