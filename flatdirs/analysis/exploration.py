"""Exploration against exploitation over time, measured by distances in logarithms.

For every run but the first: how far (in octaves, Euclidean over the hyperparameters that were varied) it lies from the
nearest earlier run, its novelty, and from the best run before it. A search that explores keeps both large; one that
exploits comes close to its best; one that goes over old ground is near earlier runs and far from the best. Quarters of
the sweep are compared by medians, and Spearman's ρ of the distance to the best with time says whether it narrows.
Measures are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from flatdirs.analysis.correlation import Correlation, correlation
from flatdirs.analysis.records import Missing, Numbers, Sweep, raw_coordinates

LEAST_RUNS = 8
QUARTERS = 4


@dataclass(frozen=True)
class Quarter:
    """Runs `first` to `last` (from 1, as they stand in the sweep) and their median distances, in octaves."""

    first: int
    last: int
    novelty: float
    to_best: float


@dataclass(frozen=True)
class Exploration:
    """`novelty` and `to_best`: (runs − 1,), octaves, from the second run on; `to_best` is nan before any finished.

    `narrowing`: rank correlation of the distance to the best with time, negative where the search narrows.
    """

    novelty: tuple[float, ...]
    to_best: tuple[float, ...]
    quarters: tuple[Quarter, ...]
    narrowing: Correlation | None
    names: tuple[str, ...]


def exploration(sweep: Sweep) -> Exploration | Missing:
    """How far each run went, pruned and diverged ones included."""
    runs = sweep.runs
    if len(runs) < LEAST_RUNS:
        return Missing(f"{len(runs)} runs are too few to tell exploration from exploitation, which wants {LEAST_RUNS}")
    place = raw_coordinates(runs)
    if not place.names:
        return Missing("no hyperparameter with a logarithm was varied, so no distances can be told")
    apart = cdist(place.logs, place.logs)
    novelty = np.array([apart[i, :i].min() for i in range(1, len(runs))])
    best = _best_before(sweep)
    to_best = np.array([np.nan if j is None else apart[i, j] for i, j in enumerate(best, start=1)])
    known = np.flatnonzero(np.isfinite(to_best))
    narrowing = correlation(known.tolist(), to_best[known].tolist())
    return Exploration(tuple(novelty), tuple(to_best), _quarters(novelty, to_best), narrowing, place.names)


def _best_before(sweep: Sweep) -> list[int | None]:
    """For the second run and all later ones, where the best run before it stands; None before any finished."""
    best: int | None = None
    found = []
    for index, run in enumerate(sweep.runs[:-1]):
        losses = [None if at is None else sweep.runs[at].loss for at in (best, index)]
        old, new = losses
        if run.finished and new is not None and (old is None or new < old):
            best = index
        found.append(best)
    return found


def _quarters(novelty: Numbers, to_best: Numbers) -> tuple[Quarter, ...]:
    quarters = []
    for part in np.array_split(np.arange(len(novelty)), QUARTERS):
        finite = to_best[part][np.isfinite(to_best[part])]
        middle = float(np.median(finite)) if len(finite) else float("nan")
        quarters.append(Quarter(int(part[0]) + 2, int(part[-1]) + 2, float(np.median(novelty[part])), middle))
    return tuple(quarters)
