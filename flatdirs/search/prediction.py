"""What all runs together predict for a point, or for the incumbent: its expected objective value, with an interval."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from flatdirs.search import choices
from flatdirs.search.kernels import one_thread
from flatdirs.search.known import BayesSettings, Known, known_of, places_of
from flatdirs.search.types import Run
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid

FEWEST = 2  # runs with a value before anything is predicted


@dataclass(frozen=True)
class Prediction:
    """The posterior mean at a point, and where 90 % of the posterior lies, the lower end first; higher is better.

    Seed noise is left out: a single run may well lie outside.
    """

    value: float
    interval: tuple[float, float]


def predict(grid: Grid, runs: Collection[Run], settings: BayesSettings, point: Point) -> Prediction | None:
    """What these runs predict for a point; None where fewer than two runs with its choices have a value.

    None as well where all runs gave the same value.
    """
    if grid.chart.open_choices:
        count = len(grid.chart.open_choices)
        chosen = tuple(int(number) for number in point[-count:])
        grid, runs = choices.with_choices(grid, chosen), choices.runs_with(grid, runs, chosen)
        point = point[:-count]
    if not runs:
        return None
    with one_thread():
        known = known_of(grid, runs, settings)
        return None if known.finished < FEWEST or known.even else _at(known, point)


@dataclass(frozen=True)
class Expected:
    """The point with the highest posterior mean, and that mean; higher is better.

    `interval`: as of a Prediction; None where the runs cannot tell, as with one run, or where all gave the same value.
    """

    point: Point
    value: float
    interval: tuple[float, float] | None


def best_expected(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Expected | None:
    """What is expected of the incumbent of these runs; None where no run has a value."""
    if not runs:
        return None
    chosen: choices.Chosen = ()
    if grid.chart.open_choices:
        chosen = choices.standing(grid, runs, settings or BayesSettings())
        grid, runs = choices.with_choices(grid, chosen), choices.runs_with(grid, runs, chosen)
    with one_thread():
        known = known_of(grid, runs, settings)
        if not known.points:
            return None
        point = (*known.best, *chosen)
        if known.even or known.finished < FEWEST:
            value = next(run.value for run in known.runs if run.point == known.best and math.isfinite(run.value))
            return Expected(point, value, None)
        found = _at(known, known.best)
    return Expected(point, found.value, found.interval)


def _at(known: Known, point: Point) -> Prediction:
    """The posterior of the value at a point, over all hypotheses."""
    place = places_of(known.log_grid, [point])
    low, high = known.model.quantiles(place[0], (0.05, 0.95))
    return Prediction(float(known.model.expected(place)[0]), (low, high))
