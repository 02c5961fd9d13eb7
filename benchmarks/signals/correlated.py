"""flatdirs' model with a second number of every run: the loss at the peak of the rate, correlated with the score.

Two processes with one kernel, one scale and a correlation r between them (intrinsic coregionalisation): a run at x tells
the score's process r of what its loss at the peak tells its own. Such losses are warped as scores are, and have the same
noise. r is one more hypothesis, which the runs weigh by their evidence; r = 0 lets the loss at the peak say nothing.
Source: Bonilla, Chai and Williams, Multi-task Gaussian Process Prediction, 2007; ours in how r is decided. Not in the
product: `looking_at_peaks` is the one place that puts it in the search's hands, for as long as a benchmark asks.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.signals.peaks import PeakOutcome
from flatdirs.search import bayes as flat
from flatdirs.search.gp import FREEDOM, Hypothesis, Model, Run
from flatdirs.search.kernel import solve
from flatdirs.search.question import Told
from flatdirs.search.score_warping import BELOW, warp
from flatdirs.space.log_grid import Array
from flatdirs.space.log_grid import LogGrid as Geometry

FEWEST = 3  # runs with a loss at the peak; with fewer there is nothing to warp


@dataclass(frozen=True)
class PeakRun(Run):
    """A run with minus the logarithm of its loss at the peak, None where nobody knows it."""

    peak: float | None = None


class Correlated(Model):
    """The model with every r of `correlations` beside every hypothesis it has anyway."""

    def __init__(self, geometry: Geometry, runs: Sequence[Run], correlations: Sequence[float]) -> None:
        self._correlations, self._factors = correlations, dict[tuple[Any, ...], Array]()
        super().__init__(geometry, runs)

    def _hypotheses(self) -> Iterator[Hypothesis]:
        peaks = {number: run.peak for number, run in enumerate(self.runs) if getattr(run, "peak", None) is not None}
        if len(peaks) < FEWEST:
            yield from super()._hypotheses()
            return
        _, _, warped = warp(np.array(list(peaks.values())))
        for one, correlation in itertools.product(super()._hypotheses(), self._correlations):
            yield self._joined(one, list(peaks), warped, correlation)

    def _factor(self, one: Hypothesis, known: list[int], correlation: float) -> Array:
        """The Cholesky factor (n + m, n + m) of scores and peaks together; hypotheses that differ in the prior share it."""
        key = (one.shape, one.stretch, one.noise, correlation)
        if key not in self._factors:
            count, noise = len(self.points), one.noise**2
            every = [*range(count), *known]
            both = (one.lower @ one.lower.T - noise * np.eye(count))[np.ix_(every, every)]
            both[:count, count:] *= correlation
            both[count:, :count] *= correlation
            self._factors[key] = np.linalg.cholesky(both + noise * np.eye(len(every)))
        return self._factors[key]

    def _joined(self, one: Hypothesis, known: list[int], peaks: Array, correlation: float) -> Hypothesis:
        """A hypothesis of the scores with the peaks (m,) of the `known` runs taken in.

        The score at x is correlated with peaks by r·k. `Model` multiplies by k alone, so r goes into the factor, whose
        rows of peaks are divided by it, and into the weights; with r = 0 the peaks have no rows.
        """
        count, lower = len(self.points), self._factor(one, known, correlation)
        off = np.concatenate([self.values - self._prior(self.points, one.relaxes), peaks - peaks.max() + BELOW])
        half = solve(lower, off)
        misfit = float(half @ half) + FREEDOM
        weights = solve(lower, half, transposed=True)
        kept = slice(None) if correlation else slice(count)
        part = np.concatenate([np.ones(count), np.full(len(known), correlation)])[kept]
        return replace(
            one,
            evidence=-float(np.log(np.diag(lower)).sum()) - 0.5 * (len(off) + FREEDOM) * math.log(misfit),
            scale=misfit / (len(off) + FREEDOM),
            places=np.concatenate([one.places, one.places[known]])[kept],
            lower=lower[kept, kept] / part[:, None],
            weights=weights[kept] * part,
        )


@contextmanager
def looking_at_peaks(correlations: Sequence[float]) -> Iterator[None]:
    """Inside, flatdirs' search proposes by `Correlated`, and remembers nothing that it proposed otherwise."""

    def model_of(geometry: Geometry, told: Sequence[Told]) -> Model:
        runs = [
            PeakRun(run.point, run.score, run.relaxation, run.diverged, _peak(one))
            for run, one in zip(flat.runs_of(told), told, strict=True)
        ]
        return Correlated(geometry, runs, correlations)

    before = flat.model_of, flat._remembered
    flat.model_of, flat._remembered = model_of, OrderedDict()
    try:
        yield
    finally:
        flat.model_of, flat._remembered = before


def _peak(one: Told) -> float | None:
    return one.outcome.peak if isinstance(one.outcome, PeakOutcome) else None
