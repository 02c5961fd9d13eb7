"""Where runs diverge: a Gaussian process of its own, so that a cliff does not lower the model of the values beside it.

    label = +1 for a run that finished or was pruned, −1 for one that diverged
    P(finishes at x) = Φ((posterior mean of the label) / (SOFT + posterior standard deviation))

A smooth model of the values cannot follow a cliff: it would think less of the best run next to it and never look
between the two. The steep coordinate here is lr/((1−momentum)·√batch_size), since divergence hardly depends on the
weight decay. Ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flatdirs.search.kernels import factor, matern, posterior_variance, solve
from flatdirs.space.log_grid import Array

POWERS = {"momentum": -1.0, "batch_size": -0.5}  # of the steep coordinate, beside 1 for lr
STEEP, LONG = 3.0, 8.0  # length scales in octaves, along lr/((1−momentum)·√batch_size) and along the others
JITTER = 0.1  # standard deviation of a label
SOFT = 0.3  # width of the edge, in labels, where everything is known
MOST_RUNS = 80  # that enter the model


class DivergenceModel:
    """Learnt from `places` (n, free) in octaves from the start, and whether each `diverged` (n,). Before any
    divergence, all are expected to finish.
    """

    def __init__(self, names: tuple[str, ...], places: Array, diverged: NDArray[np.bool_]) -> None:
        self._powers = np.array([1.0, *(POWERS.get(name, 0.0) if names[0] == "lr" else 0.0 for name in names[1:])])
        self._none = not diverged.any()
        if self._none:
            return
        near = np.sort(np.argsort(np.abs(places).sum(axis=1), kind="stable")[:MOST_RUNS])
        self._places = self._scaled(places[near])
        self._lower = factor(matern(self._places, self._places), JITTER)
        half = solve(self._lower, np.where(diverged[near], -2.0, 0.0))
        self._weights = solve(self._lower, half, transposed=True)

    def finishes(self, places: Array) -> Array:
        """The probability (n,) that a run at each place (n, free) does not diverge."""
        if self._none:
            return np.ones(len(places))
        covariance = matern(self._scaled(places), self._places)
        deviation = np.sqrt(np.maximum(0.0, posterior_variance(self._lower, covariance)))
        sure: Array = (1.0 + covariance @ self._weights) / (SOFT + deviation)
        found: Array = np.asarray(ndtr(sure), dtype=np.float64)
        return found

    def _scaled(self, places: Array) -> Array:
        """Places in units of the length scales, the first coordinate the steep one."""
        found = places / LONG
        found[:, 0] = places @ self._powers / STEEP
        return found
