"""The searches that are flatdirs' own: generators of questions over a grid. Pure: no storage, no training.

`make` turns a name into a search to replay. Searches by samplers (random, tpe …) are in study.py and sequence.py.
"""

from __future__ import annotations

from collections.abc import Callable

from flatdirs.errors import ConfigError
from flatdirs.search.bayes import search_flat
from flatdirs.search.bracketing import MOVE
from flatdirs.search.coordinate_descent import descend
from flatdirs.search.judging import Outcome, Rules, guessing, judge
from flatdirs.search.question import Descent, Key, Others, Question, Verdict, Verdicts
from flatdirs.space.coordinates import Chart
from flatdirs.space.grid import Grid

__all__ = [
    "SEARCHES",
    "VERSIONS",
    "Descent",
    "Key",
    "Others",
    "Outcome",
    "Question",
    "Rules",
    "Verdict",
    "Verdicts",
    "chart_of",
    "guessing",
    "judge",
    "make",
]

VERSIONS = {"flatdirs": 4, "myrtle": 1, "raw": 1}  # of the sequence of questions; a study of another one is refused
SEARCHES: dict[str, Callable[[Grid, Rules], Descent]] = {"flatdirs": search_flat, "myrtle": descend, "raw": descend}


def chart_of(search: str, chart: Chart) -> Chart:
    """The chart a search walks on: `flatdirs` in half moves, `raw` with one axis a hyperparameter, else as it is."""
    if search not in SEARCHES:
        raise ConfigError(f"search={search} is unknown here; choose one of {', '.join(SEARCHES)}")
    if search == "flatdirs":
        return chart.refine(MOVE)
    return chart.raw() if search == "raw" else chart


def make(search: str, grid: Grid, rules: Rules) -> Callable[[], Descent]:
    """A search, ready to be started as often as replay needs."""
    descent = SEARCHES[search]
    return lambda: descent(grid, rules)
