"""Where runs diverge: a process of its own, so that a cliff does not drag down what stands beside it.

A result falls off a cliff from one doubling to the next, and no smooth process of scores can follow: one that takes a
diverged run for a very bad score thinks less of the best run beside it, and never looks at what lies between the two.
So scores are learnt from runs that have one, and this says how likely a run is to have one: a Gaussian process on +1
(it ended, or was pruned) and −1 (it diverged), whose steep coordinate is lr/(1−momentum), as divergence has little to do with
the decay. Ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from flatdirs.search.kernel import factor, matern, solve, unexplained
from flatdirs.space.coordinates import Point
from flatdirs.space.log_grid import Array, LogGrid

STEEP, LONG = 3.0, 8.0  # octaves over which a label changes, along lr/(1−momentum) and along the others
JITTER = 0.1  # standard deviation of a label
SOFT = 0.3  # of a label: the width of the edge where everything is known
MOST_RUNS = 80  # that it looks at: the latest


class Cliff:
    """Learnt from `points` that were run, and whether each `ended`. Before any run, all are supposed to end."""

    def __init__(self, log_grid: LogGrid, points: Sequence[Point], ended: Sequence[bool]) -> None:
        self._geometry = log_grid
        self._clear = all(ended)
        if self._clear:
            return
        self._places = self._scaled(np.array(points[-MOST_RUNS:], dtype=float))
        self._lower = factor(matern(self._places, self._places), JITTER)
        off = np.where(np.array(ended[-MOST_RUNS:]), 0.0, -2.0)
        half = solve(self._lower, off)
        self._weights = solve(self._lower, half, transposed=True)

    def ends(self, points: Array) -> Array:
        """The probability (n,) that a run at each point (n, axes) ends with a score."""
        if self._clear:
            return np.ones(len(points))
        alike = matern(self._scaled(points), self._places)
        deviation = np.sqrt(np.maximum(0.0, unexplained(self._lower, alike)))
        sure: Array = (1.0 + alike @ self._weights) / (SOFT + deviation)
        found: Array = np.asarray(ndtr(sure), dtype=np.float64)
        return found

    def _scaled(self, points: Array) -> Array:
        """Points (n, axes) in units of the lengths, the weight decay taken out of the first coordinate."""
        lengths = np.full(points.shape[1], LONG)
        lengths[0] = STEEP
        scaled: Array = self._geometry.sheared(points, 0.0) / lengths
        return scaled
