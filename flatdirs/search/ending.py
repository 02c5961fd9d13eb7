"""The end of a search: which point to run again while few runs are left, and how much is left to gain.

A replicate is worth what it may change: the knowledge gradient (Frazier et al., doi:10.1137/070693424) over the points
that are still contenders. What is left to gain is the posterior of max over all candidates − the incumbent, by draws of
the model. Ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flatdirs.search.candidates import candidates
from flatdirs.search.gp import NODES
from flatdirs.search.known import Known, places_of
from flatdirs.space.log_grid import Array

LAST, PART = 3, 6  # the last runs are replicates: at most so many, and one in so many that have finished
CONTENDERS = 6  # points with the highest means that a replicate may lift to the top
DRAWS, PROMISING = 64, 200  # of the model by each hypothesis, at so many candidates
ENOUGH = 0.5  # of the noise of a run: less than that is not worth another run


def replicates(known: Known, left: int | None) -> bool:
    """Whether the `left` runs, this one included, are for replicates."""
    return left is not None and not known.settings.deterministic and left <= min(LAST, known.finished // PART)


def worth_of_replicates(known: Known) -> Array:
    """The expected gain (points,) in the value of the incumbent, once another run of a point is known."""
    places, found = places_of(known.log_grid, known.points), np.zeros(len(known.points))
    for one in known.model.hypotheses:
        mean, covariance = known.model.joint(one, places)
        top = np.argsort(-mean, kind="stable")[:CONTENDERS]
        spread = np.sqrt(covariance.diagonal() + one.noise**2 * one.scale)
        shifts = covariance[:, top] / spread[:, None]  # of each contender, by a standard normal surprise
        lifted = np.max(mean[top][None, :, None] + shifts[:, :, None] * NODES, axis=1).mean(axis=1)
        found += one.weight * one.unit * math.exp(-min(0.0, float(mean[top[0]]))) * (lifted - mean[top[0]])
    return found


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
        """Whether that is less than half of a run's noise, with 95 % probability."""
        return self.high < ENOUGH * self.noise


def left_to_gain(known: Known) -> LeftToGain:
    """The posterior of the gain that is left, over all candidates of the next run."""
    model, best = known.model, places_of(known.log_grid, [known.best])
    tried = places_of(known.log_grid, known.points)
    every = np.concatenate([best, candidates(known.log_grid, model, tried, known.expected)])
    random = np.random.default_rng(0)
    gains, weights = [], []
    for one in model.hypotheses:
        upper = next(told.mean + 2.0 * told.deviation for told in model.predict(every, only=one))
        kept = np.concatenate([[0], 1 + np.argsort(-upper[1:], kind="stable")[:PROMISING]])
        mean, covariance = model.joint(one, every[kept])
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
