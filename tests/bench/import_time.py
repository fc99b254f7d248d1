"""How much longer does an interpreter take to start when it imports the library?"""

from __future__ import annotations

import subprocess
import sys

from .placement import ANYWHERE
from .rows import Goal, Question, Row, Settings, median_time
from .sides import ACROSS, FLOOR, environment


def run(code: str) -> None:
    """Run code in a fresh interpreter, to its end."""
    subprocess.run([sys.executable, '-c', code], check=True, env=environment())


def sample(side: str, processor: int | None, settings: Settings) -> dict[str, float]:
    """Milliseconds of a bare start; for the library what it takes beyond."""
    run('pass')
    bare = median_time(settings.seconds, run, 'pass')
    if side == FLOOR:
        return {'import': bare * 1e3}
    run('import across')  # writes the bytecode
    return {'import': (median_time(settings.seconds, run, 'import across') - bare) * 1e3}


QUESTION = Question(
    'import_time',
    (Row('import', 'import across, beyond a bare start, ms', ANYWHERE, Goal(25, of_ratio=False)),),
    sample,
    (FLOOR, ACROSS),
)
