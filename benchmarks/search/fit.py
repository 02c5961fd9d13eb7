"""The smooth fit behind every surface: three Gaussian processes over the logarithms of the hyperparameters.

Kernel: Matérn 5/2 with a full metric, so that nobody tells the process along which directions a surface is flat. Metric, height and a
factor on the noise are learnt by maximum likelihood; the noise of every cell is given up to that factor (Rasmussen and Williams, Gaussian
Processes for Machine Learning, chapters 2, 4 and 5). Fitted are the value, warped, an accuracy or a loss with its sign changed; the
logarithm of the last validation loss; and a sign, +1 where a cell diverges, −1 where it finishes, whose zero is the cliff. The first two
see finished runs only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from benchmarks.lattice.running import worst_of
from benchmarks.search.cells import Array, Cells

VERSION = 1  # of this way to fit; another one learns again
LOWER = np.tril_indices(3)
JITTER = 1e-6
SCALES = (2.0, 5.0)  # octaves in which a surface may change, one start of the optimiser each
CHUNK = 4096  # places predicted at once
LOWEST, LEFT, RIGHT = 8.0, 7.0, 101.0  # the warp's ends, percent: log((a − 7) / (101 − a)) of at least 8 %
BOTTOM = 0.9  # of the lowest loss: that of a loss is −log(loss − so much), and of a run 10 times as far above it one unit less
FLOOR = 0.02  # least standard deviation of a cell's noise, on either scale
SIGN_VARIANCE = 0.05  # noise of the sign where all runs of a cell agree
NEAR = 5.0  # points below the level that count as near the top
FOLDS = 10

# factor (3, 3), lower triangular, per octave; height, a variance; noise, a factor on variances
Metric = Mapping[str, Any]


@dataclass(frozen=True)
class Process:
    """The posterior: `places` (n, 3) in octaves, `values` (n,), `variances` (n,) of the values' noise."""

    places: Array
    values: Array
    variances: Array
    metric: Metric

    def predict(self, places: Array) -> Array:
        """The posterior mean at (m, 3) places."""
        parts = np.split(places, range(CHUNK, len(places), CHUNK))
        return np.concatenate([self.mean + self._covariance(part) @ self.solved[1] for part in parts])

    @cached_property
    def mean(self) -> float:
        """The constant that the process falls back to."""
        return float(np.average(self.values, weights=1.0 / (self.variances + np.var(self.values) + 1e-12)))

    @cached_property
    def solved(self) -> tuple[Array, Array]:
        """The Cholesky factor of the covariance with its noise, and the weights of the places."""
        noise = self.metric["noise"] * self.variances + JITTER * self.metric["height"]
        factor = cho_factor(self._covariance(self.places) + np.diag(noise), lower=True)
        return factor[0], cho_solve(factor, self.values - self.mean)

    def _covariance(self, places: Array) -> Array:
        """Matérn 5/2 of the distances by the metric."""
        a, b = (some @ np.array(self.metric["factor"]).T for some in (places, self.places))
        squares = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T, 0.0)
        root = np.sqrt(5.0 * squares)
        return self.metric["height"] * (1.0 + root + 5.0 / 3.0 * squares) * np.exp(-root)


def likeliest(places: Array, values: Array, variances: Array) -> Metric:
    """The metric of maximum likelihood, from a round one in either scale."""

    def metric(theta: Array) -> Metric:
        factor = np.zeros((3, 3))
        factor[LOWER] = theta[:6]
        return {"factor": factor, "height": float(np.exp(theta[6])), "noise": float(np.exp(theta[7]))}

    def unlikely(theta: Array) -> float:
        process = Process(places, values, variances, metric(theta))
        try:
            factor, weights = process.solved
        except np.linalg.LinAlgError:
            return 1e12
        return float(0.5 * (values - process.mean) @ weights + np.log(np.diag(factor)).sum())

    starts = [[*(np.eye(3) / scale)[LOWER], np.log(max(np.var(values), 1e-4)), 0.0] for scale in SCALES]
    search = {"bounds": [(-3.0, 3.0)] * 6 + [(-8.0, 8.0), (-1.5, 4.0)], "options": {"maxiter": 80}}
    tries = [minimize(unlikely, np.array(start), method="L-BFGS-B", **search) for start in starts]
    return metric(min(tries, key=lambda found: float(found.fun)).x)


@dataclass(frozen=True)
class Warp:
    """Values to the scale of the fit and back: accuracies in percent, or losses with their sign changed where there is a `bottom`."""

    chance: float  # the lowest value there is
    bottom: float | None = None

    def warp(self, values: Array) -> Array:
        """To the scale of the fit."""
        if self.bottom is not None:
            return -np.log(-values - self.bottom)
        return np.log((np.maximum(values, LOWEST) - LEFT) / (RIGHT - values))

    def slope(self, values: Array) -> Array:
        """The derivative of `warp`."""
        if self.bottom is not None:
            return 1 / (-values - self.bottom)
        return 1 / (np.maximum(values, LOWEST) - LEFT) + 1 / (RIGHT - values)

    def unwarp(self, warped: Array) -> Array:
        """Back to values, between guessing and the highest there can be."""
        if self.bottom is not None:
            return np.maximum(-np.exp(-warped) - self.bottom, self.chance)
        odds = np.exp(warped)
        return np.clip((RIGHT * odds + LEFT) / (1 + odds), self.chance, 100.0)


def warp_of(cells: Cells) -> Warp:
    """The warp of a lattice."""
    lattice = cells.lattice
    return Warp(worst_of(lattice), -BOTTOM * float(cells.means[:, 0].max()) if lattice.metric == "loss" else None)


def processes(cells: Cells, metrics: Mapping[str, Metric] | None = None) -> dict[str, Process]:
    """The fit of a lattice by field; without metrics they are learnt."""
    value, loss = cells.means.T
    slope = warp_of(cells).slope(value)
    noise = np.maximum(cells.deviations.T * [slope, np.ones_like(slope)], FLOOR) ** 2 / cells.counts
    signs, mixed = np.where(cells.diverged >= 0.5, 1.0, -1.0), SIGN_VARIANCE + 4 * cells.diverged * (1 - cells.diverged)
    data = {"accuracy": (cells.places, warp_of(cells).warp(value), noise[0]), "loss": (cells.places, loss, noise[1])}
    data["sign"] = (cells.every, signs, mixed)
    return {name: Process(*some, metrics[name] if metrics else likeliest(*some)) for name, some in data.items()}


def errors(cells: Cells, fit: Mapping[str, Process]) -> dict[str, float]:
    """Root mean squares over cells held out, in points of accuracy or nats, beside what the noise of the seeds alone gives."""
    off = warp_of(cells).unwarp(held_out(fit["accuracy"], 0)) - cells.means[:, 0]
    noise = cells.deviations[:, 0] / np.sqrt(cells.counts)
    near = cells.means[:, 0] > cells.level - NEAR * cells.spread.point
    squares = {"near": off[near], "near_noise": noise[near], "overall": off, "overall_noise": noise}
    broken = cells.diverged >= 0.5
    wrong, mixed = (held_out(fit["sign"], 1) > 0) != broken, (cells.diverged > 0) & (cells.diverged < 1)
    counts = {"near_cells": near, "diverged": broken, "mixed": mixed, "cliff_wrong": wrong}
    return {
        **{name: float(np.sqrt(np.mean(values**2))) for name, values in squares.items()},
        **{name: int(values.sum()) for name, values in counts.items()},
        **{"near_bias": float(off[near].mean()), "cells": len(off), "tried": len(cells.every)},
    }


def held_out(process: Process, seed: int) -> Array:
    """What the fit predicts at every place from the other folds alone, with the metric learnt from all."""
    fold = np.random.default_rng(seed).permutation(len(process.places)) % FOLDS
    predicted = np.zeros(len(fold))
    for number in range(FOLDS):
        out = fold == number
        parts = {name: getattr(process, name)[~out] for name in ("places", "values", "variances")}
        predicted[out] = replace(process, **parts).predict(process.places[out])
    return predicted
