"""The half of the `pickle` module that is written in C, and is all that is needed.

Importing the other half takes a quarter of the time that importing this library does.

Layer: values.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` costs milliseconds
if TYPE_CHECKING:
    from pickle import PickleBuffer, Pickler, PicklingError, Unpickler, dumps, loads
else:
    try:
        from _pickle import PickleBuffer, Pickler, PicklingError, Unpickler, dumps, loads
    except ImportError:  # an interpreter that has it in one piece
        from pickle import PickleBuffer, Pickler, PicklingError, Unpickler, dumps, loads

__all__ = ['PickleBuffer', 'Pickler', 'PicklingError', 'Unpickler', 'dumps', 'loads']
