"""The shape of the best runs' loss curves in three phases, beside that of the other finished runs.

The warm-up ends where the learning rate is highest (10 % of a run where that is not known), the fall where 90 % of the
way from there to the lowest loss is done; the rest is the end. In each phase a parabola is fitted to the logarithm of
the loss (to the loss where some are not positive) over the share of the run. Its slope in the middle is the change per
whole run; its second derivative is positive where the curve flattens out. The three phases are those that
https://juliusm.com/observable/projects/llm-fundamentals/optimizer-sweep sees in its best runs: flat, steep, convex.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial

from flatdirs.analysis.sweep import Missing, Numbers, Points, Run, Sweep, median

PHASES = ("warm-up", "fall", "end")
FALLEN = 0.9
USUAL_WARMUP = 0.1
LEAST_POINTS = 6  # of a curve
BEST_SHARE, LEAST_BEST = 0.1, 3


@dataclass(frozen=True)
class Phase:
    """One phase of a group of runs: medians, nan where no run has three evaluations there.

    `share`: of the run; `slope`: per whole run; `curvature`: second derivative.
    """

    name: str
    share: float
    slope: float
    curvature: float


@dataclass(frozen=True)
class Shape:
    """Curves of the best runs and of the others. `logarithmic`: of log loss. `warmup`: its share of a run."""

    best: tuple[Phase, ...]
    others: tuple[Phase, ...]
    best_runs: tuple[Run, ...]
    other_runs: tuple[Run, ...]
    logarithmic: bool
    warmup: float
    warmup_known: bool


def shape(sweep: Sweep) -> Shape | Missing:
    """The best tenth of the finished runs with a curve (at least three) and the rest of them."""
    with_curve = [run for run in sweep.finished_runs if len(run.losses) >= LEAST_POINTS]
    if not with_curve:
        return Missing(f"no finished run has a curve of {LEAST_POINTS} losses or more")
    ordered = sorted(with_curve, key=lambda run: run.loss or 0.0)
    count = max(LEAST_BEST, round(BEST_SHARE * len(ordered)))
    best, others = tuple(ordered[:count]), tuple(ordered[count:])
    logarithmic = all(value > 0 for run in ordered for _, value in run.losses)
    warmup = USUAL_WARMUP if sweep.warmup is None else sweep.warmup
    last = max(step for run in ordered for step, _ in run.losses)
    phases = [_phases(group, warmup, last, logarithmic) for group in (best, others)]
    return Shape(phases[0], phases[1], best, others, logarithmic, warmup, sweep.warmup is not None)


def _phases(runs: Sequence[Run], warmup: float, last: int, logarithmic: bool) -> tuple[Phase, ...]:
    each = np.array([_phases_of(run.losses, warmup, last, logarithmic) for run in runs]).reshape(-1, len(PHASES), 3)
    return tuple(Phase(name, *(median(each[:, i, j]) for j in range(3))) for i, name in enumerate(PHASES))


def _phases_of(losses: Points, warmup: float, last: int, logarithmic: bool) -> Numbers:
    """Share, slope and curvature of each phase of one curve, shape (3, 3)."""
    steps, values = np.array([step for step, _ in losses]) / last, np.array([value for _, value in losses])
    values = np.log(values) if logarithmic else values
    edge = _end_of_fall(steps, values, warmup)
    inside = (steps <= warmup, (steps > warmup) & (steps <= edge), steps > edge)
    shares = (warmup, edge - warmup, steps[-1] - edge)
    return np.array([[s, *_parabola(steps[own], values[own])] for s, own in zip(shares, inside, strict=True)])


def _end_of_fall(steps: Numbers, values: Numbers, warmup: float) -> float:
    """The share of the run at which FALLEN of the way down is done."""
    after = steps > warmup
    if not after.any():
        return float(steps[-1])
    start, lowest = values[after][0], values[after].min()
    return float(steps[after & (values <= start - FALLEN * (start - lowest))][0])


def _parabola(steps: Numbers, values: Numbers) -> tuple[float, float]:
    """Slope in the middle and second derivative; nan for fewer than three points."""
    if len(steps) < 3:
        return math.nan, math.nan
    fitted = Polynomial.fit(steps, values, 2)
    return float(fitted.deriv()((steps[0] + steps[-1]) / 2)), float(fitted.deriv(2)(steps[0]))
