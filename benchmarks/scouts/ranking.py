"""Rank correlation with a bootstrap interval: of cells, measured or read off a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from benchmarks.runs_to_target.findings import RESAMPLES


@dataclass(frozen=True)
class Estimate:
    """A number with the middle 95 % of its bootstrap, and of how many."""

    value: float
    low: float
    high: float
    count: int


def spearman(pairs: Sequence[tuple[float, float]]) -> Estimate:
    """Spearman's correlation of (n, 2) numbers."""
    values = np.array(pairs, dtype=float)
    drawn = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))]
    ranked = rankdata(drawn, axis=1)
    centred = ranked - ranked.mean(axis=1, keepdims=True)
    each = (centred[..., 0] * centred[..., 1]).sum(1) / np.sqrt((centred**2).sum(1).prod(1))
    low, high = np.quantile(each, (0.025, 0.975))
    value = float(np.corrcoef(rankdata(values, axis=0).T)[0, 1])
    return Estimate(value, float(low), float(high), len(values))
