"""A Gaussian process over three logarithmic axes: the smooth fit that stands behind every surface.

Kernel: Matérn 5/2 of a full (Mahalanobis) metric, so that the process finds by itself along which directions of the raw
axes a surface is flat; nobody hands it a product of hyperparameters. The metric, the height and a factor on the noise are
learnt by maximum likelihood with analytic gradients; the noise of every cell is given, up to that factor. The mean is a
constant, the weighted mean of the values.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, chapters 2, 4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = np.ndarray[Any, np.dtype[np.float64]]
LOWER = np.tril_indices(3)
JITTER = 1e-6
SCALES = (2.0, 5.0)  # octaves in which a surface may change, one start of the optimiser each
CHUNK = 4096  # places predicted at once


@dataclass(frozen=True)
class Metric:
    """What is learnt: `factor` (3, 3), lower triangular, per octave; `height`, a variance; `noise`, a factor on variances."""

    factor: Array
    height: float
    noise: float

    @classmethod
    def of(cls, theta: Array) -> Metric:
        """From the optimiser's numbers: six of the factor, then two logarithms."""
        factor = np.zeros((3, 3))
        factor[LOWER] = theta[:6]
        return cls(factor, float(np.exp(theta[6])), float(np.exp(theta[7])))


@dataclass(frozen=True)
class Process:
    """The posterior: `places` (n, 3) in octaves, `values` (n,), `variances` (n,) of the values' noise."""

    places: Array
    values: Array
    variances: Array
    metric: Metric

    @cached_property
    def mean(self) -> float:
        """The constant the process falls back to."""
        return _mean(self.values, self.variances)

    @cached_property
    def _solved(self) -> tuple[Any, Array]:
        covariance = self.metric.height * _matern(_squares(self.places, self.places, self.metric.factor))
        factor = cho_factor(_noisy(covariance, self.metric, self.variances), lower=True)
        return factor, cho_solve(factor, self.values - self.mean)

    def predict(self, places: Array) -> Array:
        """The posterior mean at (m, 3) places."""
        _, weights = self._solved
        parts = np.split(places, range(CHUNK, len(places), CHUNK))
        return np.concatenate([self.mean + self._covariance(part) @ weights for part in parts])

    def deviation(self, places: Array) -> Array:
        """The posterior standard deviation at (m, 3) places, without noise."""
        factor, _ = self._solved
        found = []
        for part in np.split(places, range(CHUNK, len(places), CHUNK)):
            between = self._covariance(part)
            found.append(self.metric.height - np.einsum("ij,ji->i", between, cho_solve(factor, between.T)))
        return np.sqrt(np.maximum(np.concatenate(found), 0.0))

    def _covariance(self, places: Array) -> Array:
        return self.metric.height * _matern(_squares(places, self.places, self.metric.factor))


def fit(places: Array, values: Array, variances: Array, metric: Metric | None = None) -> Process:
    """The process with the likeliest metric, or with a given one."""
    if metric is None:
        tries = [_learn(places, values, variances, scale) for scale in SCALES]
        metric = min(tries, key=lambda found: found[0])[1]
    return Process(places, values, variances, metric)


def _learn(places: Array, values: Array, variances: Array, scale: float) -> tuple[float, Metric]:
    """Minus log likelihood and metric from one start: a round metric of so many octaves."""
    start = np.zeros(8)
    start[:6] = (np.eye(3) / scale)[LOWER]
    start[6] = np.log(max(np.var(values), 1e-4))
    bounds = [(-3.0, 3.0)] * 6 + [(-8.0, 8.0), (-1.5, 4.0)]
    found = minimize(
        _objective,
        start,
        (places, values, variances),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 80},
    )
    return float(found.fun), Metric.of(found.x)


def _objective(theta: Array, places: Array, values: Array, variances: Array) -> tuple[float, Array]:
    """Minus log likelihood and its gradient."""
    metric = Metric.of(theta)
    differences = places[:, None, :] - places[None, :, :]
    scaled = differences @ metric.factor.T
    squares = (scaled**2).sum(axis=2)
    covariance = metric.height * _matern(squares)
    try:
        factor = cho_factor(_noisy(covariance, metric, variances), lower=True)
    except np.linalg.LinAlgError:
        return 1e12, np.zeros(8)
    centred = values - _mean(values, variances)
    weights = cho_solve(factor, centred)
    loss = 0.5 * centred @ weights + np.log(np.diag(factor[0])).sum()
    pull = 0.5 * (cho_solve(factor, np.eye(len(values))) - np.outer(weights, weights))
    slope = pull * metric.height * _matern_slope(squares)
    gradient = [2 * np.sum(slope * scaled[:, :, i] * differences[:, :, j]) for i, j in zip(*LOWER, strict=True)]
    gradient.append(np.sum(pull * covariance))
    gradient.append(np.sum(np.diag(pull) * metric.noise * variances))
    return float(loss), np.array(gradient)


def _mean(values: Array, variances: Array) -> float:
    weights = 1.0 / (variances + np.var(values) + 1e-12)
    return float(np.sum(weights * values) / np.sum(weights))


def _noisy(covariance: Array, metric: Metric, variances: Array) -> Array:
    return covariance + np.diag(metric.noise * variances + JITTER * metric.height)


def _squares(left: Array, right: Array, factor: Array) -> Array:
    """Squared distances, (len(left), len(right))."""
    a, b = left @ factor.T, right @ factor.T
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T, 0.0)


def _matern(squares: Array) -> Array:
    """Matérn 5/2 of squared distances."""
    root = np.sqrt(5.0 * squares)
    return (1.0 + root + 5.0 / 3.0 * squares) * np.exp(-root)


def _matern_slope(squares: Array) -> Array:
    """Its derivative by the squared distance."""
    root = np.sqrt(5.0 * squares)
    return -5.0 / 6.0 * (1.0 + root) * np.exp(-root)
