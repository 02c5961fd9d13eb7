"""Gradient norm against learning rate, step by step, as the source drew it: logarithmic bins, thin ones marked.

A bin with few steps shows its accidents (the source's spikes at the ends of the axis), so it is marked rather than
dropped. A spike here is a step whose gradient norm is above SPIKE times the median of the WINDOW recorded steps around
it in its own run: a sharp rise that passes, whatever the slow drift. Of a long run only every nth step is recorded, and
these then span WINDOW·n steps. The definition is ours. Medians and counts are SciPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.ndimage import median_filter
from scipy.stats import binned_statistic

from flatdirs.analysis.records import Flags, Missing, Numbers, Sweep

BINS_PER_DECADE = (8, 4, 2, 1)  # the finest that needs no more than MOST_BINS over the rates there were
MOST_BINS = 30
THIN = 30  # steps; a bin with fewer is marked
SPIKE = 3.0
WINDOW = 51  # recorded steps, odd


@dataclass(frozen=True)
class RateBin:
    """Steps whose learning rate lies in [low, high). Norms: median and quartiles. `spikes`: a share, 0 to 1."""

    low: float
    high: float
    steps: int
    median: float
    lower: float
    upper: float
    spikes: float
    thin: bool


@dataclass(frozen=True)
class GradientNorms:
    """All bins that hold a step, by rising rate. `left_out`: steps whose norm or rate was not finite and above 0."""

    bins: tuple[RateBin, ...]
    runs: int
    steps: int
    spikes: float
    left_out: int


def gradient_norms(sweep: Sweep) -> GradientNorms | Missing:
    """Every recorded step of every run, binned by its learning rate."""
    recorded = [run for run in sweep.runs if run.learning_rates]
    if not recorded:
        return Missing("no run recorded its learning rate and gradient norm at every step, so there is nothing to bin")
    rates = np.concatenate([run.learning_rates for run in recorded])
    norms = np.concatenate([run.gradient_norms for run in recorded])
    spiking = np.concatenate([spikes(np.array(run.gradient_norms)) for run in recorded])
    kept = np.isfinite(rates) & np.isfinite(norms) & (rates > 0) & (norms > 0)
    if not kept.any():
        return Missing("no recorded step has a finite gradient norm and a learning rate above 0")
    bins = _binned(rates[kept], norms[kept], spiking[kept])
    return GradientNorms(bins, len(recorded), int(kept.sum()), float(spiking[kept].mean()), int((~kept).sum()))


def spikes(norms: Numbers) -> Flags:
    """Which recorded steps of one run spike, (steps,).

    What is not finite is none, and does not count as a neighbour's usual.
    """
    finite = np.isfinite(norms)
    usual = median_filter(norms[finite], size=min(WINDOW, max(1, int(finite.sum()))), mode="nearest")
    found = np.zeros(len(norms), dtype=bool)
    found[finite] = norms[finite] > SPIKE * usual
    return found


def _binned(rates: Numbers, norms: Numbers, spiking: Flags) -> tuple[RateBin, ...]:
    """The bins that hold a step; edges are whole powers of 10 to 1/bins per decade."""
    decades = float(np.ptp(np.log10(rates)))
    fine = next((fine for fine in BINS_PER_DECADE if fine * decades <= MOST_BINS), BINS_PER_DECADE[-1])
    logs = np.log10(rates) * fine
    edges = np.arange(np.floor(logs.min()), np.floor(logs.max()) + 2)

    def in_bins(values: Numbers, what: str | Callable[[Numbers], float]) -> Numbers:
        found: Numbers = binned_statistic(logs, values, what, edges)[0]
        return found

    counts, medians = in_bins(norms, "count"), in_bins(norms, "median")
    lower, upper = in_bins(norms, partial(_percentile, percent=25)), in_bins(norms, partial(_percentile, percent=75))
    shares, sides = in_bins(spiking.astype(float), "mean"), 10.0 ** (edges / fine)
    columns = zip(sides[:-1], sides[1:], counts, medians, lower, upper, shares, strict=True)
    return tuple(
        RateBin(low, high, int(count), median, first, third, share, count < THIN)
        for low, high, count, median, first, third, share in map(_plain, columns)
        if count
    )


def _plain(row: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in row)


def _percentile(values: Numbers, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else math.nan
