"""The surrogate of the Bayesian search: Gaussian processes over the coordinates of the chart, and expected improvement.

A few noisy runs cannot identify length scales: we average over a fixed set of GP hyperparameters h = (ℓ, shape, σ),
weighted by p(h | y) ∝ p(y | h), the scale s² integrated out (an inverse-gamma prior of mean 1). The model is
y = μ(x) + s·(f(x) + ε), f ~ GP(0, Matérn 5/2 with lengths ℓ), ε ~ N(0, σ²). The first axis is steep, the others long,
further hyperparameters between these (all also twice as long). Shape: how much of the weight decay the steep coordinate
contains, or its axis nearly as steep. Four levels of σ. The mean μ is low away from the best run, lower far from usual
momenta and from one or two weight-decay timescales T·lr·wd/(1−momentum), where runs report them. Values enter warped
(score_warping.py); divergence has its own model; pending runs lower the variance and leave the mean (kriging believer).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flatdirs.search.divergence import DivergenceModel
from flatdirs.search.kernels import factor, matern, posterior_variance, solve
from flatdirs.search.score_warping import BELOW, ROUNDING, unwarp, warp
from flatdirs.search.types import Run
from flatdirs.space.chart import Point
from flatdirs.space.log_grid import Array, LogGrid

STEEP, LONG = 4.0, 10.0  # length scales in octaves, along the first axis and along the others
NOISE = (0.125, 0.25, 0.5, 1.0)  # standard deviation of one run, in units of the process's own
NO_NOISE = (1e-3,)  # of a deterministic objective: enough for the Cholesky factor
STRETCH = (1.0, 2.0)
OWN = 6.0  # length scale in octaves along a further hyperparameter: it matters mildly
STRETCHES = (0.5, 1.0, 2.0)  # where all are further ones and nothing is known of any: all axes are steep
USUAL_TIMESCALES, TOO_LITTLE, TOO_MUCH = 1.5, 0.02, 0.1  # weight-decay timescales; cost of a squared octave off
USUAL_AVERAGING, AVERAGING_COST = 0.125, 0.03  # 1 − momentum or 1 − beta1; cost of a squared octave off
NO_EFFECT = -5.0  # octaves below USUAL_TIMESCALES: so little weight decay that less of it changes nothing
FREEDOM = 4.0  # of the prior for the scale, whose mean is 1
MOST_RUNS = 80  # that enter the model
BLOCK = 512  # candidates that are evaluated together, so that arrays stay in the cache
MARGIN = 0.1  # a gain below this, in warped units, is not worth a run
MOST, WEIGHT = 6, 0.02  # kernels that are kept, and the weight below which one is dropped
SURE = 1.64  # standard deviations of a 90 % interval


class Shape(NamedTuple):
    """The power of the weight decay in the steep coordinate, and the length scale of its own axis."""

    decay: float
    length: float = LONG


SHAPES = (Shape(1.0), Shape(0.5), Shape(0.0), Shape(0.5, LONG / 2))


@dataclass(frozen=True)
class FittedKernel:
    """One GP conditioned on n runs. `lower` (n, n): Cholesky factor of their covariance; `places` (n, axes) in units of
    the length scales; `weights` (n,): covariance⁻¹ · (values − mean); `scale`: s².
    """

    shape: Shape
    stretch: float
    noise: float
    by_timescales: bool
    evidence: float
    scale: float
    places: Array
    lower: Array
    weights: Array


class Model:
    """The weighted kernels, given finished runs and the points of pending ones. `deterministic`: runs have no noise."""

    def __init__(
        self, log_grid: LogGrid, runs: Sequence[Run], pending: Sequence[Point] = (), deterministic: bool = False
    ) -> None:
        self.log_grid, self.deterministic = log_grid, deterministic
        fell = [run.state == "diverged" and run.value == -math.inf for run in runs]
        self.divergence = DivergenceModel(log_grid, [run.point for run in runs], [not one for one in fell])
        ended = [run for run, one in zip(runs, fell, strict=True) if not one] or list(runs)
        self.top, self.unit, warped = warp(np.array([run.value for run in ended]))
        kept = _most_informative([run.point for run in ended], warped)
        self.runs = [ended[number] for number in kept]
        self.values: Array = warped[kept]
        self.points = np.array([run.point for run in self.runs], dtype=float)
        self._places = log_grid.run_places([run.point for run in self.runs])
        self._pending = log_grid.run_places(list(pending))
        self._lengths = _length_scales(log_grid)
        self.level = float(self.values.max()) - BELOW
        self._timescales = self._timescales_of_start()
        found = list(self._fitted())
        likely = np.exp(np.array([one.evidence for one in found]) - max(one.evidence for one in found))
        likely /= likely.sum()
        order = np.argsort(-likely, kind="stable")[:MOST]
        order = order[likely[order] > WEIGHT] if likely.max() > WEIGHT else order
        self.kernels = [found[number] for number in order]
        self.weights: Array = likely[order] / likely[order].sum()
        self.short = math.fsum(p for p, one in zip(likely.tolist(), found, strict=True) if one.shape.decay == 0)

    def _timescales_of_start(self) -> float | None:
        """log₂ of the weight-decay timescales of a run at the start, relative to the usual; None where not known."""
        for run, place in zip(self.runs, self._places, strict=True):
            if run.timescales is not None and 0 < run.timescales < math.inf:
                return math.log2(run.timescales / USUAL_TIMESCALES) - float(self.log_grid.timescales @ place)
        return None

    def _fitted(self) -> Iterator[FittedKernel]:
        shapes = SHAPES if self.log_grid.decay is not None else SHAPES[:1]
        count = len(self._places)
        means = (False, True) if self._timescales is not None else (False,)
        offs = np.stack([self.values - self._prior(self._places, one) for one in means], axis=1)
        for shape, stretch in itertools.product(shapes, STRETCHES if self.log_grid.unrelated else STRETCH):
            places = self._scaled(self._places, shape, stretch)
            covariance = matern(places, places)
            for noise in NO_NOISE if self.deterministic else NOISE:
                lower = factor(covariance, noise)
                halves = solve(lower, offs)
                weights = solve(lower, halves, transposed=True)
                volume = float(np.log(lower.diagonal()).sum())
                for number, by_timescales in enumerate(means):
                    misfit = float(halves[:, number] @ halves[:, number]) + FREEDOM
                    evidence = -volume - 0.5 * (count + FREEDOM) * math.log(misfit)
                    scale = misfit / (count + FREEDOM)
                    found = (places, lower, weights[:, number])
                    yield FittedKernel(shape, stretch, noise, by_timescales, evidence, scale, *found)

    def _scaled(self, points: Array, shape: Shape, stretch: float) -> Array:
        """Points (n, axes), in steps, in units of the length scales of a kernel."""
        lengths: Array = self._lengths.copy()
        if self.log_grid.decay is not None:
            lengths[self.log_grid.decay[0]] = shape.length
        return self.log_grid.sheared(points, shape.decay) / (lengths * stretch)

    def _prior(self, points: Array, by_timescales: bool) -> Array:
        """The prior mean μ (n,) of warped values."""
        mean = np.full(len(points), self.level)
        logs = self.log_grid.base + points @ self.log_grid.rows.T
        for place in self.log_grid.averaging:
            mean -= AVERAGING_COST * (logs[:, place] - math.log2(USUAL_AVERAGING)) ** 2
        if by_timescales and self._timescales is not None:
            off = self._timescales + points @ self.log_grid.timescales
            mean -= np.where(off < 0, TOO_LITTLE, TOO_MUCH) * off**2
        return mean

    def without_effect(self, points: Array, best: Point) -> NDArray[np.bool_]:
        """Which points (n, axes) have less weight decay than the best, where it has no effect: timescales ≪ 1."""
        if self._timescales is None or self.log_grid.decay is None:
            return np.zeros(len(points), dtype=bool)
        axis, _ = self.log_grid.decay
        off = self._timescales + points @ self.log_grid.timescales
        found: NDArray[np.bool_] = (points[:, axis] < best[axis]) & (off < NO_EFFECT)
        return found

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of f at points (n, axes), one row a kernel: (h, n) each.

        Pending runs lower the standard deviation and leave the mean.
        """
        covariances = self._covariances(points)
        left = {key: posterior_variance(*pair) for key, pair in self._conditions(points, covariances).items()}
        deviations = [np.sqrt(np.maximum(1e-9, left[id(one.lower)]) * one.scale) for one in self.kernels]
        return self.means(points, covariances), np.array(deviations)

    def _conditions(self, points: Array, covariances: dict[int, Array]) -> dict[int, tuple[Array, Array]]:
        """By kernel: the Cholesky factor of all runs, pending ones included, and the points' covariance with
        them.
        """
        found = {}
        for one in {id(one.lower): one for one in self.kernels}.values():  # several kernels share a factor
            covariance, lower = covariances[id(one.places)], one.lower
            if len(self._pending):
                pending = self._scaled(self._pending, one.shape, one.stretch)
                every = np.concatenate([one.places, pending])
                lower = factor(matern(every, every), one.noise)
                scaled = self._scaled(points, one.shape, one.stretch)
                covariance = np.concatenate([covariance, matern(scaled, pending)], axis=1)
            found[id(one.lower)] = lower, covariance
        return found

    def _covariances(self, points: Array) -> dict[int, Array]:
        """The kernel between points (n, axes) and the m runs, (n, m); those with the same places share one."""
        places = {id(one.places): one for one in self.kernels}
        return {key: matern(self._scaled(points, one.shape, one.stretch), one.places) for key, one in places.items()}

    def means(self, points: Array, covariances: dict[int, Array] | None = None) -> Array:
        """The posterior mean of each kernel at points (n, axes): (h, n)."""
        covariances = self._covariances(points) if covariances is None else covariances
        kinds = sorted({one.by_timescales for one in self.kernels})
        priors = {kind: self._prior(points, kind) for kind in kinds}
        return np.array([priors[h.by_timescales] + covariances[id(h.places)] @ h.weights for h in self.kernels])

    @cached_property
    def expected(self) -> Array:
        """The posterior mean (n,) of the warped value at the runs in the model."""
        found: Array = self.weights @ self.means(self._places)
        return found

    @property
    def even(self) -> bool:
        """Whether all runs in the model that have a value have the same, but for rounding."""
        finite = [run.value for run in self.runs if math.isfinite(run.value)]
        return bool(finite) and math.isclose(min(finite), max(finite), rel_tol=ROUNDING)

    @property
    def best(self) -> Point:
        """The incumbent: the point with the highest posterior mean among those that have a value; without noise, the
        best observed.
        """
        return self.runs[self._best].point

    @property
    def peak(self) -> float:
        """The posterior mean of the warped value at the incumbent."""
        return float(self.expected[self._best])

    @cached_property
    def _best(self) -> int:
        usable = np.array([math.isfinite(run.value) for run in self.runs])
        if self.even:
            return int(np.argmax(usable))
        if self.deterministic and usable.any():
            return int(np.argmax(np.where(usable, self.values, -math.inf)))
        return int(np.argmax(np.where(usable | ~usable.any(), np.round(self.expected, 9), -math.inf)))

    def changes(self, point: Point, others: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation (n,) of f(other) − f(point), for others (n, axes), in warped units."""
        points = np.concatenate([np.array([point], dtype=float), others])
        covariances = self._covariances(points)
        means = self.means(points, covariances)
        shifts = means[:, 1:] - means[:, :1]
        between, left = dict[int, Array](), dict[int, Array]()
        for one in self.kernels:
            if id(one.places) not in between:
                places = self._scaled(points, one.shape, one.stretch)
                between[id(one.places)] = matern(places[:1], places[1:])[0]
            if id(one.lower) not in left:
                covariance = covariances[id(one.places)]
                told = solve(one.lower, (covariance[1:] - covariance[0]).T)
                left[id(one.lower)] = 2.0 - 2.0 * between[id(one.places)] - np.einsum("ij,ij->j", told, told)
        variances = np.array([one.scale * np.maximum(0.0, left[id(one.lower)]) for one in self.kernels])
        mean: Array = self.weights @ shifts
        return mean, np.sqrt(self.weights @ (variances + (shifts - mean) ** 2))

    @property
    def noise(self) -> float:
        """The standard deviation of one run, in warped units near the incumbent."""
        if self.deterministic:
            return 0.0
        pairs = zip(self.weights, self.kernels, strict=True)
        return math.fsum(float(weight) * one.noise * math.sqrt(one.scale) for weight, one in pairs)

    @property
    def spread(self) -> float:
        """The standard deviation of one run at the incumbent, in units of the objective."""
        return self.noise * self.unit * math.exp(-float(self.expected.max()))

    def value(self, warped: float) -> float:
        """A warped value in units of the objective."""
        return unwarp(self.top, self.unit, warped)

    def acquisition(self, points: Array) -> Array:
        """Expected improvement (n,) of a run at points (n, axes) over the incumbent's posterior mean plus MARGIN.

        With the factor of Huang et al. (doi:10.1007/s10898-005-2454-3) for noisy runs, which also says what a replicate
        is worth, times the probability that the run does not diverge.
        """
        if len(points) > BLOCK:
            blocks = range(0, len(points), BLOCK)
            return np.concatenate([self.acquisition(points[first : first + BLOCK]) for first in blocks])
        means, deviations = self.predict(points)
        bar = float(self.expected.max()) + MARGIN
        gain = np.zeros(len(points))
        for weight, one, mean, deviation in zip(self.weights, self.kernels, means, deviations, strict=True):
            z = (mean - bar) / deviation
            improvement = deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
            noise = one.noise * math.sqrt(one.scale)
            gain += weight * improvement * (1.0 - noise / np.sqrt(noise**2 + deviation**2))
        return gain * self.divergence.finishes(points)


def _length_scales(log_grid: LogGrid) -> Array:
    """The length scale in octaves along each axis."""
    further = log_grid.further
    lengths = np.full(len(further), STEEP)
    if not log_grid.unrelated:
        lengths[1:] = np.where(further[1:], OWN, LONG)
    return lengths


def _most_informative(points: Sequence[Point], values: Array) -> list[int]:
    """The places of the runs that enter the model: all, or the better half and those nearest to the best."""
    if len(values) <= MOST_RUNS:
        return list(range(len(values)))
    half = MOST_RUNS // 2
    better = np.argsort(-values, kind="stable")[:half].tolist()
    places = np.array(points, dtype=float)
    near = np.argsort(np.abs(places - places[better[0]]).sum(axis=1), kind="stable").tolist()
    rest = [number for number in near if number not in set(better)][: MOST_RUNS - half]
    return sorted([*better, *rest])
