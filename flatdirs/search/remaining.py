"""What is left to gain: the posterior of the best of all candidates minus the incumbent, by draws of the model.

In: the grid and the runs. Out: LeftToGain, in the unit of the objective, or None while runs are too few.
`until=converged` stops by it; no suggestion depends on it. Ours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from flatdirs.search import choices
from flatdirs.search.candidates import candidates
from flatdirs.search.kernels import one_thread
from flatdirs.search.known import BayesSettings, Known, known_of, places_of
from flatdirs.search.types import Run
from flatdirs.space.grid import Grid

DRAWS, PROMISING = 64, 200  # of the model by each hypothesis, at so many candidates
FEWEST = 6  # runs with a value before anything is said
ENOUGH = 0.5  # of the noise of a run: less than that is not worth another run


@dataclass(frozen=True)
class LeftToGain:
    """What the best candidate may be better than the incumbent, in units of the objective: 90 % interval and median.

    `noise`: the standard deviation of one run.
    """

    low: float
    median: float
    high: float
    noise: float

    @property
    def converged(self) -> bool:
        """Whether the upper end of the interval is below half of a run's noise."""
        return self.high < ENOUGH * self.noise


def left_after(grid: Grid, runs: Collection[Run], settings: BayesSettings) -> LeftToGain | None:
    """What is left to gain after these runs, with the choices that stand.

    None where fewer than FEWEST have a value, or none is a replicate: nothing else says how noisy a run is.
    """
    if grid.chart.open_choices:
        chosen = choices.standing(grid, runs, settings)
        grid, runs = choices.with_choices(grid, chosen), choices.runs_with(grid, runs, chosen)
    if not runs:
        return None
    with one_thread():
        known = known_of(grid, runs, settings)
        too_few = known.finished < FEWEST or known.finished == len(known.points)
        return None if too_few or known.even else left_to_gain(known)


def left_to_gain(known: Known) -> LeftToGain:
    """The posterior of the gain that is left, over all candidates of the next run."""
    model, best = known.model, places_of(known.log_grid, [known.best])
    tried = places_of(known.log_grid, known.points)
    every = np.concatenate([best, candidates(known.log_grid, model, tried, known.expected)])
    random = np.random.default_rng(0)
    gains, weights = [], []
    for one in model.hypotheses:
        upper = next(told.mean + 2.0 * told.deviation for told in model.predict(every, of=[one]))
        kept = np.concatenate([[0], 1 + np.argsort(-upper[1:], kind="stable")[:PROMISING]])
        _, mean, covariance = next(model.joint(every[kept], [one]))
        spectrum, vectors = np.linalg.eigh(covariance)
        drawn = random.standard_normal((DRAWS, len(kept))) * np.sqrt(np.maximum(spectrum, 0.0))
        values = model.warped.unwarp(mean + drawn @ vectors.T, one.unit)
        gains.append(values.max(axis=1) - values[:, 0])
        weights.append(np.full(DRAWS, one.weight / DRAWS))
    every_gain, parts = np.concatenate(gains), np.concatenate(weights)
    order = np.argsort(every_gain, kind="stable")
    middles = np.cumsum(parts[order]) - parts[order] / 2
    low, median, high = np.interp((0.05, 0.5, 0.95), middles, every_gain[order]).tolist()
    return LeftToGain(low, median, high, model.noise)
