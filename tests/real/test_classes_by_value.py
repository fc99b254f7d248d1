"""Classes by value, in each interpreter of the machine as a bare peer.

What travels between different versions is the same as between equal ones.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections import namedtuple
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import attrs
import pytest

from across import Connection
from support.waiting import SECOND

LIMIT = 10 * SECOND
STEP = 4


def test_classes(bare: Connection) -> None:
    class Base:
        def __init__(self, name: str) -> None:
            self.name = name

        def greet(self) -> str:
            return f'I am {self.name}'

        @property
        def upper(self) -> str:
            return self.name.upper()

        @classmethod
        def named(cls, name: str) -> Base:
            return cls(name)

        @staticmethod
        def fixed() -> int:
            return STEP

    class Derived(Base):
        def greet(self) -> str:
            return super().greet() + '!'

    derived = bare.call(Derived.named, 'x')
    assert (type(derived) is Derived, derived.name) == (True, 'x')
    assert bare.call(Derived('y').greet) == 'I am y!'
    assert bare.call(lambda thing: (thing.upper, thing.fixed()), Derived('z')) == ('Z', STEP)


def test_dataclasses_enums_and_named_tuples(bare: Connection) -> None:
    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = dataclasses.field(default_factory=list)

        def moved(self, by: int) -> Point:
            return dataclasses.replace(self, x=self.x + by)

    class Color(enum.Enum):
        RED = 1
        BLUE = 2

    class Pair(NamedTuple):
        first: int
        second: int = 5

    moved = bare.call(Point(1).moved, 2)
    assert (moved, type(moved) is Point) == (Point(3), True)
    assert bare.call(lambda color: (color.name, color is Color.BLUE), Color.BLUE) == ('BLUE', True)
    assert bare.call(lambda: Color.RED) is Color.RED
    assert bare.call(lambda pair: pair._replace(first=pair.second), Pair(1)) == Pair(5)


def test_private_slots(bare: Connection) -> None:
    class Safe:
        __slots__ = ('__secret',)

        def __init__(self, secret: int) -> None:
            self.__secret = secret

        def open(self) -> int:
            return self.__secret

    assert bare.call(lambda: Safe(3).open()) == 3
    assert bare.call(Safe(5).open) == 5


def test_enum_that_makes_its_members(bare: Connection) -> None:
    class Planet(enum.Enum):
        radius: float

        EARTH = (5.97, 6.3)

        def __new__(cls, mass: float, radius: float = 1.0) -> Any:
            made = object.__new__(cls)
            made._value_ = mass
            made.radius = radius
            return made

    assert bare.call(lambda: Planet.EARTH.radius) == 6.3
    assert bare.call(lambda planet: (planet.radius, planet.value), Planet.EARTH) == (6.3, 5.97)
    assert bare.call(lambda: Planet(5.97)) is Planet.EARTH


def test_hooks_that_have_run_do_not_run_again(bare: Connection) -> None:
    class Registry(type):
        made: ClassVar[list[str]] = []

        def __init__(cls, name: str, *args: Any) -> None:
            super().__init__(name, *args)
            Registry.made.append(name)

    class Thing(metaclass=Registry):
        kinds: ClassVar[list[str]] = []

        def __init_subclass__(cls) -> None:
            Thing.kinds.append(cls.__name__)

    class Special(Thing):
        pass

    assert bare.call(lambda: (Registry.made, Special.kinds)) == (['Thing', 'Special'], ['Special'])


def test_abstract_classes(bare: Connection) -> None:
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self) -> int: ...

    class Square(Shape):
        def area(self) -> int:
            return STEP

    Shape.register(int)
    assert bare.call(lambda: Square().area()) == STEP
    assert bare.call(lambda: isinstance(1, Shape)) is True
    with pytest.raises(TypeError, match='abstract'):
        bare.call(lambda: Shape())  # type: ignore[abstract]


def test_attrs_classes(bare: Connection) -> None:
    @attrs.define
    class Point:
        x: int
        y: int = 2

        def size(self) -> int:
            return self.x * self.y

    @attrs.define
    class Solid(Point):
        z: int = 3

        def size(self) -> int:
            return super().size() * self.z

    bare.export('attr', 'attrs')
    assert bare.call(lambda: (Point(1) == Point(1), Solid(1).size())) == (True, 6)
    assert bare.call(Solid(5).size) == 30
    assert bare.call(lambda: Solid(1, 1, 1)) == Solid(1, 1, 1)


# ------------------------------------------------------------- sent anew with each call


def test_each_call_sends_the_class_as_it_is(bare: Connection) -> None:
    class Counter:
        count = 0

        def step(self) -> int:
            return step

        def raise_count(self) -> int:
            type(self).count += 1
            return self.count

    step = 1
    counter = Counter()
    assert bare.call(counter.step) == 1
    first = bare.call_ref(lambda: Counter)
    step = 2
    assert bare.call(counter.step) == 2
    assert [bare.call(counter.raise_count) for _ in range(2)] == [1, 1]
    assert Counter.count == 0
    Counter.step = lambda self: 3  # type: ignore[method-assign]
    Counter.added = 4  # type: ignore[attr-defined]
    assert bare.call(lambda: (counter.step(), Counter.added)) == (3, 4)  # type: ignore[attr-defined]
    del Counter.added  # type: ignore[attr-defined]
    assert bare.call(lambda: hasattr(Counter, 'added')) is False
    assert bare.call(lambda before: Counter is before, first)


def test_a_class_is_not_overwritten_at_home(bare: Connection) -> None:
    class Counter:
        count = 0

    def change() -> type[Counter]:
        Counter.count += 1
        return Counter

    assert bare.call(change) is Counter
    assert Counter.count == 0
    theirs = bare.execute("""
class Counter:
    count = 0
def change(cls):
    cls.count += 1
    return cls.count, cls is Counter
Counter, change
""")
    assert [bare.call(theirs[1], theirs[0]) for _ in range(2)] == [(1, True), (2, True)]


def test_two_threads_at_once_get_a_class_that_is_complete(bare: Connection) -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int = STEP

        def size(self) -> int:
            return self.x * self.y

    calls = [bare.submit(lambda each: Point(each).size(), each) for each in range(50)]
    assert [call.result(LIMIT) for call in calls] == [each * STEP for each in range(50)]


# ------------------------------------------------------------------------------ protocols


def test_protocols(bare: Connection) -> None:
    @runtime_checkable
    class Sized(Protocol):
        def size(self) -> int: ...

    class Square(Sized):
        def size(self) -> int:
            return STEP

    class Other:
        def size(self) -> int:
            return 0

    assert bare.call(lambda: Square().size()) == STEP
    for _ in range(2):
        found = bare.call(lambda: [isinstance(each, Sized) for each in (Square(), Other(), 4)])
        assert found == [True, True, False]
    assert bare.call(lambda: issubclass(Other, Sized)) is True


# ----------------------------------------------------------- data classes, named tuples


def test_data_class_of_a_base_that_knows_it(bare: Connection) -> None:
    class Base:
        kinds: ClassVar[list[Any]] = []

        def __init_subclass__(cls) -> None:
            Base.kinds.append(cls)

        def __post_init__(self) -> None:
            self.double = self.x * 2  # type: ignore[attr-defined]

    @dataclasses.dataclass
    class Sub(Base):
        x: int = 3

    assert bare.call(lambda: Sub().double) == 6


def test_named_tuples_of_all_kinds(bare: Connection) -> None:
    renamed = namedtuple('renamed', 'def x x', rename=True)

    class Shown(NamedTuple):
        x: int

        def __repr__(self) -> str:
            return 'mine'

    assert bare.call(lambda: renamed(1, 2, 3)._asdict()) == {'_0': 1, 'x': 2, '_2': 3}
    assert bare.call(lambda: repr(Shown(1))) == 'mine'


@pytest.mark.skipif('sys.version_info < (3, 11)', reason='not in this Python')
def test_generic_named_tuples(bare: Connection) -> None:
    T = TypeVar('T')

    class Pair(NamedTuple, Generic[T]):
        first: T
        second: int = 1

    assert bare.call(lambda: Pair(3)._replace(second=5)) == Pair(3, 5)
    assert bare.call(lambda: Pair[int](3).first) == 3
    assert bare.call(lambda: issubclass(Pair, Generic))


def test_tuples_that_look_like_named_ones(bare: Connection) -> None:
    class Pair(tuple):  # type: ignore[type-arg]
        _fields = ('first', 'second')

        def __new__(cls, first: int, second: int) -> Pair:
            return super().__new__(cls, (first, second))

        @classmethod
        def _make(cls, items: Any) -> Pair:
            return cls(*items)

        def total(self) -> int:
            return sum(self)

    assert bare.call(lambda: Pair._make([1, 2]).total()) == 3
