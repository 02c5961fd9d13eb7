"""Points of interest of the curve of loss against learning rate: knee, minimum, half reduction, steepest descent.

Pure functions of numbers; x is log10 of the learning rate. Definitions: https://openreview.net/forum?id=Q1XWSM8ftl.
max_lr is the minimum of the curve, min_lr the knee: where the curvature y''/(1+y'²)^(3/2) is lowest left of the point
at which half of the reduction is reached; y (ours) is in reductions, so a sum and a mean of the same losses have the
same knee. Few and noisy points are fitted (ours). The falling flank is a straight fall between two rounded corners
(`_ramp`), with a weak prior on its five numbers, plus a Gaussian process; knee, half and steepest are read off it. The
minimum is that of a parabola through the points near the lowest, between its neighbours. Points beyond a cliff
(diverged, or up again by half of the reduction) are not fitted, as the loss there grows without bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]
CLIFF = 0.5  # of the reduction: a point this far above the minimum, to its right, is beyond the cliff
WRECKED = 10.0  # reductions above the initial loss: a point that high left of the minimum has diverged too
RESOLUTION = 0.01  # decades between the places at which the fitted curve is evaluated
NEAR = 0.6  # decades around the lowest point that the parabola is fitted to
PLATEAU = (0.5, 1.0, 1.5)  # decades left of the first point at which the loss is taken to be the initial one
TYPICAL = (1.0, 0.0, math.log(0.2), math.log(0.2))  # of fall/reduction, log length, and log roundness of both corners
SPREAD = (0.2, 0.5, 0.5, 0.5)
LENGTHS = (0.15, 0.3, 0.6)  # decades: scales of a deviation from the ramp
AMPLITUDES = (0.0, 0.01, 0.03, 0.1)  # of the reduction: its sizes
NOISES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # of the reduction: noise of the points


@dataclass(frozen=True)
class Landmarks:
    """The points of interest, each log10 of a learning rate.

    `bend` is the second derivative at the knee, in reductions per squared decade, negative; `noise` the noise of the
    points in units of the loss.
    """

    knee: float
    minimum: float
    half: float
    steepest: float
    bend: float
    noise: float

    @property
    def midpoint(self) -> float:
        return (self.knee + self.minimum) / 2


@dataclass(frozen=True)
class Flank:
    """The fitted flank at steps of RESOLUTION, arrays of shape (n,), and the noise of the points around it.

    `loss` and `noise` are in units of the loss; slope, second derivative and curvature are of the loss in reductions.
    """

    x: Array
    loss: Array
    slope: Array
    second: Array
    curvature: Array
    noise: float


@dataclass(frozen=True)
class Curve:
    """Losses by x = log10(learning rate), infinity or nan if a probe diverged, and the loss at rate 0."""

    initial_loss: float
    losses: Mapping[float, float]

    @cached_property
    def x(self) -> Array:
        return np.array(sorted(self.losses), dtype=float)

    @cached_property
    def y(self) -> Array:
        """The losses at `x`, infinity for diverged probes."""
        values = np.array([self.losses[x] for x in self.x], dtype=float)
        return np.where(np.isfinite(values), values, np.inf)

    @cached_property
    def lowest(self) -> int:
        """The index of the point with the lowest loss."""
        return int(np.argmin(self.y))

    @cached_property
    def reduction(self) -> float:
        """The initial loss minus the lowest one; −infinity if every probe diverged."""
        return float(self.initial_loss - self.y[self.lowest])

    @cached_property
    def cliff(self) -> int:
        """The index of the first point beyond the cliff right of the lowest; the number of points if there is none."""
        limit = self.y[self.lowest] + CLIFF * self.reduction
        beyond = [index for index in range(self.lowest + 1, len(self.x)) if not self.y[index] < limit]
        return beyond[0] if beyond else len(self.x)

    @cached_property
    def landmarks(self) -> Landmarks:
        """The points of interest of a curve with a reduction above 0."""
        minimum, bottom = self._minimum
        flank, half_way = self.flank, (self.initial_loss + bottom) / 2
        half = int(np.argmax(flank.loss <= half_way)) or len(flank.x) - 1
        knee = int(np.argmin(flank.curvature[: max(half, 1)]))
        steepest = int(np.argmin(flank.slope))
        places = (float(flank.x[index]) for index in (knee, half, steepest))
        knee_x, half_x, steepest_x = places
        return Landmarks(knee_x, minimum, half_x, steepest_x, float(flank.second[knee]), flank.noise)

    @cached_property
    def _minimum(self) -> tuple[float, float]:
        """Place and loss of the minimum of the parabola through the points near the lowest, between its neighbours.

        The lowest point itself at an end of the curve or beside a cliff.
        """
        best = self.lowest
        lowest = float(self.x[best]), float(self.y[best])
        if best == 0 or best + 1 >= self.cliff:
            return lowest
        near = (np.abs(self.x - self.x[best]) <= NEAR) & (np.arange(len(self.x)) < self.cliff)
        near &= self.y < self.initial_loss + WRECKED * self.reduction
        if near.sum() < 3:
            return lowest
        a, b, c = np.polyfit(self.x[near] - self.x[best], self.y[near], 2)
        if a <= 0:
            return lowest
        before, after = self.x[[best - 1, best + 1]] - self.x[best]
        shift = float(np.clip(-b / (2 * a), before, after))
        return lowest[0] + shift, float(np.polyval((a, b, c), shift))

    @cached_property
    def flank(self) -> Flank:
        """The fitted falling flank, from left of the first point to the minimum."""
        points = slice(0, self.lowest + 1)
        finite = self.y[points] < self.initial_loss + WRECKED * self.reduction
        x, fallen = self.x[points][finite], (self.initial_loss - self.y[points][finite]) / self.reduction
        ramp = _fit_ramp(x, fallen)
        plateau = x[0] - np.array(PLATEAU)
        left = np.concatenate([np.zeros(len(plateau)), fallen - _ramp(x, ramp)])
        end = max(self._minimum[0], self.x[0] + RESOLUTION)
        grid = np.arange(x[0] - PLATEAU[1], end + RESOLUTION / 2, RESOLUTION)
        deviation, noise = _deviation(np.concatenate([plateau, x]), left, len(plateau), grid)
        loss = -(_ramp(grid, ramp) + deviation)
        slope = np.gradient(loss, grid)
        second = np.gradient(slope, grid)
        return Flank(
            grid,
            self.initial_loss + self.reduction * loss,
            slope,
            second,
            second / (1 + slope**2) ** 1.5,
            noise * self.reduction,
        )


def _ramp(x: Array, ramp: Array) -> Array:
    """The decrease of the loss in reductions: a straight rise from `start` over `length` with two rounded corners.

    `ramp` holds the height, the start, and the logs of the length and of the roundness of both corners (decades).
    """
    height, start = ramp[0], ramp[1]
    length, first, second = np.exp(ramp[2:])
    rising = first * np.logaddexp(0, (x - start) / first)
    levelling = second * np.logaddexp(0, (x - start - length) / second)
    return np.asarray(height * (rising - levelling) / length)


def _fit_ramp(x: Array, fallen: Array) -> Array:
    """The ramp that fits the points best, with a prior weighted by their noise."""
    half = float(x[int(np.argmax(fallen >= 0.5))])
    weight = 0.03
    for _ in range(2):
        fits = [_fit_from(x, fallen, half, length, weight) for length in (0.6, 1.5)]
        best = min(fits, key=lambda fit: float(fit.cost))
        scatter = float(np.sqrt(np.sum((_ramp(x, best.x) - fallen) ** 2) / max(1, len(x) - 3)))
        weight = min(max(scatter, 0.01), 0.2)
    return np.asarray(best.x)


def _fit_from(x: Array, fallen: Array, half: float, length: float, weight: float) -> Any:
    """Least squares from one first guess; `weight`: the noise that the prior is weighted by."""
    typical, spread = np.array(TYPICAL), np.array(SPREAD)

    def residuals(ramp: Array) -> Array:
        told = weight * (ramp[[0, 2, 3, 4]] - typical) / spread
        return np.concatenate([_ramp(x, ramp) - fallen, told])

    guess = [1.0, half - length / 2, math.log(length), TYPICAL[2], TYPICAL[3]]
    lower = [0.5, min(x[0], half) - 2.0, math.log(0.2), math.log(0.02), math.log(0.02)]
    upper = [1.6, half + 1.0, math.log(4.0), math.log(0.8), math.log(0.8)]
    return least_squares(residuals, guess, bounds=(lower, upper))


def _deviation(x: Array, left: Array, exact: int, grid: Array) -> tuple[Array, float]:
    """The deviation from the ramp at `grid`, and the noise of the points.

    Both are averages over the length scales, amplitudes and noises of a Gaussian process with a squared exponential
    kernel, weighted by marginal likelihood. The first `exact` points have no noise.
    """
    curves, noises, evidence = [], [], []
    for length in LENGTHS:
        kernel = np.exp(-0.5 * ((x[:, None] - x) / length) ** 2)
        reach = np.exp(-0.5 * ((grid[:, None] - x) / length) ** 2)
        for amplitude in AMPLITUDES:
            for noise in NOISES:
                diagonal = np.where(np.arange(len(x)) < exact, 1e-3, noise) ** 2
                factor = np.linalg.cholesky(amplitude**2 * kernel + np.diag(diagonal))
                weights = np.linalg.solve(factor.T, np.linalg.solve(factor, left))
                curves.append(amplitude**2 * reach @ weights)
                noises.append(noise)
                evidence.append(-0.5 * float(left @ weights) - float(np.log(np.diag(factor)).sum()))
    share = np.exp(np.array(evidence) - max(evidence))
    share /= share.sum()
    return share @ np.array(curves), float(share @ np.array(noises))
