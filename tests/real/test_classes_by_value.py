"""Classes by value, in each interpreter of the machine as a bare peer.

What travels between different versions is the same as between equal ones.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
from typing import Any, ClassVar, NamedTuple

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
