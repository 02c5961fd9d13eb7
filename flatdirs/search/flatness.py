"""What a search by model has learnt, in words: which directions are flat, and which coordinate counts. Pure reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flatdirs.search.bayes import model_of
from flatdirs.search.bracketing import MOVE
from flatdirs.search.gp import SURE, Model
from flatdirs.search.question import Told
from flatdirs.search.score_warping import ROUNDING
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import LogGrid

FEWEST = 6  # runs before anything is said
SHORT = 0.5  # probability from which on weight decay is said to have no part in the steep coordinate


@dataclass(frozen=True)
class Flatness:
    """What two doublings (`factor` 4) or halvings (¼) along an axis do to the score: mean and 90 % interval.

    `flat`: the whole interval lies within the standard deviation of the difference between two runs of one point, each
    of which has `noise`.
    """

    axis: str
    factor: float
    mean: float
    low: float
    high: float
    noise: float

    @property
    def flat(self) -> bool:
        """Whether another seed may well change as much."""
        return max(-self.low, self.high) <= math.sqrt(2.0) * self.noise

    @property
    def unseen(self) -> bool:
        """Whether the runs can tell it neither from nothing nor from what another seed changes."""
        return self.low <= 0 <= self.high and abs(self.mean) <= math.sqrt(2.0) * self.noise


@dataclass(frozen=True)
class Findings:
    """`flatness`: both ways along every axis, inside the walls. `short`: how likely weight decay hardly matters.

    `short` is None where the first axis, whose name is `steep`, has no learning rate or the chart no decay of its own.
    `even`: all runs gave the same, so that there is nothing else to say.
    """

    flatness: tuple[Flatness, ...]
    short: float | None
    steep: str = ""
    even: bool = False


def find(grid: Grid, told: Sequence[Told]) -> Findings | None:
    """What the runs so far say; None where they are too few."""
    if len(told) < FEWEST:
        return None
    log_grid = LogGrid(grid)
    model = model_of(log_grid, told)
    if all(math.isclose(one.score, told[0].score, rel_tol=ROUNDING) for one in told) and math.isfinite(told[0].score):
        return Findings((), None, even=True)
    steep = grid.chart.axes[0].name
    short = None if log_grid.decay is None or "lr" not in steep else model.short
    return Findings(tuple(_flatness(log_grid, model)), short, steep)


def _flatness(log_grid: LogGrid, model: Model) -> list[Flatness]:
    best, found = model.best, []
    for axis, about in enumerate(log_grid.grid.chart.axes):
        for side in (2 * MOVE, -2 * MOVE):
            other = (*best[:axis], best[axis] + side, *best[axis + 1 :])
            if not log_grid.inside(np.array([other], dtype=float))[0]:
                continue
            mean, deviation = model.change(best, other)
            shifts = (mean, mean - SURE * deviation, mean + SURE * deviation)
            middle, low, high = (model.score(model.peak + shift) - model.score(model.peak) for shift in shifts)
            factor = log_grid.grid.chart.step**side
            found.append(Flatness(about.name, factor, middle, low, high, model.spread))
    return found
