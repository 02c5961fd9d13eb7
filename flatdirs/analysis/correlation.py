"""How early the final loss is known: rank correlations of what a run reported at an evaluation with its final loss.

Spearman's coefficient over the finished runs, with a percentile bootstrap interval over runs (SciPy). Pruned runs have
no final loss, so only the better runs are seen, whose correlations are smaller than those of all runs. The quadrants
count finished runs by loss and metric, as https://juliusm.com/observable/projects/llm-fundamentals/optimizer-sweep
draws them.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ConstantInputWarning, DegenerateDataWarning, bootstrap, spearmanr

from flatdirs.analysis.sweep import Missing, Points, Run, Sweep, geometric_centre, median, value_at
from flatdirs.backend.table_rows import counted

LEAST_RUNS = 5
LEAST_IN_QUADRANTS = 4
DRAWS = 500
LEVEL = 95  # percent of the intervals


@dataclass(frozen=True)
class Correlation:
    """Spearman's coefficient with its interval; nan where one side is constant."""

    value: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Rung:
    """Correlations at one evaluation, which the study reported at `step`; None with too few runs."""

    evaluation: int
    step: int
    loss: Correlation | None
    metric: Correlation | None


@dataclass(frozen=True)
class Quadrant:
    """Finished runs on one side of each median. `centre`: the mean of their hyperparameters in logarithms."""

    low_loss: bool
    low_metric: bool
    runs: tuple[Run, ...]
    centre: dict[str, float]


@dataclass(frozen=True)
class Quadrants:
    """The four quadrants, and the medians between them."""

    median_loss: float
    median_metric: float
    quadrants: tuple[Quadrant, ...]


def rungs_of(evaluations: int) -> tuple[int, ...]:
    """The last evaluation and up to three halves of it: 25, 50, 100, 200 of 200."""
    return tuple(sorted({evaluations // 2**n for n in range(4) if evaluations // 2**n}))


def correlations(sweep: Sweep, rungs: Sequence[int] = (), seed: int = 0) -> tuple[Rung, ...] | Missing:
    """Loss and metric at each of these evaluations (default: `rungs_of` the last) with the final loss."""
    steps = sweep.evaluations
    if not steps:
        return Missing("no run reported intermediate values, so there is nothing to correlate with the final loss")
    if len(sweep.finished_runs) < LEAST_RUNS:
        return Missing(f"{counted(len(sweep.finished_runs))} finished; a rank correlation needs at least {LEAST_RUNS}")
    known = [rung for rung in (rungs or rungs_of(len(steps))) if 1 <= rung <= len(steps)]
    if not known:
        return Missing(f"rungs={list(rungs)} has no evaluation between 1 and the last, {len(steps)}; change rungs")
    return tuple(_rung(sweep.finished_runs, rung, steps[rung - 1], seed) for rung in known)


def _rung(runs: Sequence[Run], evaluation: int, step: int, seed: int) -> Rung:
    loss = _at_step([run.losses for run in runs], runs, step, seed)
    return Rung(evaluation, step, loss, _at_step([run.metrics for run in runs], runs, step, seed))


def _at_step(curves: Sequence[Points], runs: Sequence[Run], step: int, seed: int) -> Correlation | None:
    pairs = [(value_at(points, step), run.loss) for points, run in zip(curves, runs, strict=True)]
    known = [(early, final) for early, final in pairs if early is not None and final is not None]
    return correlation([early for early, _ in known], [final for _, final in known], seed)


def correlation(early: Sequence[float], final: Sequence[float], seed: int = 0) -> Correlation | None:
    """Spearman's coefficient of two lists and its bootstrap interval; None for fewer than LEAST_RUNS pairs."""
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
    """Spearman's coefficient, nan where one side is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(a, b).statistic)


def quadrants(sweep: Sweep) -> Quadrants | Missing:
    """Finished runs by final loss and last metric, each against its median; a run on a median counts as below."""
    if sweep.metric is None:
        return Missing("the study recorded no metric besides its loss, so there are no quadrants")
    kept = [(run, run.loss, run.metrics[-1][1]) for run in sweep.finished_runs if run.metrics and run.loss is not None]
    if len(kept) < LEAST_IN_QUADRANTS:
        return Missing(f"{counted(len(kept))} finished with a metric; quadrants need at least {LEAST_IN_QUADRANTS}")
    middle_loss, middle_metric = median(loss for _, loss, _ in kept), median(metric for *_, metric in kept)
    found = []
    for low_loss, low_metric in itertools.product((True, False), repeat=2):
        inside = tuple(
            run
            for run, loss, metric in kept
            if (loss <= middle_loss) == low_loss and (metric <= middle_metric) == low_metric
        )
        found.append(Quadrant(low_loss, low_metric, inside, geometric_centre(inside)))
    return Quadrants(middle_loss, middle_metric, tuple(found))
