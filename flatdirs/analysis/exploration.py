"""Exploration against exploitation over time, by Euclidean distances in the log2 of the hyperparameters.

For every run but the first: the distance to the nearest earlier run, and to the best run so far. Both stay large while
a search explores; a search that exploits stays close to its best run; one that repeats itself is close to earlier runs
and far from its best. Medians are compared over quarters of the study, and Spearman's correlation of the distance to
the best run with time tells whether the search narrows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from flatdirs.analysis.correlation import Correlation, correlation
from flatdirs.analysis.sweep import Missing, Sweep, median, raw_coordinates
from flatdirs.backend.table_rows import counted

LEAST_RUNS = 8
QUARTERS = 4


@dataclass(frozen=True)
class Quarter:
    """Runs `first` to `last` (counted from 1) and their median distances, in doublings."""

    first: int
    last: int
    nearest: float
    to_best: float


@dataclass(frozen=True)
class Exploration:
    """`nearest` and `to_best`: one distance a run from the second on, in doublings; nan before any run finished.

    `narrowing`: rank correlation of the distance to the best run with time, negative where the search narrows.
    """

    nearest: tuple[float, ...]
    to_best: tuple[float, ...]
    quarters: tuple[Quarter, ...]
    narrowing: Correlation | None
    names: tuple[str, ...]


def exploration(sweep: Sweep) -> Exploration | Missing:
    """The distances of all runs, pruned and diverged ones included."""
    runs = sweep.runs
    if len(runs) < LEAST_RUNS:
        return Missing(f"the study has {counted(len(runs))}; this analysis needs at least {LEAST_RUNS}")
    place = raw_coordinates(runs)
    if not place.names:
        return Missing("no hyperparameter was varied on a logarithmic scale, so there are no distances")
    apart = cdist(place.logs, place.logs)
    nearest = [float(apart[i, :i].min()) for i in range(1, len(runs))]
    best = _best_before(sweep)
    to_best = [math.nan if j is None else float(apart[i, j]) for i, j in enumerate(best, start=1)]
    known = [(i, distance) for i, distance in enumerate(to_best) if math.isfinite(distance)]
    narrowing = correlation([i for i, _ in known], [distance for _, distance in known])
    quarters = tuple(
        Quarter(int(part[0]) + 2, int(part[-1]) + 2, *(median(np.take(one, part)) for one in (nearest, to_best)))
        for part in np.array_split(np.arange(len(nearest)), QUARTERS)
    )
    return Exploration(tuple(nearest), tuple(to_best), quarters, narrowing, place.names)


def _best_before(sweep: Sweep) -> list[int | None]:
    """For the second run and all later ones, the index of the best run before it; None before any finished."""
    best, lowest, found = None, math.inf, list[int | None]()
    for index, run in enumerate(sweep.runs[:-1]):
        if run.finished and run.loss is not None and run.loss < lowest:
            best, lowest = index, run.loss
        found.append(best)
    return found
