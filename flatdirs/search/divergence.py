"""Where runs diverge: a Gaussian process of its own, so that a cliff does not lower the model of the values beside it.

    label = +1 for a run that finished or was pruned, −1 for one that diverged
    P(finishes at x) = Φ((posterior mean of the label) / (SOFT + posterior standard deviation))

A smooth model of the values cannot follow a cliff: it would think less of the best run next to it and never look
between the two. The steep coordinate here is lr/(1−momentum), since divergence hardly depends on the weight decay.
Ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from flatdirs.search.kernels import factor, matern, posterior_variance, solve
from flatdirs.space.chart import Point
from flatdirs.space.log_grid import Array, LogGrid

STEEP, LONG = 3.0, 8.0  # length scales in octaves, along lr/(1−momentum) and along the others
JITTER = 0.1  # standard deviation of a label
SOFT = 0.3  # width of the edge, in labels, where everything is known
MOST_RUNS = 80  # that enter the model


class DivergenceModel:
    """Learnt from points that were run, and whether each `finished`. Before any divergence, all are expected to
    finish.
    """

    def __init__(self, log_grid: LogGrid, points: Sequence[Point], finished: Sequence[bool]) -> None:
        self._log_grid = log_grid
        self._none = all(finished)
        if self._none:
            return
        places, labels = np.array(points, dtype=float), np.array(finished)
        near = np.sort(np.argsort(np.abs(places).sum(axis=1), kind="stable")[:MOST_RUNS])
        self._places = self._scaled(places[near])
        self._lower = factor(matern(self._places, self._places), JITTER)
        half = solve(self._lower, np.where(labels[near], 0.0, -2.0))
        self._weights = solve(self._lower, half, transposed=True)

    def finishes(self, points: Array) -> Array:
        """The probability (n,) that a run at each point (n, axes) does not diverge."""
        if self._none:
            return np.ones(len(points))
        covariance = matern(self._scaled(points), self._places)
        deviation = np.sqrt(np.maximum(0.0, posterior_variance(self._lower, covariance)))
        sure: Array = (1.0 + covariance @ self._weights) / (SOFT + deviation)
        found: Array = np.asarray(ndtr(sure), dtype=np.float64)
        return found

    def _scaled(self, points: Array) -> Array:
        """Points (n, axes) in units of the length scales, the weight decay taken out of the first coordinate."""
        lengths = np.full(points.shape[1], LONG)
        lengths[0] = STEEP
        scaled: Array = self._log_grid.sheared(points, 0.0) / lengths
        return scaled
