"""The surrogate of the Bayesian search: a mixture of Gaussian processes, weighed by what the runs say of each.

    w_u(y) = −log(1 + (best − y)/u)                             warped values, unit u           (score_warping.py)
    w = level − bowl·d²(x) + s·(f(x) + ε),  ε ~ N(0, noise²)    or, in place of the level, what an earlier study says
    f ~ GP(0, k), k a kernel of kernel_family.py
    1/s²: gamma with FREEDOM degrees and mean 1, integrated out

A hypothesis h = (kernel, noise, unit u, prior mean) has the weight p(h)·p(y | h), where p(y | h) holds the Jacobian of
the warp, so that units compete. All first kernels are weighed, then those around the likeliest; the MOST_KERNELS ×
MOST_EACH likeliest hypotheses are kept. d²(x): squared octaves outside what lies between the start and usual settings.
Divergence has a model of its own (divergence.py). The means of an earlier study (known.py) compete with the level, so
that runs may overrule them.

Runs of one training seed are correlated. All first runs of points have the same seed, which shifts them alike: the
constant takes that up. It is not modelled beyond this; what a replicate's own seed changes counts as noise.

Constants: those of a prototype that was developed on nine public surfaces, but for RATIO, BARE, LEVEL and BOWLS, which
were chosen by the predictive density of runs to come on the development tasks of benchmarks/search, then by regret
there. All are ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from flatdirs.search.kernel_family import (
    CONSTANT,
    LINEAR,
    ROUGH,
    Kernel,
    Kernels,
    covariance,
    first_kernels,
    refined,
    scaled,
)
from flatdirs.search.kernels import determinants_and_misfits, factor, solve, tridiagonal
from flatdirs.search.score_warping import Warped, warp
from flatdirs.search.structure import Structure
from flatdirs.space.log_grid import Array

REFINE, REFINE_FROM = 3, 4  # kernels that are refined, and the runs from which on
NOISES = {0.003: 0.0, 0.01: 0.0, 0.03: 0.0, 0.1: 0.0, 0.3: 0.0, 1.0: -1.5}  # of a run, in units of s: log prior
NO_NOISES = dict.fromkeys((0.001, 0.003, 0.01, 0.03), 0.0)  # of a deterministic objective: what is rougher than f
UNITS = (-1.0, 0.0, 0.0, -0.5, -1.0, -2.0)  # log prior of each unit of score_warping.PARTS
BOWLS = (0.01, 0.05)  # warped units that a squared octave outside usual settings costs
BOWL_OF_EARLIER = 0.01  # the same around what an earlier study says
ACROSS = 0.25  # the part of that which an octave of another hyperparameter costs
LEVEL = -1.0  # prior mean, in warped units below the best run
FREEDOM = 4.0
MOST_KERNELS, MOST_EACH, WEIGHT = 5, 3, 0.01  # that are kept, and the weight below which one is dropped
MOST_RUNS, FEWER = 60, 40  # that enter the model, and of these the ones by which its kernels are chosen
AROUND = 1.0  # octaves over which ranks are averaged to choose them
SMALLEST = 1e-10  # eigenvalue
NODES = ndtri((np.arange(101) + 0.5) / 101)  # of a normal distribution, all as likely


@dataclass(frozen=True)
class Hypothesis:
    """One GP conditioned on n runs. `vectors` (n, n), `precisions` (n,): eigenvectors of the covariance, and
    1/(eigenvalue + noise²); `rotated` (n,): residuals in that basis; `places` (n, free) in units of the lengths.
    `mean`: the number of its prior mean, units × means.
    """

    kernel: Kernel
    number: int
    noise: float
    unit: float
    mean: int
    scale: float
    weight: float
    places: Array
    vectors: Array
    precisions: Array
    rotated: Array


class Weighed(NamedTuple):
    """Kernels and `evidence` (kernels, noises, units, means): log p(hypothesis)·p(y | hypothesis)."""

    kernels: list[Kernel]
    evidence: Array

    def joined(self, other: Weighed) -> Weighed:
        """Both together."""
        return Weighed(self.kernels + other.kernels, np.concatenate([self.evidence, other.evidence]))

    @property
    def mass(self) -> Array:
        """log p(kernel | y) (kernels,), not normalised."""
        found: Array = np.logaddexp.reduce(self.evidence.reshape(len(self.kernels), -1), axis=1)
        return found

    def likely(self, count: int, least: float = 0.0) -> list[Kernel]:
        """The most likely kernels, the likeliest first, without those of less than a part of their weight in all."""
        order = np.argsort(-self.mass, kind="stable")[:count]
        weights = np.exp(self.mass[order] - self.mass[order[0]])
        return [self.kernels[k] for k in order[weights >= least * weights.sum()]]


class Fitted(NamedTuple):
    """k kernels conditioned on n runs: `places` (k, n, free) in units of the lengths; `values` (k, n) and `vectors`
    (k, n, n): eigenvalues and eigenvectors of the covariance; `rotated` (k, units, means, n): residuals in that basis;
    `misfits` (k, noises, units, means).
    """

    places: Array
    values: Array
    vectors: Array
    rotated: Array
    misfits: Array


class Predicted(NamedTuple):
    """By one hypothesis at points (n, free): mean and standard deviation (n,) of the warped value without noise."""

    hypothesis: Hypothesis
    mean: Array
    deviation: Array


class Joint(NamedTuple):
    """By one hypothesis at points (n, free) together: mean (n,) and covariance (n, n) of the warped values without
    noise.
    """

    hypothesis: Hypothesis
    mean: Array
    covariance: Array


class Model:
    """The mixture, given places (n, free) in octaves from the start and values (n,), −inf for none."""

    def __init__(
        self,
        structure: Structure,
        places: Array,
        values: Array,
        deterministic: bool = False,
        kernels: Kernels = "all",
        earlier: Callable[[Array], Array] | None = None,
    ) -> None:
        """`earlier`: warped values (units, n) at places (n, free) as an earlier study has them, 0 at its best."""
        self.structure, self.deterministic, self._earlier = structure, deterministic, earlier
        kept = most_informative(places, values, MOST_RUNS)
        self.places, self.values = places[kept], values[kept]
        self.warped: Warped = warp(self.values)
        self._noises = NO_NOISES if deterministic else NOISES
        fewer = most_informative(self.places, self.values, FEWER)
        here, warped = self.places[fewer], warp(self.values[fewer])
        weighed = self._weigh(first_kernels(structure, kernels), here, warped)
        if len(here) >= REFINE_FROM:
            around = [one for kernel in weighed.likely(REFINE) for one in refined(kernel, structure.unknown)]
            weighed = weighed.joined(self._weigh(around, here, warped))
        self.steep = _by_exponents(weighed)
        self.hypotheses = self._most_likely(weighed.likely(MOST_KERNELS, WEIGHT))

    def _drops(self, places: Array, kernels: Sequence[Kernel]) -> Array:
        """d² (kernels, n): squared octaves outside what lies between the start (0) and usual settings."""
        usual, powers = self.structure.usual, np.array([kernel.exponents for kernel in kernels])
        others = _squares_outside(places[:, 1:], usual[1:]).sum(axis=1)
        found: Array = _squares_outside(places @ powers.T, powers @ usual).T + ACROSS * others
        return found

    def _means(self, kernels: Sequence[Kernel], places: Array) -> Array:
        """Prior means (kernels, units, means, n) of warped values at places (n, free) in octaves."""
        drops = self._drops(places, kernels)[:, None, None]
        level = LEVEL - np.array(BOWLS)[:, None] * drops
        if self._earlier is None:
            return np.broadcast_to(level, (len(kernels), len(UNITS), *level.shape[2:]))
        told = self._earlier(places)[:, None] - BOWL_OF_EARLIER * drops
        return np.concatenate([np.broadcast_to(level, (*told.shape[:2], *level.shape[2:])), told], axis=2)

    def _mean_of(self, alike: Sequence[Hypothesis], places: Array) -> Array:
        """The prior means (hypotheses, n) of hypotheses with one kernel."""
        every = self._means([alike[0].kernel], places)[0].reshape(-1, len(places))
        found: Array = every[[one.mean for one in alike]]
        return found

    def _residuals(self, kernels: Sequence[Kernel], runs: Array, warped: Warped) -> Array:
        """Warped values less the prior mean (kernels, units, means, n) at runs (n, free) in octaves."""
        found: Array = warped.values[None, :, None] - self._means(kernels, runs)
        return found

    def _evidence(self, kernels: Sequence[Kernel], logs: Array, misfits: Array, warped: Warped) -> Array:
        """log p(h)·p(y | h), given log determinants (kernels, noises) and misfits (kernels, noises, units, means)."""
        freedom = warped.values.shape[1] + FREEDOM
        found: Array = -0.5 * logs[:, :, None, None] - 0.5 * freedom * np.log(misfits + FREEDOM)
        found += (warped.log_jacobian + np.array(UNITS))[:, None]
        found += np.array(list(self._noises.values()))[:, None, None]
        found += np.array([kernel.log_prior for kernel in kernels])[:, None, None, None]
        return found

    def _weigh(self, kernels: list[Kernel], runs: Array, warped: Warped) -> Weighed:
        """Evidence of every noise, unit and mean under each kernel, by some runs (n, free)."""
        places = np.stack([scaled(runs, kernel) for kernel in kernels])
        residuals = self._residuals(kernels, runs, warped)
        columns = np.swapaxes(residuals.reshape(len(kernels), -1, len(runs)), 1, 2)
        noises = np.array(list(self._noises))
        logs, misfits = determinants_and_misfits(tridiagonal(covariance(places, places), columns), noises)
        misfits = misfits.reshape(len(kernels), len(noises), *residuals.shape[1:3])
        return Weighed(kernels, self._evidence(kernels, logs, misfits, warped))

    def _fit(self, kernels: Sequence[Kernel]) -> Fitted:
        """Condition kernels on all runs, by one eigendecomposition each."""
        places = np.stack([scaled(self.places, kernel) for kernel in kernels])
        spectrum, vectors = np.linalg.eigh(covariance(places, places))
        spectrum = np.maximum(spectrum, SMALLEST)
        residuals = self._residuals(kernels, self.places, self.warped)
        rotated = residuals @ vectors[:, None]
        precisions = 1.0 / (spectrum[:, None] + np.array(list(self._noises))[:, None] ** 2)
        misfits = np.einsum("kubn,ksn->ksub", rotated**2, precisions)
        return Fitted(places, spectrum, vectors, rotated, misfits)

    def _most_likely(self, kernels: list[Kernel]) -> list[Hypothesis]:
        """The hypotheses that are kept of some kernels, with weights that sum to 1, the likeliest kernel first."""
        noises, fitted, found = list(self._noises), self._fit(kernels), list[Hypothesis]()
        logs = np.log(fitted.values[:, None] + np.array(noises)[:, None] ** 2).sum(axis=2)
        weighed = Weighed(kernels, self._evidence(kernels, logs, fitted.misfits, self.warped))
        mass = weighed.mass
        for number in np.argsort(-mass, kind="stable").tolist():
            evidence = weighed.evidence[number]
            best = np.argsort(-evidence.ravel(), kind="stable")[:MOST_EACH]
            shares = np.exp(evidence.ravel()[best] - evidence.max())
            for place, share in zip(best, shares / shares.sum(), strict=True):
                s, u, m = np.unravel_index(place, evidence.shape)
                one = Hypothesis(
                    kernels[number],
                    number,
                    noises[s],
                    float(self.warped.units[u]),
                    int(u) * evidence.shape[2] + int(m),
                    (float(fitted.misfits[number, s, u, m]) + FREEDOM) / (len(self.places) + FREEDOM),
                    math.exp(mass[number] - mass.max()) * float(share),
                    fitted.places[number],
                    fitted.vectors[number],
                    1.0 / (fitted.values[number] + noises[s] ** 2),
                    fitted.rotated[number, u, m],
                )
                found.append(one)
        total = math.fsum(one.weight for one in found)
        found = [one for one in found if one.weight > WEIGHT * total] or found
        total = math.fsum(one.weight for one in found)
        return [_reweighted(one, one.weight / total) for one in found]

    def predict(
        self,
        points: Array,
        variance: bool = True,
        pending: Array | None = None,
        of: Sequence[Hypothesis] | None = None,
    ) -> Iterator[Predicted]:
        """What each hypothesis predicts at places (n, free) in octaves; without `variance` the deviation is 0.

        `pending` (m, free): places of runs in progress, which lower the deviation and leave the mean. `of`: the
        hypotheses, all by default.
        """
        waiting = None if pending is None or not len(pending) else pending
        for alike in _by_kernel(self.hypotheses if of is None else of):
            kernel, vectors = alike[0].kernel, alike[0].vectors
            there = scaled(points, kernel)
            crossed = covariance(there, alike[0].places)
            weights = vectors @ np.stack([one.precisions * one.rotated for one in alike], axis=1)
            means = self._mean_of(alike, points).T + crossed @ weights
            if not variance:
                yield from (Predicted(one, means[:, n], np.zeros(len(points))) for n, one in enumerate(alike))
                continue
            crossed = crossed @ vectors
            size = (there**2).sum(axis=1)
            own = 1.0 + ROUGH + CONSTANT + LINEAR * size
            left = own[:, None] - crossed**2 @ np.stack([one.precisions for one in alike], axis=1)
            for n, one in enumerate(alike):
                told = 0.0 if waiting is None else _told_by(one, there, crossed, scaled(waiting, kernel))
                yield Predicted(one, means[:, n], np.sqrt(one.scale * np.maximum(1e-9, left[:, n] - told)))

    def expected(self, points: Array) -> Array:
        """The posterior mean (n,) of the value at places (n, free), over all hypotheses."""
        found = np.zeros(len(points))
        for one, mean, _ in self.predict(points, variance=False):
            found += one.weight * self.warped.unwarp(mean, one.unit)
        return found

    def joint(self, points: Array, of: Sequence[Hypothesis] | None = None) -> Iterator[Joint]:
        """What each hypothesis predicts at places (n, free) together. `of`: the hypotheses, all by default."""
        for alike in _by_kernel(self.hypotheses if of is None else of):
            kernel = alike[0].kernel
            there, means = scaled(points, kernel), self._mean_of(alike, points)
            crossed, own = covariance(there, alike[0].places) @ alike[0].vectors, covariance(there, there)
            for one, prior in zip(alike, means, strict=True):
                told = crossed * one.precisions
                mean = prior + told @ one.rotated
                yield Joint(one, mean, one.scale * (own - told @ crossed.T))

    def quantiles(self, point: Array, probabilities: Sequence[float], other: Array | None = None) -> list[float]:
        """Quantiles of the value at a place (free,) without noise; with `other`, of its value minus the place's."""
        places = np.stack([point] if other is None else [point, other])
        values, weights = [], []
        for one, mean, told in self.joint(places):
            if other is None:
                found = self.warped.unwarp(mean[0] + math.sqrt(max(1e-9, told[0, 0])) * NODES, one.unit)
            else:
                shift = math.sqrt(max(1e-9, told[0, 0] + told[1, 1] - 2.0 * told[0, 1]))
                found = self.warped.unwarp(mean[1] + shift * NODES, one.unit) - self.warped.unwarp(mean[:1], one.unit)
            values.append(found)
            weights.append(np.full(len(NODES), one.weight / len(NODES)))
        every, parts = np.concatenate(values), np.concatenate(weights)
        order = np.argsort(every, kind="stable")
        middles = np.cumsum(parts[order]) - parts[order] / 2
        quantiles: list[float] = np.interp(probabilities, middles, every[order]).tolist()
        return quantiles

    @cached_property
    def noise(self) -> float:
        """The standard deviation of one run at the best expected of the runs, in units of the objective.

        The best observed of noisy runs lies above it, where a warped unit is a smaller one of the value.
        """
        if self.deterministic:
            return 0.0
        best = self.places[np.argmax(self.expected(self.places))][None]
        told = self.predict(best, variance=False)
        units = ((one, one.unit * math.exp(-min(0.0, float(mean[0])))) for one, mean, _ in told)
        return math.fsum(one.weight * one.noise * math.sqrt(one.scale) * unit for one, unit in units)


def most_informative(places: Array, values: Array, count: int) -> list[int]:
    """The numbers of `count` runs that enter a model: all, or half of them those around which values are best, and then
    those that lie farthest from all others, which say where nothing is to be found.

    By ranks averaged around a run, as the best observed of many noisy runs are the lucky ones.
    """
    if len(values) <= count:
        return list(range(len(values)))
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    apart = np.abs(places[:, None] - places).sum(axis=2)
    nearby = np.exp(-apart / AROUND)
    kept = np.zeros(len(values), dtype=bool)
    kept[np.argsort(-(nearby @ ranks) / nearby.sum(axis=1), kind="stable")[: count // 2]] = True
    nearest = apart[:, kept].min(axis=1)
    for _ in range(count - count // 2):
        farthest = int(np.argmax(np.where(kept, -1.0, nearest)))
        kept[farthest] = True
        nearest = np.minimum(nearest, apart[farthest])
    found: list[int] = np.flatnonzero(kept).tolist()
    return found


def _by_kernel(hypotheses: Sequence[Hypothesis]) -> Iterator[list[Hypothesis]]:
    """The hypotheses of each kernel, which share its covariances."""
    for _, alike in itertools.groupby(hypotheses, key=lambda one: one.number):
        yield list(alike)


def _squares_outside(offs: Array, ends: Array) -> Array:
    """Squares of how far offs (n, m) lie outside the intervals from 0 to `ends` (m,)."""
    found: Array = (offs - np.clip(offs, np.minimum(0.0, ends), np.maximum(0.0, ends))) ** 2
    return found


def _by_exponents(weighed: Weighed) -> dict[tuple[float, ...] | None, float]:
    """The probability of each steep coordinate; None stands for the bare hyperparameters."""
    found: dict[tuple[float, ...] | None, float] = {}
    mass = np.exp(weighed.mass - np.logaddexp.reduce(weighed.mass))
    for kernel, part in zip(weighed.kernels, mass.tolist(), strict=True):
        key = None if kernel.bare else kernel.exponents
        found[key] = found.get(key, 0.0) + part
    return found


def _told_by(one: Hypothesis, places: Array, crossed: Array, pending: Array) -> Array:
    """By how much runs at `pending` (m, free) lower the variance at places (n, free), all in units of the lengths."""
    theirs = covariance(pending, one.places) @ one.vectors
    between = covariance(places, pending) - crossed * one.precisions @ theirs.T
    among = covariance(pending, pending) - theirs * one.precisions @ theirs.T
    halves = solve(factor(among, max(one.noise, SMALLEST**0.25)), between.T)
    found: Array = (halves**2).sum(axis=0)
    return found


def _reweighted(one: Hypothesis, weight: float) -> Hypothesis:
    return Hypothesis(**{**one.__dict__, "weight": weight})
