"""The shape of the best runs' curves in warm-up, fall and end, beside that of the other survivors.

The warm-up ends where the learning rate has risen to its top (as recorded, else as the schedule says, else after the
first tenth, the source's). From there to the last evaluation the loss has some way to go; the fall ends where FALLEN of
it is behind, the end is the rest. In each phase a parabola is laid through the logarithm of the loss (the loss itself
where some are not above 0) against the share of the run: its slope in the middle is the change per whole run at that
pace, its curvature is positive where the curve flattens out (convex) and negative where it steepens. Source:
reference/000, which found its best runs flat in warm-up, then steep, then slightly convex; definitions are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial

from flatdirs.analysis.records import Missing, Numbers, Points, Run, Sweep

PHASES = ("warm-up", "fall", "end")
FALLEN = 0.9
USUAL_WARMUP = 0.1
LEAST_POINTS = 6  # of a curve
BEST_SHARE, LEAST_BEST = 0.1, 3


@dataclass(frozen=True)
class Phase:
    """One phase of one group: medians over its runs, nan where none has three evaluations there.

    `share`: of the run, `slope`: per whole run, `curvature`: second derivative.
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
    """The best tenth of the survivors with a curve (three at least) and the rest of them."""
    with_curve = [run for run in sweep.survivors if len(run.losses) >= LEAST_POINTS]
    if not with_curve:
        return Missing(f"no finished run has a curve of {LEAST_POINTS} or more losses, so its shape cannot be told")
    ordered = sorted(with_curve, key=lambda run: run.loss or 0.0)
    count = min(len(ordered), max(LEAST_BEST, round(BEST_SHARE * len(ordered))))
    best, others = tuple(ordered[:count]), tuple(ordered[count:])
    logarithmic = all(value > 0 for run in ordered for _, value in run.losses)
    warmup = USUAL_WARMUP if sweep.warmup is None else sweep.warmup
    last = max(step for run in ordered for step, _ in run.losses)
    phases = [_group(group, warmup, last, logarithmic) for group in (best, others)]
    return Shape(phases[0], phases[1], best, others, logarithmic, warmup, sweep.warmup is not None)


def _group(runs: Sequence[Run], warmup: float, last: int, logarithmic: bool) -> tuple[Phase, ...]:
    """The medians of a group's phases."""
    made = np.array([phases_of(run.losses, warmup, last, logarithmic) for run in runs]).reshape(-1, len(PHASES), 3)
    medians = [[_median(made[:, i, j]) for j in range(3)] for i in range(len(PHASES))]
    return tuple(Phase(name, *row) for name, row in zip(PHASES, medians, strict=True))


def phases_of(losses: Points, warmup: float, last: int, logarithmic: bool) -> Numbers:
    """(share, slope, curvature) of each phase of one curve, (3, 3); nan for a phase of fewer than three evaluations."""
    steps, values = np.array([step for step, _ in losses]) / last, np.array([value for _, value in losses])
    values = np.log(values) if logarithmic else values
    edge = _end_of_fall(steps, values, warmup)
    inside = (steps <= warmup, (steps > warmup) & (steps <= edge), steps > edge)
    shares = (warmup, edge - warmup, steps[-1] - edge)
    return np.array([[s, *_parabola(steps[own], values[own])] for s, own in zip(shares, inside, strict=True)])


def _end_of_fall(steps: Numbers, values: Numbers, warmup: float) -> float:
    """The share of the run at which FALLEN of the way down is behind, first."""
    after = steps > warmup
    if not after.any():
        return float(steps[-1])
    start = values[np.flatnonzero(after)[0]]
    lowest = values[after].min()
    reached = after & (values <= start - FALLEN * (start - lowest))
    return float(steps[np.flatnonzero(reached)[0]])


def _parabola(steps: Numbers, values: Numbers) -> tuple[float, float]:
    """Slope in the middle and second derivative; nan for fewer than three points."""
    if len(steps) < 3:
        return float("nan"), float("nan")
    fitted = Polynomial.fit(steps, values, 2)
    middle = (steps[0] + steps[-1]) / 2
    return float(fitted.deriv()(middle)), float(fitted.deriv(2)(middle))


def _median(values: Numbers) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")
