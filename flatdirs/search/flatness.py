"""What the Bayesian search has learnt: how flat each axis is around the incumbent, and which coordinate counts.

In: the grid and the runs, from which the model is fitted again. Out: Findings, in the unit of the objective value, or
None below FEWEST runs. Reports show it; no suggestion depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from flatdirs.search import choices
from flatdirs.search.bayes import BayesSettings, model_of
from flatdirs.search.bracketing import MOVE
from flatdirs.search.explain import describe_move, with_decay
from flatdirs.search.gp import SURE, Model
from flatdirs.search.score_warping import ROUNDING
from flatdirs.search.types import Run
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid

FEWEST = 6  # runs before anything is reported
SHORT = 0.5  # probability from which on weight decay is reported to have no part in the steep coordinate


@dataclass(frozen=True)
class Flatness:
    """What two doublings (`factor` 4) or halvings (¼) along an axis do to the value: mean and 90 % interval.

    Above 0 is better, also for losses. `noise`: the standard deviation of one run, 0 if deterministic. `flat`: the
    whole interval lies within the standard deviation of the difference between two runs of one point. `unclear`: the
    runs can distinguish the change neither from zero nor from that. `change`: the step in words, such as ×4 or
    0.1 → 0.25.
    """

    axis: str
    factor: float
    mean: float
    low: float
    high: float
    noise: float
    change: str = ""

    @property
    def flat(self) -> bool:
        """Whether another seed may change as much."""
        return max(-self.low, self.high) <= math.sqrt(2.0) * self.noise

    @property
    def unclear(self) -> bool:
        """Whether the change is not distinguishable from seed noise."""
        return self.low <= 0 <= self.high and abs(self.mean) <= math.sqrt(2.0) * self.noise


@dataclass(frozen=True)
class Findings:
    """`flatness`: both ways along every axis, within bounds. `short`: the probability that weight decay hardly matters.

    `best`, `expected`: the incumbent and its posterior mean, None while no run has a value. `short` is None where the
    first axis has no learning rate or the chart no weight decay of its own; `steep` and `without_decay` name the first
    axis with and without it. `even`: all runs gave the same value, and there is nothing else to report.
    """

    best: Point
    expected: float | None
    flatness: tuple[Flatness, ...] = ()
    short: float | None = None
    steep: str = ""
    without_decay: str = ""
    even: bool = False


def find(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Findings | None:
    """What the runs so far show, with the choices that stand; None where they are too few."""
    chosen: choices.Chosen = ()
    if grid.chart.open_choices:
        chosen = choices.standing(grid, runs, settings or BayesSettings())
        grid, runs = choices.with_choices(grid, chosen), choices.runs_with(grid, runs, chosen)
    if len(runs) < FEWEST:
        return None
    found = _find(grid, runs, model_of(grid, runs, settings))
    return replace(found, best=(*found.best, *chosen))


def _find(grid: Grid, runs: Collection[Run], model: Model) -> Findings:
    values = [run.value for run in model.runs]
    finite = any(math.isfinite(value) for value in values)
    expected = model.value(model.peak) if finite else None
    even = all(math.isclose(value, values[0], rel_tol=ROUNDING) for value in values) and math.isfinite(values[0])
    if even and len(values) == len(runs):
        return Findings(model.best, expected, even=True)
    name = grid.chart.axes[0].name
    steep = model.log_grid.decay is not None and "lr" in grid.chart.axes[0].exponents
    flatness = tuple(_flatness(model))
    return Findings(
        model.best, expected, flatness, model.short if steep else None, with_decay(name, 1.0), with_decay(name, 0.0)
    )


def _flatness(model: Model) -> list[Flatness]:
    grid, best, found = model.log_grid.grid, model.best, []
    here = model.log_grid.rounded(np.array([best], dtype=float))
    for axis, about in enumerate(grid.chart.axes):
        for side in (2 * MOVE, -2 * MOVE):
            moved = np.array([[*best[:axis], best[axis] + side, *best[axis + 1 :]]], dtype=float)
            if not model.log_grid.inside(moved)[0]:
                continue
            other = model.log_grid.rounded(moved)
            if (other == here).all():
                continue
            means, deviations = model.changes(best, other)
            mean, deviation = float(means[0]), float(deviations[0])
            shifts = (mean, mean - SURE * deviation, mean + SURE * deviation)
            middle, low, high = (model.value(model.peak + shift) - model.value(model.peak) for shift in shifts)
            change = describe_move(grid, best, tuple(other[0].tolist())).removeprefix(f"{about.name} ")
            found.append(Flatness(about.name, grid.chart.step**side, middle, low, high, model.spread, change))
    return found
