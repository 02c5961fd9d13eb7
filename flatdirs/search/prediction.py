"""What all runs together predict for a point, or for the incumbent: its expected objective value, with an interval."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from flatdirs.search import choices
from flatdirs.search.bayes import BayesSettings, model_of
from flatdirs.search.gp import SURE, Model
from flatdirs.search.kernels import one_thread
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
    if sum(math.isfinite(run.value) for run in runs) < FEWEST:
        return None
    with one_thread():
        model = model_of(grid, runs, settings)
        return None if model.even else _at(model, point)


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
    if not any(math.isfinite(run.value) for run in runs):
        return None
    chosen: choices.Chosen = ()
    if grid.chart.open_choices:
        chosen = choices.standing(grid, runs, settings or BayesSettings())
        grid, runs = choices.with_choices(grid, chosen), choices.runs_with(grid, runs, chosen)
    with one_thread():
        model = model_of(grid, runs, settings)
        point = (*model.best, *chosen)
        if model.even:
            return Expected(point, model.value(model.peak), None)
        found = _at(model, model.best)
    return Expected(point, found.value, found.interval)


def _at(model: Model, point: Point) -> Prediction:
    """The posterior of the value at a point, over all kernels."""
    means, deviations = (found[:, 0] for found in model.predict(np.array([point], dtype=float)))
    mean = float(model.weights @ means)
    deviation = math.sqrt(float(model.weights @ (deviations**2 + (means - mean) ** 2)))
    low, high = (model.value(mean + side * SURE * deviation) for side in (-1, 1))
    return Prediction(model.value(mean), (low, high))
