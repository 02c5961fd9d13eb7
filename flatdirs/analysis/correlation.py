"""How early a sweep knows its end: rank correlation of what is known at a rung with the final loss, and the quadrants.

Spearman's ρ (SciPy) over the survivors, with a bootstrap interval over runs (SciPy's percentile method, paired). Runs
that were stopped early have no final loss and cannot be counted; what is left is the better part of the sweep, and
its correlations are smaller than those of the whole would be. Source: reference/000.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ConstantInputWarning, DegenerateDataWarning, bootstrap, spearmanr

from flatdirs.analysis.records import Missing, Points, Run, Sweep, geometric_centre, value_at

LEAST_RUNS = 5
DRAWS = 500
LEVEL = 95  # percent of the intervals


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ with its interval over so many runs; nan where one side is constant."""

    value: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Rung:
    """What is known at evaluation number `evaluation` (the study's own `step`); None with too few runs."""

    evaluation: int
    step: int
    loss: Correlation | None
    metric: Correlation | None


@dataclass(frozen=True)
class Quadrant:
    """Survivors on one side of each median. `centre`: hyperparameters, the mean in logarithms."""

    low_loss: bool
    low_metric: bool
    runs: tuple[Run, ...]
    centre: dict[str, float]


@dataclass(frozen=True)
class Quadrants:
    """The four of them, and the medians that part them."""

    median_loss: float
    median_metric: float
    quadrants: tuple[Quadrant, ...]


def rungs_of(evaluations: int) -> tuple[int, ...]:
    """The last evaluation and up to three halves of it: 25, 50, 100, 200 of 200."""
    return tuple(sorted({evaluations // 2**n for n in range(4) if evaluations // 2**n}))


def correlations(sweep: Sweep, rungs: Sequence[int] = (), seed: int = 0) -> tuple[Rung, ...] | Missing:
    """Loss and metric at each rung (counted from 1; none given: `rungs_of` the last evaluation) with the final loss."""
    steps = sweep.evaluations
    if not steps:
        return Missing("no run reported intermediate values, so nothing was known before the end")
    if len(sweep.survivors) < LEAST_RUNS:
        return Missing(f"{_runs(len(sweep.survivors))} finished, and a rank correlation wants {LEAST_RUNS} or more")
    known = [rung for rung in (rungs or rungs_of(len(steps))) if 1 <= rung <= len(steps)]
    if not known:
        listed = ", ".join(map(str, rungs))
        return Missing(f"the rungs {listed} lie outside 1 to {len(steps)}, the last evaluation; change rungs")
    return tuple(_rung(sweep, rung, steps[rung - 1], seed) for rung in known)


def _rung(sweep: Sweep, evaluation: int, step: int, seed: int) -> Rung:
    loss = _at_rung(sweep, [run.losses for run in sweep.survivors], step, seed)
    return Rung(evaluation, step, loss, _at_rung(sweep, [run.metrics for run in sweep.survivors], step, seed))


def _at_rung(sweep: Sweep, curves: Sequence[Points], step: int, seed: int) -> Correlation | None:
    """What the survivors' curves say at one step, with their final losses."""
    pairs = [(value_at(points, step), run.loss) for points, run in zip(curves, sweep.survivors, strict=True)]
    known = [(early, final) for early, final in pairs if early is not None and final is not None]
    return correlation([early for early, _ in known], [final for _, final in known], seed)


def correlation(early: Sequence[float], final: Sequence[float], seed: int = 0) -> Correlation | None:
    """Spearman's ρ of two lists and its bootstrap interval; None for fewer than LEAST_RUNS pairs."""
    if len(early) < LEAST_RUNS:
        return None
    value = rank_correlation(early, final)
    if math.isnan(value):
        return Correlation(value, value, value, len(early))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # a draw of one run again and again has no ranks: nan
        drawn = bootstrap(
            (np.asarray(early), np.asarray(final)),
            rank_correlation,
            paired=True,
            vectorized=False,
            n_resamples=DRAWS,
            method="percentile",
            random_state=np.random.default_rng(seed),
        ).bootstrap_distribution
    tail = (100 - LEVEL) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return Correlation(value, float(low), float(high), len(early))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's ρ, nan where one side is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(a, b).statistic)


def quadrants(sweep: Sweep) -> Quadrants | Missing:
    """Survivors by final loss and last metric, each against its median; what lies on a median counts as below."""
    if sweep.metric is None:
        return Missing("the study recorded no metric beside its loss, so there are no quadrants")
    kept = [(run, run.loss, run.metrics[-1][1]) for run in sweep.survivors if run.metrics and run.loss is not None]
    if len(kept) < 4:
        return Missing(f"{_runs(len(kept))} finished with a metric, and quadrants want 4 or more")
    median_loss = float(np.median([loss for _, loss, _ in kept]))
    median_metric = float(np.median([metric for *_, metric in kept]))
    found = []
    for low_loss in (True, False):
        for low_metric in (True, False):
            inside = tuple(
                run
                for run, loss, metric in kept
                if (loss <= median_loss) == low_loss and (metric <= median_metric) == low_metric
            )
            found.append(Quadrant(low_loss, low_metric, inside, geometric_centre(inside)))
    return Quadrants(median_loss, median_metric, tuple(found))


def _runs(count: int) -> str:
    return {0: "no run", 1: "1 run"}.get(count, f"{count} runs")
