"""Enumerations by value, in each interpreter of the machine as a bare peer."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import sys
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from across import OperationError

if TYPE_CHECKING:
    from across import Connection
    from support.interpreters import Interpreter

IS_NEW = pytest.mark.skipif(sys.version_info < (3, 11), reason='not in this Python')


def test_tuples_are_mixed_in(bare: Connection) -> None:
    class Pair(tuple, enum.Enum):  # type: ignore[type-arg]
        LOW = (1, 2)
        HIGH = (3,)

    found = bare.call(lambda: (len(Pair.LOW), Pair.HIGH[0], Pair.LOW.value, Pair((3,)).name))
    assert found == (2, 3, (1, 2), 'HIGH')


def test_types_that_are_called_are_mixed_in(bare: Connection) -> None:
    class Day(datetime.date, enum.Enum):
        FIRST = 2020, 1, 31

    class Span(datetime.timedelta, enum.Enum):
        SHORT = 0, 5

    class Price(Decimal, enum.Enum):
        LOW = '1.5'

    class Place(PurePosixPath, enum.Enum):
        HOME = '/home/me'

    assert bare.call(lambda: (Day.FIRST.month, Day.FIRST.day)) == (1, 31)
    assert bare.call(lambda day: day is Day.FIRST, Day.FIRST)
    assert bare.call(lambda: Span.SHORT.total_seconds()) == 5
    assert bare.call(lambda: str(Price.LOW + 1)) == '2.5'
    assert bare.call(lambda: Place.HOME.parts) == ('/', 'home', 'me')  # type: ignore[attr-defined]


def test_data_classes_and_slots_are_mixed_in(bare: Connection) -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int = 2

        def size(self) -> int:
            return self.x * self.y

    class Corner(Point, enum.Enum):
        LEFT = 3, 4
        RIGHT = 5

    class Slotted:
        __slots__ = ('x',)

        def __init__(self, x: int) -> None:
            self.x = x

    class Tight(Slotted, enum.Enum):
        ONE = 1

    assert bare.call(lambda: [each.size() for each in Corner]) == [12, 10]
    assert bare.call(lambda: Corner.LEFT) is Corner.LEFT
    assert bare.call(lambda: Tight.ONE.x) == 1


def test_types_that_take_arguments_are_mixed_in(bare: Connection) -> None:
    class Named:
        label: str

        def __new__(cls, first: str, second: str) -> Any:
            made: Any = object.__new__(cls)
            made.label = first + second
            made._value_ = 1
            return made

    class Kind(Named, enum.Enum):
        ONE = 'o', 'ne'

    assert bare.call(lambda: (Kind.ONE.label, Kind.ONE.value)) == ('one', 1)


def test_values_that_nobody_can_rebuild_are_refused(bare: Connection) -> None:
    class Odd:
        def __new__(cls, value: int) -> Any:
            made: Any = object.__new__(cls)
            made._value_ = value
            return made

        def __reduce__(self) -> Any:
            return print, ()

    class Kind(Odd, enum.Enum):
        ONE = 1

    with pytest.raises(OperationError, match=r"values of type '.*Odd'"):
        bare.call(lambda: Kind.ONE)


@IS_NEW
def test_boundaries_of_flags(bare: Connection, interpreter: Interpreter) -> None:
    class Cut(enum.Flag, boundary=enum.CONFORM):  # type: ignore[call-arg, attr-defined, unused-ignore]
        READ = 1
        WRITE = 2

    if interpreter.version >= (3, 11):
        assert bare.call(lambda: Cut(9).value) == 1
    assert bare.call(lambda: Cut(3)) == Cut.READ | Cut.WRITE


@IS_NEW
def test_properties_with_the_name_of_a_member(bare: Connection) -> None:
    class Kind(enum.Enum):
        ONE = 1
        title = 2

        @enum.property  # type: ignore[attr-defined, misc, unused-ignore]
        def loud(self) -> str:
            return f'{self.name}!'

    assert bare.call(lambda: (Kind.ONE.loud, hasattr(Kind, 'loud'))) == ('ONE!', False)
