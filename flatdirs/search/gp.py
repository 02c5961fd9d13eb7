"""What is learnt from all runs: Gaussian processes over the chart's coordinates, and what a further run is worth.

A handful of noisy runs cannot tell length scales, so none is fitted. A few hypotheses stand side by side instead, and
the runs decide how much each counts (their marginal likelihoods, the scale integrated out):

- the first axis is the steep one, the others are long (the prior that gives flatdirs its name);
- or the steep coordinate does not have the weight decay in it, because the run is as short as the weights' relaxation
  time; or it has half of it; or the decay's own axis is nearly as steep as the first, so that no product is flat;
- all lengths twice as long; noise from a trifle to as much as the process itself, which runs tell, repeats above all;
  and, where the runs say how often the weights relax (T·lr·wd/(1−momentum)), that about once or twice is likely to be right.

Scores enter warped (warp.py); where runs diverge is learnt apart (cliff.py). Ours throughout. Tried and dropped: a
sum of one-dimensional processes; units without the part of the score, which takes a seed's luck for slopes; the loss at
the peak of the rate as a second process that goes with the score (benchmarks/signals: no run is saved); a prior that
keeps lr/(1−momentum) near that of the best run.
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

from flatdirs.search.divergence import Cliff
from flatdirs.search.kernel import factor, matern, solve, unexplained
from flatdirs.search.score_warping import BELOW, ROUNDING, unwarp, warp
from flatdirs.space.coordinates import Point
from flatdirs.space.log_grid import Array, LogGrid

STEEP, LONG = 4.0, 10.0  # octaves over which a result changes, along the first axis and along the others
NOISE = (0.125, 0.25, 0.5, 1.0)  # of one run, in parts of the process's own standard deviation
STRETCH = (1.0, 2.0)
RELAXED, TOO_LITTLE, TOO_MUCH = 1.5, 0.02, 0.1  # relaxations that are likely right; cost of a squared octave off
USUAL_AVERAGING, AVERAGING_COST = (
    0.125,
    0.03,
)  # 1 − momentum or 1 − beta1 that is likely right; cost of a squared octave off
IDLE = -5.0  # octaves below RELAXED: so little decay that less of it changes nothing
FREEDOM = 4.0  # of the prior for the scale, whose mean is 1
MOST_RUNS = 80  # that the model looks at: the best half and the latest half
BLOCK = 512  # points looked at together: larger arrays come from the system anew each time, page by page
MARGIN = 0.1  # a gain below this, in warped units, is not worth a run
MOST, WEIGHT = 6, 0.02  # hypotheses that are kept; those with less weight are left out
SURE = 1.64  # standard deviations of a 90 % interval


class Shape(NamedTuple):
    """A guess at what is steep: the power of the weight decay in the first coordinate, the length of its own axis."""

    decay: float
    length: float = LONG


SHAPES = (Shape(1.0), Shape(0.5), Shape(0.0), Shape(0.5, LONG / 2))


@dataclass(frozen=True)
class Run:
    """One run: `score` is −inf where it diverged or was pruned; `relaxation` is T·lr·wd/(1−momentum), None where not known."""

    point: Point
    score: float
    relaxation: float | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Hypothesis:
    """One process with the n runs taken in; `lower` (n, n) is the Cholesky factor of their covariance."""

    shape: Shape
    stretch: float
    noise: float
    relaxes: bool
    evidence: float
    scale: float
    places: Array
    lower: Array
    weights: Array


@dataclass(frozen=True)
class Belief:
    """Mean and standard deviation of the warped score at some points, hypotheses along the first axis: (h, n)."""

    mean: Array
    deviation: Array


class Model:
    """The hypotheses that the runs leave standing, each with its weight. Made anew for every proposal: milliseconds."""

    def __init__(self, log_grid: LogGrid, runs: Sequence[Run]) -> None:
        self.log_grid = log_grid
        self.cliff = Cliff(log_grid, [run.point for run in runs], [not run.diverged for run in runs])
        runs = [run for run in runs if not run.diverged] or runs
        self.top, self.unit, warped = warp(np.array([run.score for run in runs]))
        kept = _most_telling(warped)
        self.runs = [runs[number] for number in kept]
        self.values: Array = warped[kept]
        self.points = np.array([run.point for run in self.runs], dtype=float)
        self.level = float(self.values.max()) - BELOW
        known = [
            math.log2(run.relaxation / RELAXED) - float(log_grid.relaxing @ np.array(run.point, dtype=float))
            for run in self.runs
            if run.relaxation is not None and 0 < run.relaxation < math.inf
        ]
        self._relaxation = known[0] if known else None
        found = list(self._hypotheses())
        likely = np.exp(np.array([one.evidence for one in found]) - max(one.evidence for one in found))
        likely /= likely.sum()
        order = np.argsort(-likely, kind="stable")[:MOST]
        order = order[likely[order] > WEIGHT] if likely.max() > WEIGHT else order  # two runs tell hardly any apart
        self.hypotheses = [found[number] for number in order]
        self.weights: Array = likely[order] / likely[order].sum()
        self.short = math.fsum(p for p, one in zip(likely.tolist(), found, strict=True) if one.shape.decay == 0)

    def _hypotheses(self) -> Iterator[Hypothesis]:
        shapes = SHAPES if self.log_grid.decay is not None else SHAPES[:1]
        count = len(self.points)
        relaxing = (False, True) if self._relaxation is not None else (False,)
        offs = np.stack([self.values - self._prior(self.points, relaxes) for relaxes in relaxing], axis=1)
        for shape, stretch in itertools.product(shapes, STRETCH):
            places = self._places(self.points, shape, stretch)
            alike = matern(places, places)
            for noise in NOISE:
                lower = factor(alike, noise)
                halves = solve(lower, offs)
                weights = solve(lower, halves, transposed=True)
                volume = float(np.log(lower.diagonal()).sum())
                for number, relaxes in enumerate(relaxing):
                    misfit = float(halves[:, number] @ halves[:, number]) + FREEDOM
                    evidence = -volume - 0.5 * (count + FREEDOM) * math.log(misfit)
                    scale = misfit / (count + FREEDOM)
                    yield Hypothesis(shape, stretch, noise, relaxes, evidence, scale, places, lower, weights[:, number])

    def _places(self, points: Array, shape: Shape, stretch: float) -> Array:
        """Points (n, axes) in units of a hypothesis' lengths."""
        lengths = np.full(points.shape[1], LONG)
        lengths[0] = STEEP
        if self.log_grid.decay is not None:
            lengths[self.log_grid.decay[0]] = shape.length
        return self.log_grid.sheared(points, shape.decay) / (lengths * stretch)

    def _prior(self, points: Array, relaxes: bool) -> Array:
        """The mean before any run (n,): low, and lower far from usual averaging and (`relaxes`) usual relaxation."""
        mean = np.full(len(points), self.level)
        logs = self.log_grid.base + points @ self.log_grid.rows.T
        for place in self.log_grid.averaging:
            mean -= AVERAGING_COST * (logs[:, place] - math.log2(USUAL_AVERAGING)) ** 2
        if relaxes and self._relaxation is not None:
            off = self._relaxation + points @ self.log_grid.relaxing
            mean -= np.where(off < 0, TOO_LITTLE, TOO_MUCH) * off**2
        return mean

    def idle(self, points: Array, best: Point) -> NDArray[np.bool_]:
        """Which points (n, axes) have less weight decay than the best where it does nothing already: T·lr·wd/(1−momentum) ≪ 1."""
        if self._relaxation is None or self.log_grid.decay is None:
            return np.zeros(len(points), dtype=bool)
        axis, _ = self.log_grid.decay
        found: NDArray[np.bool_] = (points[:, axis] < best[axis]) & (
            self._relaxation + points @ self.log_grid.relaxing < IDLE
        )
        return found

    def believe(self, points: Array) -> Belief:
        """What each hypothesis says of points (n, axes), noise left out."""
        alikes = self._alikes(points)
        factors = {id(one.lower): one for one in self.hypotheses}  # hypotheses that differ elsewhere share these
        left = {key: unexplained(one.lower, alikes[id(one.places)]) for key, one in factors.items()}
        spreads = [np.sqrt(np.maximum(1e-9, left[id(one.lower)]) * one.scale) for one in self.hypotheses]
        return Belief(self.means(points, alikes), np.array(spreads))

    def _alikes(self, points: Array) -> dict[int, Array]:
        """The kernel between points (n, axes) and the m runs, (n, m): one for all hypotheses with the same places."""
        places = {id(one.places): one for one in self.hypotheses}
        return {key: matern(self._places(points, one.shape, one.stretch), one.places) for key, one in places.items()}

    def means(self, points: Array, alikes: dict[int, Array] | None = None) -> Array:
        """The warped score that each hypothesis expects: (h, n); `alikes` where the kernel is known already."""
        alikes = self._alikes(points) if alikes is None else alikes
        priors = {relaxes: self._prior(points, relaxes) for relaxes in sorted({one.relaxes for one in self.hypotheses})}
        return np.array([priors[one.relaxes] + alikes[id(one.places)] @ one.weights for one in self.hypotheses])

    def mean(self, points: Array) -> Array:
        """The expected warped score (n,)."""
        expected: Array = self.weights @ self.means(points)
        return expected

    @cached_property
    def expected(self) -> Array:
        """The expected warped score of the runs looked at (n,)."""
        return self.mean(self.points)

    @property
    def even(self) -> bool:
        """Whether all runs looked at that have a score have the same, but for rounding."""
        finite = [run.score for run in self.runs if math.isfinite(run.score)]
        return bool(finite) and math.isclose(min(finite), max(finite), rel_tol=ROUNDING)

    @property
    def best(self) -> Point:
        """The point expected to be best, of a run with a score where there is one; the first while all are alike."""
        return self.runs[self._best].point

    @property
    def peak(self) -> float:
        """The warped score expected of the best point."""
        return float(self.expected[self._best])

    @cached_property
    def _best(self) -> int:
        scored = np.array([math.isfinite(run.score) for run in self.runs])
        if self.even:
            return int(np.argmax(scored))
        return int(np.argmax(np.where(scored | ~scored.any(), np.round(self.expected, 9), -math.inf)))

    def changes(self, point: Point, others: Array) -> tuple[Array, Array]:
        """By how much the warped score changes from a point to others (n, axes): means and standard deviations (n,)."""
        points = np.concatenate([np.array([point], dtype=float), others])
        alikes = self._alikes(points)
        means = self.means(points, alikes)
        shifts = means[:, 1:] - means[:, :1]
        between, left = dict[int, Array](), dict[int, Array]()
        for one in self.hypotheses:
            if id(one.places) not in between:
                places = self._places(points, one.shape, one.stretch)
                between[id(one.places)] = matern(places[:1], places[1:])[0]
            if id(one.lower) not in left:
                alike = alikes[id(one.places)]
                told = solve(one.lower, (alike[1:] - alike[0]).T)
                left[id(one.lower)] = 2.0 - 2.0 * between[id(one.places)] - np.einsum("ij,ij->j", told, told)
        variances = np.array([one.scale * np.maximum(0.0, left[id(one.lower)]) for one in self.hypotheses])
        mean: Array = self.weights @ shifts
        return mean, np.sqrt(self.weights @ (variances + (shifts - mean) ** 2))

    def change(self, point: Point, other: Point) -> tuple[float, float]:
        """The same for one other point."""
        means, deviations = self.changes(point, np.array([other], dtype=float))
        return float(means[0]), float(deviations[0])

    @property
    def noise(self) -> float:
        """The standard deviation of one run, in warped units near the best."""
        return math.fsum(
            float(weight) * one.noise * math.sqrt(one.scale)
            for weight, one in zip(self.weights, self.hypotheses, strict=True)
        )

    @property
    def spread(self) -> float:
        """The same as a score: what one standard deviation is where the best point is expected."""
        return self.noise * self.unit * math.exp(-float(self.expected.max()))

    def score(self, warped: float) -> float:
        """A warped value as a score."""
        return unwarp(self.top, self.unit, warped)

    def worth(self, points: Array) -> Array:
        """The gain that a run at each point (n,) can be expected to bring over the best, less what its noise hides.

        Expected improvement over the best expected score of the runs, with Huang's factor for noisy runs, so that a
        repeat of a point is worth something where a decision hangs on it; times the probability that the run ends.
        """
        if len(points) > BLOCK:
            return np.concatenate([self.worth(points[first : first + BLOCK]) for first in range(0, len(points), BLOCK)])
        belief = self.believe(points)
        bar = float(self.expected.max()) + MARGIN
        gain = np.zeros(len(points))
        for weight, one, mean, deviation in zip(
            self.weights, self.hypotheses, belief.mean, belief.deviation, strict=True
        ):
            z = (mean - bar) / deviation
            expected = deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
            noise = one.noise * math.sqrt(one.scale)
            gain += weight * expected * (1.0 - noise / np.sqrt(noise**2 + deviation**2))
        return gain * self.cliff.ends(points)


def _most_telling(values: Array) -> list[int]:
    """The places of the runs that the model looks at, oldest first: all, or the best and the latest ones."""
    if len(values) <= MOST_RUNS:
        return list(range(len(values)))
    half = MOST_RUNS // 2
    best = np.argsort(-values, kind="stable")[:half].tolist()
    latest = [number for number in range(len(values) - 1, -1, -1) if number not in set(best)][: MOST_RUNS - half]
    return sorted([*best, *latest])
