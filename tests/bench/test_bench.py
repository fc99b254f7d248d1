"""The benchmarks work: every row gets its figure. How good they are is not asserted."""

from __future__ import annotations

import pytest

from bench import table
from bench.placement import is_possible
from bench.questions import QUESTIONS
from bench.rows import Goal, Row, Settings
from bench.sample import SampleError, take
from bench.sides import ACROSS, FLOOR, PICKLED

TINY = Settings(
    rounds=1, seconds=0.01, large_size=1 << 20, calls=100, connections=10, idle=10, held=20
)
ROW = Row('key', 'title, µs', 'same core', Goal(2))


@pytest.mark.parametrize('name', QUESTIONS)
def test_every_row_of_a_question_has_a_figure(name: str) -> None:
    question = QUESTIONS[name]
    where = question.placements[-1]
    if not is_possible(where):
        pytest.skip('needs two processors')
    samples = {side: take(name, side, where, TINY) for side in question.sides}
    expected = {row.key for row in question.rows if row.placement == where}
    assert set(samples[ACROSS]) == expected
    assert set(samples[FLOOR]) <= expected


def test_a_sample_that_fails_tells_why() -> None:
    with pytest.raises(SampleError, match='TypeError'):
        take('latency', ACROSS, 'same core', TINY._replace(seconds='long'))  # type: ignore[arg-type]


def test_ratio_is_that_of_the_typical_round() -> None:
    line = table.make_line(ROW, {FLOOR: [1, 10, 2], PICKLED: [], ACROSS: [2, 15, 6]})
    assert line == table.Line(ROW, 2, None, 6, 2)
    assert line.verdict == 'met'


def test_round_that_failed_is_left_out() -> None:
    line = table.make_line(ROW, {FLOOR: [1, 1], PICKLED: [], ACROSS: [None, 3]})
    assert (line.across, line.ratio, line.verdict) == (3, 3, 'missed')


def test_goals() -> None:
    assert Goal(2).is_met(100, 2.0)
    assert not Goal(2).is_met(1, None)
    assert Goal(2, is_minimum=True, of_ratio=False).is_met(2.5, 0.1)
    assert not Goal(2, is_minimum=True).is_met(5, 1.9)
    assert str(Goal(0.4, is_minimum=True)) == 'ratio ≥ 0.4'
    assert str(Goal(42, of_ratio=False)) == '≤ 42'


def test_table_is_aligned() -> None:
    lines = [table.Line(ROW, 17.2, 21, 1234.5, 71.77), table.Line(ROW, None, None, None, None)]
    assert table.render(lines).splitlines() == [
        '========= ===== ======= ====== ===== ========= =======',
        'question  floor pickled across ratio      goal verdict',
        '========= ===== ======= ====== ===== ========= =======',
        'title, µs  17.2    21.0   1234 71.77 ratio ≤ 2 missed',
        'title, µs     -       -      -     - ratio ≤ 2 -',
        '========= ===== ======= ====== ===== ========= =======',
    ]
