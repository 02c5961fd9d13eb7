"""What all runs together say of the incumbent: its expected objective value, with an interval."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from flatdirs.search.bayes import BayesSettings, model_of
from flatdirs.search.gp import SURE
from flatdirs.search.kernels import one_thread
from flatdirs.search.types import Run
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid


@dataclass(frozen=True)
class Expected:
    """The point with the highest posterior mean, and that mean; higher is better.

    `interval`: 90 % of the posterior of the mean over seeds, seed noise left out; None where the runs cannot tell, as
    with one run, or where all gave the same value.
    """

    point: Point
    value: float
    interval: tuple[float, float] | None


def best_expected(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Expected | None:
    """What is expected of the incumbent of these runs; None where no run has a value."""
    if not any(math.isfinite(run.value) for run in runs):
        return None
    with one_thread():
        model = model_of(grid, runs, settings)
        if model.even:
            return Expected(model.best, model.value(model.peak), None)
        means, deviations = (found[:, 0] for found in model.predict(np.array([model.best], dtype=float)))
    mean = float(model.weights @ means)
    deviation = math.sqrt(float(model.weights @ (deviations**2 + (means - mean) ** 2)))
    low, high = (model.value(mean + side * SURE * deviation) for side in (-1, 1))
    return Expected(model.best, model.value(mean), (low, high))
