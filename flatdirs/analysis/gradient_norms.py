"""Gradient norm against learning rate over the recorded steps of all runs, in logarithmic bins.

A spike is a step whose gradient norm is above 3 times the median of the 51 recorded steps around it in its own run, so
a slow drift is none. Long runs record every nth step only. Bins with fewer than 30 steps are marked as thin: their
medians and spikes are chance. The picture is that of
https://juliusm.com/observable/projects/llm-fundamentals/optimizer-sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from flatdirs.analysis.sweep import Flags, Missing, Numbers, Sweep

BINS_PER_DECADE = (8, 4, 2, 1)  # the finest that needs no more than MOST_BINS
MOST_BINS = 30
THIN = 30
SPIKE = 3.0
WINDOW = 51


@dataclass(frozen=True)
class RateBin:
    """Steps whose learning rate lies in [low, high): median and quartiles of the norm; `spikes`: a share, 0 to 1."""

    low: float
    high: float
    steps: int
    median: float
    lower: float
    upper: float
    spikes: float

    @property
    def thin(self) -> bool:
        return self.steps < THIN


@dataclass(frozen=True)
class GradientNorms:
    """The bins that hold a step, by rising rate. `left_out`: steps without a finite norm and a rate above 0."""

    bins: tuple[RateBin, ...]
    runs: int
    steps: int
    spikes: float
    left_out: int


def gradient_norms(sweep: Sweep) -> GradientNorms | Missing:
    """Every recorded step of every run, binned by its learning rate."""
    recorded = [run for run in sweep.runs if run.rates]
    if not recorded:
        return Missing("no run recorded the learning rate and gradient norm of its steps")
    rates = np.concatenate([run.rates for run in recorded])
    norms = np.concatenate([run.gradient_norms for run in recorded])
    spiking = np.concatenate([spikes(np.array(run.gradient_norms)) for run in recorded])
    kept = np.isfinite(rates) & np.isfinite(norms) & (rates > 0) & (norms > 0)
    if not kept.any():
        return Missing("no recorded step has a finite gradient norm and a learning rate above 0")
    bins = _bins(rates[kept], norms[kept], spiking[kept])
    return GradientNorms(bins, len(recorded), int(kept.sum()), float(spiking[kept].mean()), int((~kept).sum()))


def spikes(norms: Numbers) -> Flags:
    """Which recorded steps of one run are spikes, (steps,). Norms that are not finite are ignored."""
    finite = np.isfinite(norms)
    usual = median_filter(norms[finite], size=min(WINDOW, max(1, int(finite.sum()))), mode="nearest")
    found = np.zeros(len(norms), dtype=bool)
    found[finite] = norms[finite] > SPIKE * usual
    return found


def _bins(rates: Numbers, norms: Numbers, spiking: Flags) -> tuple[RateBin, ...]:
    """The bins that hold a step; their ends are whole powers of 10 to 1/bins per decade."""
    logs = np.log10(rates)
    fine = next((fine for fine in BINS_PER_DECADE if fine * np.ptp(logs) <= MOST_BINS), BINS_PER_DECADE[-1])
    numbers = np.floor(logs * fine)
    found = []
    for number in np.unique(numbers):
        own = numbers == number
        middle, lower, upper = np.quantile(norms[own], (0.5, 0.25, 0.75)).tolist()
        sides = float(10.0 ** (number / fine)), float(10.0 ** ((number + 1) / fine))
        found.append(RateBin(*sides, int(own.sum()), middle, lower, upper, float(spiking[own].mean())))
    return tuple(found)
