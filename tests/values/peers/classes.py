"""Classes by value, for another Python to check: see harness.py. Syntax of Python 3.8."""

# mypy: ignore-errors
# ruff: noqa: UP006, UP035, UP036, RUF012, RUF023, PIE796

import dataclasses
import enum
import functools
import sys
import types
from typing import ClassVar, Generic, List, NamedTuple, TypeVar

import harness

T = TypeVar('T')
threshold = 40
CHECKS = []


def check(func):
    CHECKS.append(func)
    return func


class Base:
    registry = []
    __slots__ = ('_base', '__private')

    def __init_subclass__(cls, /, tag=None, **kwargs):
        super().__init_subclass__(**kwargs)
        Base.registry.append((cls.__name__, tag))

    def __init__(self):
        self.__private = 'secret'

    def reveal(self):
        return self.__private


class Derived(Base, tag='t'):
    """Doc."""

    limit = threshold
    lock_free = None

    def __init__(self, x):
        super().__init__()
        self.x = x

    def me(self):
        def inner():
            return __class__

        return inner()

    @classmethod
    def make(cls, x):
        return cls(x)

    @staticmethod
    def twice(x):
        return 2 * x

    @property
    def double(self):
        """Twice x."""
        return Derived.twice(self.x)

    @double.setter
    def double(self, value):
        self.x = value // 2

    @functools.cached_property
    def cached(self):
        return [self.x]

    def __eq__(self, other):
        return self.x == other.x

    class Nested:
        def name(self):
            return type(self).__qualname__


instance = Derived(5)


@check
def classes():
    d = Derived.make(3)
    d.double = 8
    return (
        d.x == 4
        and d.double == 8
        and Derived.double.__doc__ == 'Twice x.'
        and d.me() is Derived
        and Derived.__mro__[1] is Base
        and Derived.__doc__ == 'Doc.'
        and d.reveal() == 'secret'
        and d.cached is d.cached == [4]
        and Derived.__hash__ is None
        and d == Derived(4)
        and Derived.Nested().name() == 'Derived.Nested'
        and instance.x == 5
        and type(instance) is Derived
        and Base.registry == [('Derived', 't')]
        and not hasattr(Base(), '__dict__')
    )


@check
def unbound_method_alone():
    return bound() == 10 and type(bound.__self__) is Derived


bound = functools.partial(Derived.double.fget, instance)
bound.__self__ = instance


class Meta(type):
    made = 0

    def __new__(mcls, name, bases, space, **kwargs):
        Meta.made += 1
        return super().__new__(mcls, name, bases, {**space, 'by': 'meta'})

    def __call__(cls, *args):
        return ('called', super().__call__(*args))


class Made(metaclass=Meta):
    pass


@check
def metaclasses():
    return Made.by == 'meta' and Made()[0] == 'called' and Meta.made == 1 and type(Made) is Meta


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content


class IntBox(Box[int]):
    pass


@check
def generics():
    return IntBox(3).content == 3 and Box[int].__origin__ is Box and Box.__parameters__ == (T,)


@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: int = dataclasses.field(default=2, metadata={'unit': 'm'})
    tags: List[str] = dataclasses.field(default_factory=list, compare=False)
    scale: dataclasses.InitVar[int] = 1
    count: ClassVar[int] = 7

    def __post_init__(self, scale):
        self.x *= scale


@dataclasses.dataclass(frozen=True)
class Point3(Point.__bases__[0]):
    z: int = 0

    def up(self):
        return dataclasses.replace(self, z=self.z + 1)


point = Point(1, tags=['a'])


@check
def dataclass():
    try:
        Point3().z = 1
    except dataclasses.FrozenInstanceError:
        pass
    else:
        return False
    return (
        repr(Point(2, scale=3)) == 'Point(x=6, y=2, tags=[])'
        and Point(1) < Point(2)
        and point == Point(1)
        and point.tags == ['a']
        and [f.name for f in dataclasses.fields(Point)] == ['x', 'y', 'tags']
        and dataclasses.fields(Point)[1].metadata == {'unit': 'm'}
        and Point3().up() == Point3(1)
        and hash(Point3(1)) == hash(Point3(1))
        and Point.count == 7
        and (Point.x if hasattr(Point, 'x') else True)
    )


if sys.version_info >= (3, 10):
    frozen_slots = dataclasses.dataclass(frozen=True, slots=True)(
        type('FrozenSlots', (), {'__annotations__': {'a': int}, '__module__': '__main__'})
    )(4)
else:
    frozen_slots = types.SimpleNamespace(a=4)


@check
def frozen_with_slots():
    return frozen_slots.a == 4


class Pair(NamedTuple):
    left: int
    right: str = 'r'

    def both(self):
        return (self.left, self.right)


@check
def namedtuples():
    pair = Pair(1)
    shown = repr(pair)
    return (
        pair.both() == (1, 'r')
        and pair._replace(left=2).left == 2
        and shown == "Pair(left=1, right='r')"
    )


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1
    BLUE = 'b'

    @property
    def loud(self):
        return self.name + '!'

    @classmethod
    def _missing_(cls, value):
        return cls.BLUE


class Planet(float, enum.Enum):
    EARTH = (5.9, 6.3)

    def __new__(cls, mass, radius):
        made = float.__new__(cls, mass)
        made._value_ = mass
        made.radius = radius
        return made


class Perm(enum.IntFlag):
    R = 4
    W = 2


class Word(str, enum.Enum):
    A = 'a'


colour = Colour.BLUE


@check
def enums():
    return (
        colour is Colour.BLUE
        and Colour.CRIMSON is Colour.RED
        and Colour('nonsense') is Colour.BLUE
        and Colour.RED.loud == 'RED!'
        and list(Colour) == [Colour.RED, Colour.BLUE]
        and Planet.EARTH == 5.9
        and Planet.EARTH.radius == 6.3
        and Planet(5.9) is Planet.EARTH
        and (Perm.R | Perm.W) == 6
        and Perm.R | Perm.W in (Perm(6),)
        and Word.A == 'a'
        and Word('a') is Word.A
    )


if __name__ == '__main__':
    harness.dump(CHECKS)
