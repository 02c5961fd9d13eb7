"""Scores as the model takes them: −log(1 + gap to the best, in units that are parts of what was seen).

Near the top a gap counts in full, hopeless runs are all about equally bad. Ours.
"""

from __future__ import annotations

import math

import numpy as np

from flatdirs.space.log_grid import Array

BELOW = 3.0  # prior mean, in warped units below the best run
RANGE_PART, SCORE_PART = 0.02, 0.005  # of the range of scores seen, of the best score: the gap that counts as one unit
OUTLYING = 10.0  # times the middle run's gap, or the best score: what lies further below widens the range no more
MOST_PART = 0.5  # of the range, at most: so that a large offset of all scores does not hide what differs
BROKEN = -0.3  # a pruned run (a diverged one, while there is no other), in warped units below the worst finished one
LOWEST = -2.5  # warped value of such a run, at most
ROUNDING = 1e-12  # scores that differ by a smaller part of themselves are the same
TINY, HUGE = 1e-200, 8e307  # the smallest unit of gaps, of a gap as well; what a score counts as, beyond that
HOPELESS = -300.0  # a warped score is told as this at worst


def warp(scores: Array) -> tuple[float, float, Array]:
    """Scores (n,), −inf where there is none, as (the best, the unit of gaps, −log(1 + gap to the best in units))."""
    usable = np.isfinite(scores)
    finite = np.clip(scores[usable], -HUGE, HUGE)
    if not len(finite):
        return 0.0, 1.0, np.full(len(scores), -BELOW)
    top, bottom = float(finite.max()), float(finite.min())
    seen = min(top - bottom, OUTLYING * max(top - 4.0 * float(np.median(finite / 4.0)), abs(top)))
    unit = max(
        RANGE_PART * seen,
        min(SCORE_PART * abs(top), MOST_PART * seen),
        ROUNDING * abs(top),
        TINY * (top - bottom),
        TINY,
    )
    warped = np.full(len(scores), min(-math.log1p((top - bottom) / unit) + BROKEN, LOWEST))
    warped[usable] = -np.log1p((top - finite) / unit)
    return top, unit, warped


def unwarp(top: float, unit: float, warped: float) -> float:
    """A warped value as a score again."""
    return float(top - unit * math.expm1(min(-warped, -HOPELESS)))
