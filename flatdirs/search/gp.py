"""The surrogate of the Bayesian search: a mixture of Gaussian processes, weighed by what the runs say of each.

    w_u(y) = −log(1 + (best − y)/u)                             warped values, unit u           (score_warping.py)
    w = level − bowl·d²(x) + s·(f(x) + ε),  ε ~ N(0, noise²)
    f ~ GP(0, M(r) + ROUGH·M(ROUGHER·r) + CONSTANT + LINEAR·z·z'),  M Matérn 5/2 of r = |z − z'|
    z(x) = octaves from the start, the first replaced by the steep coordinate Σ eᵢxᵢ, divided by lengths ℓ
    s²: inverse gamma with FREEDOM degrees and mean 1, integrated out

A hypothesis h = (kernel (e, ℓ), noise, unit u, bowl) has the weight p(h)·p(y | h), where p(y | h) holds the Jacobian of
the warp, so that units compete. Kernels: every candidate e (structure.py) with three lengths along the steep coordinate
and RATIO times as long ones along the others; equal lengths on the bare hyperparameters; then, around the most likely
ones, each length alone shorter and longer. The MOST_KERNELS × MOST_EACH most likely hypotheses are kept. d²(x): squared
octaves outside what lies between the start and usual settings. Divergence has a model of its own (divergence.py).

Constants: chosen on the development surfaces of benchmarks/search with the prototype of this search, unless a line says
otherwise. Ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from flatdirs.search.kernels import factor, solve
from flatdirs.search.score_warping import Warped, warp
from flatdirs.search.structure import Structure
from flatdirs.space.log_grid import Array

Kernels = Literal["all", "bare", "chart", "steep"]

LENGTHS = {2.0: -1.5, 4.0: 0.0, 8.0: 0.0}  # octaves along the steep coordinate: log prior
RATIO, BARE_RATIO = 1.8, 1.25  # how much longer the others are; the same on the bare hyperparameters
BARE = math.log(0.5)  # log prior of equal lengths on the bare hyperparameters
SHORTER, LONGER, REFINED = 0.45, 2.2, -1.0  # factors of one length alone, and the log prior of each such change
REFINE, REFINE_FROM = 3, 4  # kernels that are refined, and the runs from which on
NOISES = {0.003: 0.0, 0.01: 0.0, 0.03: 0.0, 0.1: 0.0, 0.3: 0.0, 1.0: -1.5}  # of a run, in units of s: log prior
NO_NOISES = {
    0.001: 0.0,
    0.003: 0.0,
    0.01: 0.0,
    0.03: 0.0,
}  # without noise, for what is rougher
UNITS = (-1.0, 0.0, 0.0, -0.5, -1.0, -2.0)  # log prior of each unit of score_warping.PARTS
BOWLS = (0.01, 0.05)  # warped units that a squared octave outside usual settings costs
ACROSS = 0.25  # the part of that which an octave of another hyperparameter costs
LEVEL = -1.0  # prior mean, in warped units below the best run
CONSTANT, LINEAR, QUADRATIC, ROUGH, ROUGHER = 1.0, 0.3, 0.0, 0.1, 3
FREEDOM = 4.0
MOST_KERNELS, MOST_EACH, WEIGHT = 5, 3, 0.01  # that are kept, and the weight below which one is dropped
MOST_RUNS = 80  # that enter the model
SMALLEST = 1e-10  # eigenvalue
SURE = 1.64  # standard deviations of a 90 % interval
NODES, NODE_WEIGHTS = (np.array(part) for part in np.polynomial.hermite_e.hermegauss(21))


class Kernel(NamedTuple):
    """Exponents (free,) of the steep coordinate, all 0 but the first for the bare hyperparameters; lengths (free,)."""

    exponents: tuple[float, ...]
    lengths: tuple[float, ...]
    log_prior: float
    bare: bool = False


@dataclass(frozen=True)
class Hypothesis:
    """One GP conditioned on n runs. `vectors` (n, n), `precisions` (n,): eigenvectors of the covariance, and
    1/(eigenvalue + noise²); `rotated` (n,): residuals in that basis; `places` (n, free) in units of the lengths.
    """

    kernel: Kernel
    number: int
    noise: float
    unit: float
    bowl: float
    scale: float
    weight: float
    places: Array
    vectors: Array
    precisions: Array
    rotated: Array


class Fitted(NamedTuple):
    """Kernels fitted to n runs, for every noise, unit and bowl. `evidence` (kernels, noises, units, bowls)."""

    kernels: list[Kernel]
    places: Array
    values: Array
    vectors: Array
    rotated: Array
    misfits: Array
    evidence: Array

    def joined(self, other: Fitted) -> Fitted:
        """Both together."""
        arrays = (np.concatenate(pair) for pair in zip(self[1:], other[1:], strict=True))
        return Fitted(self.kernels + other.kernels, *arrays)

    @property
    def mass(self) -> Array:
        """log p(kernel | y) (kernels,), not normalised."""
        found: Array = np.logaddexp.reduce(self.evidence.reshape(len(self.kernels), -1), axis=1)
        return found


class Predicted(NamedTuple):
    """By one hypothesis at points (n, free): mean and standard deviation (n,) of the warped value without noise."""

    hypothesis: Hypothesis
    mean: Array
    deviation: Array


class Model:
    """The mixture, given places (n, free) in octaves from the start and values (n,), −inf for none."""

    def __init__(
        self,
        structure: Structure,
        places: Array,
        values: Array,
        deterministic: bool = False,
        kernels: Kernels = "all",
    ) -> None:
        self.structure, self.deterministic = structure, deterministic
        self.kept = most_informative(places, values)
        self.places, self.values = places[self.kept], values[self.kept]
        self.warped: Warped = warp(self.values)
        self._noises = NO_NOISES if deterministic else NOISES
        fitted = self._fit(first_kernels(structure, kernels))
        if len(self.places) >= REFINE_FROM:
            likely = np.argsort(-fitted.mass, kind="stable")[:REFINE]
            fitted = fitted.joined(self._fit([one for k in likely for one in refined(fitted.kernels[k])]))
        self.hypotheses = self._most_likely(fitted)
        mass = np.exp(fitted.mass - np.logaddexp.reduce(fitted.mass))
        self.steep: dict[tuple[float, ...] | None, float] = {}
        for kernel, part in zip(fitted.kernels, mass.tolist(), strict=True):
            key = None if kernel.bare else kernel.exponents
            self.steep[key] = self.steep.get(key, 0.0) + part

    def _drop(self, places: Array, kernel: Kernel) -> Array:
        """d² (n,): squared octaves outside what lies between the start (0) and usual settings."""
        usual, powers = self.structure.usual, np.array(kernel.exponents)

        def outside(off: Array, end: float) -> Array:
            found: Array = np.maximum(0.0, np.maximum(min(0.0, end) - off, off - max(0.0, end))) ** 2
            return found

        steep = outside(places @ powers, float(usual @ powers))
        return steep + ACROSS * sum(outside(places[:, j], float(usual[j])) for j in range(1, len(usual)))

    def _fit(self, kernels: list[Kernel]) -> Fitted:
        """Evidence of every noise, unit and bowl under each kernel, by one eigendecomposition a kernel."""
        count, warped = len(self.places), self.warped
        places = np.stack([scaled(self.places, kernel) for kernel in kernels])
        spectrum, vectors = np.linalg.eigh(covariance(places, places))
        spectrum = np.maximum(spectrum, SMALLEST)
        drops = np.stack([self._drop(self.places, kernel) for kernel in kernels])
        means = LEVEL - np.array(BOWLS)[:, None] * drops[:, None]  # (kernels, bowls, n)
        residuals = warped.values[None, :, None] - means[:, None]  # (kernels, units, bowls, n)
        rotated = np.einsum("kubn,knm->kubm", residuals, vectors, optimize=True)
        noises = np.array(list(self._noises))
        precisions = 1.0 / (spectrum[:, None] + noises[:, None] ** 2)  # (kernels, noises, n)
        misfits = np.einsum("kubm,ksm->ksub", rotated**2, precisions, optimize=True) + FREEDOM
        evidence = 0.5 * np.log(precisions).sum(axis=2)[:, :, None, None] - 0.5 * (count + FREEDOM) * np.log(misfits)
        evidence += (warped.log_jacobian + np.array(UNITS))[:, None]
        evidence += np.array(list(self._noises.values()))[:, None, None]
        evidence += np.array([kernel.log_prior for kernel in kernels])[:, None, None, None]
        return Fitted(kernels, places, spectrum, vectors, rotated, misfits, evidence)

    def _most_likely(self, fitted: Fitted) -> list[Hypothesis]:
        """The hypotheses that are kept, with weights that sum to 1."""
        noises, found, mass = list(self._noises), list[Hypothesis](), fitted.mass
        order = np.argsort(-mass, kind="stable")[:MOST_KERNELS]
        for number in order.tolist():
            evidence = fitted.evidence[number]
            best = np.argsort(-evidence.ravel(), kind="stable")[:MOST_EACH]
            shares = np.exp(evidence.ravel()[best] - evidence.max())
            for place, share in zip(best, shares / shares.sum(), strict=True):
                s, u, b = np.unravel_index(place, evidence.shape)
                one = Hypothesis(
                    fitted.kernels[number],
                    number,
                    noises[s],
                    float(self.warped.units[u]),
                    BOWLS[b],
                    float(fitted.misfits[number, s, u, b]) / (len(self.places) + FREEDOM),
                    math.exp(mass[number] - mass[order[0]]) * float(share),
                    fitted.places[number],
                    fitted.vectors[number],
                    1.0 / (fitted.values[number] + noises[s] ** 2),
                    fitted.rotated[number, u, b],
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
        only: Hypothesis | None = None,
    ) -> Iterator[Predicted]:
        """What each hypothesis predicts at places (n, free) in octaves; without `variance` the deviation is 0.

        `pending` (m, free): places of runs in progress, which lower the deviation and leave the mean. `only`: one
        hypothesis.
        """
        last, waiting = -1, None if pending is None or not len(pending) else pending
        for one in self.hypotheses if only is None else [only]:
            if one.number != last:
                there = scaled(points, one.kernel)
                crossed = covariance(there, one.places) @ one.vectors
                drops, last = self._drop(points, one.kernel), one.number
                size = (there**2).sum(axis=1)
                own = 1.0 + ROUGH + CONSTANT + LINEAR * size + QUADRATIC * size**2
            mean = LEVEL - one.bowl * drops + crossed @ (one.precisions * one.rotated)
            deviation = np.zeros(len(points))
            if variance:
                left = own - crossed**2 @ one.precisions
                if waiting is not None:
                    left -= _told_by(one, there, crossed, scaled(waiting, one.kernel))
                deviation = np.sqrt(one.scale * np.maximum(1e-9, left))
            yield Predicted(one, mean, deviation)

    def expected(self, points: Array) -> Array:
        """The posterior mean (n,) of the value at places (n, free), over all hypotheses."""
        found = np.zeros(len(points))
        for one, mean, _ in self.predict(points, variance=False):
            found += one.weight * self.warped.unwarp(mean, one.unit)
        return found

    def joint(self, one: Hypothesis, points: Array) -> tuple[Array, Array]:
        """Mean (n,) and covariance (n, n) of the warped values at places (n, free), by one hypothesis."""
        there = scaled(points, one.kernel)
        crossed = covariance(there, one.places) @ one.vectors
        mean = LEVEL - one.bowl * self._drop(points, one.kernel) + crossed @ (one.precisions * one.rotated)
        return mean, one.scale * (covariance(there, there) - crossed * one.precisions @ crossed.T)

    def quantiles(self, point: Array, probabilities: Sequence[float], other: Array | None = None) -> list[float]:
        """Quantiles of the value at a place (free,) without noise; with `other`, of its value minus the place's."""
        places = np.stack([point] if other is None else [point, other])
        values, weights = [], []
        for one in self.hypotheses:
            mean, told = self.joint(one, places)
            if other is None:
                found = self.warped.unwarp(mean[0] + math.sqrt(max(1e-9, told[0, 0])) * NODES, one.unit)
            else:
                shift = math.sqrt(max(1e-9, told[0, 0] + told[1, 1] - 2.0 * told[0, 1]))
                found = self.warped.unwarp(mean[1] + shift * NODES, one.unit) - self.warped.unwarp(mean[:1], one.unit)
            values.append(found)
            weights.append(one.weight * NODE_WEIGHTS / NODE_WEIGHTS.sum())
        every, parts = np.concatenate(values), np.concatenate(weights)
        order = np.argsort(every, kind="stable")
        middles = np.cumsum(parts[order]) - parts[order] / 2
        quantiles: list[float] = np.interp(probabilities, middles, every[order]).tolist()
        return quantiles

    @cached_property
    def noise(self) -> float:
        """The standard deviation of one run at the best, in units of the objective."""
        if self.deterministic:
            return 0.0
        return math.fsum(one.weight * one.noise * math.sqrt(one.scale) * one.unit for one in self.hypotheses)


def first_kernels(structure: Structure, which: Kernels = "all") -> list[Kernel]:
    """The kernels that are always weighed. `which`: "bare" hyperparameters alone, the first candidate of the steep
    coordinate alone ("chart"), all candidates without the bare ones ("steep"), or all.
    """
    count, found = len(structure.names), list[Kernel]()
    pairs = list(zip(structure.exponents.tolist(), structure.log_prior.tolist(), strict=True))
    for powers, prior in [(pairs[0][0], 0.0)] if which == "chart" else [] if which == "bare" else pairs:
        for length, told in LENGTHS.items():
            found.append(Kernel(tuple(powers), (length, *[length * RATIO] * (count - 1)), prior + told))
    alone = (1.0, *[0.0] * (count - 1))
    for length, told in LENGTHS.items() if which in ("all", "bare") else ():
        found.append(Kernel(alone, (length, *[length * BARE_RATIO] * (count - 1)), BARE + told, bare=True))
    return found


def refined(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel with each length alone shorter and longer."""
    for axis in range(len(kernel.lengths)):
        for change in (SHORTER, LONGER):
            lengths = list(kernel.lengths)
            lengths[axis] *= change
            yield kernel._replace(lengths=tuple(lengths), log_prior=kernel.log_prior + REFINED)


def scaled(places: Array, kernel: Kernel) -> Array:
    """z (n, free) of places in octaves."""
    found: Array = places / np.array(kernel.lengths)
    found[:, 0] = places @ np.array(kernel.exponents) / kernel.lengths[0]
    return found


def covariance(places: Array, others: Array) -> Array:
    """k(z, z') (…, n, m) without scale and noise, of places (…, n, free) and others (…, m, free)."""
    inner = places @ np.swapaxes(others, -1, -2)
    squares = (places**2).sum(axis=-1)[..., :, None] + (others**2).sum(axis=-1)[..., None, :] - 2.0 * inner
    far = np.sqrt(np.maximum(5.0 * squares, 1e-12))
    near = np.exp(-far)
    found: Array = near * (1.0 + far * (1.0 + far / 3.0))
    far *= ROUGHER
    found += ROUGH * near**ROUGHER * (1.0 + far * (1.0 + far / 3.0))  # M(ROUGHER·r): its exponential is a power
    found += LINEAR * inner + CONSTANT + QUADRATIC * inner**2
    return found


def most_informative(places: Array, values: Array) -> list[int]:
    """The numbers of the runs that enter the model: all, or the better half and those nearest to the best."""
    if len(values) <= MOST_RUNS:
        return list(range(len(values)))
    half = MOST_RUNS // 2
    better = np.argsort(-values, kind="stable")[:half].tolist()
    near = np.argsort(np.abs(places - places[better[0]]).sum(axis=1), kind="stable").tolist()
    rest = [number for number in near if number not in set(better)][: MOST_RUNS - half]
    return sorted([*better, *rest])


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
