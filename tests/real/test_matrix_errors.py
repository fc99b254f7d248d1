"""Exceptions that are hard to bring back, from each interpreter of the machine as a bare peer."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from across import ForeignError
from support.ends import raised_by

if TYPE_CHECKING:
    from across import Connection


def test_recursion_without_end(bare: Connection) -> None:
    """Its traceback has a thousand frames; the first and the last travel, and are shown folded."""
    error = raised_by(bare.execute, 'def sink(depth):\n    sink(depth + 1)\nsink(0)')
    assert type(error) is RecursionError
    assert str(error) == 'maximum recursion depth exceeded'
    assert 150 < len(list(traceback.walk_tb(error.__traceback__))) < 250
    shown = ''.join(traceback.format_exception(error))
    assert shown.count(', in sink\n    sink(depth + 1)\n') == 6
    assert shown.count('more times]') == 2
    assert 'frames left out …' in shown
    assert len(shown) < 3000
    assert bare.execute('1 + 1') == 2


def test_long_message(bare: Connection) -> None:
    error = raised_by(bare.execute, "raise ValueError('wonder' * 1_700_000 + 'land')")
    assert type(error) is ValueError
    assert str(error) == 'wonder' * 1_700_000 + 'land'  # ten megabytes


def test_class_of_a_module_that_is_only_there(bare: Connection) -> None:
    source = """
import sys, types
module = sys.modules['only_there'] = types.ModuleType('only_there')
exec('class LostError(Exception): pass', module.__dict__)
raise module.LostError('no way', 2)
"""
    error = raised_by(bare.execute, source)
    assert type(error) is ForeignError
    assert (error.type_name, error.message) == ('only_there.LostError', "('no way', 2)")
    assert str(error) == "only_there.LostError: ('no way', 2)"
    shown = ''.join(traceback.format_exception(error))
    assert "raise module.LostError('no way', 2)" in shown
    assert bare.execute('1 + 1') == 2
