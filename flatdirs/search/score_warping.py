"""Objective values as the model sees them: −log(1 + gap to the best / unit).

Near the best a gap counts in full; far below it all runs are about equally bad. Ours.
"""

from __future__ import annotations

import math

import numpy as np

from flatdirs.space.log_grid import Array

BELOW = 3.0  # prior mean, in warped units below the best run
RANGE_PART, VALUE_PART = 0.02, 0.005  # the unit: at least this part of the range, and of the best value
OUTLYING = 10.0  # times the median gap, or the best value: a gap beyond that widens the range no further
MOST_PART = 0.5  # the unit is at most this part of the range, so that a large offset of all values hides nothing
FARTHEST = 1000.0  # units below the best beyond which runs are equally bad: a loss that has exploded, but is finite
BROKEN = -0.3  # a run without a value, in warped units below the worst that has one
LOWEST = -2.5  # warped value of such a run, at most
ROUNDING = 1e-12  # values that differ by a smaller part of themselves are the same
TINY, HUGE = 1e-200, 8e307  # the smallest unit; the size at which a value is cut
FLOOR = -300.0  # the lowest warped value that is turned back


def warp(values: Array) -> tuple[float, float, Array]:
    """Values (n,), −inf where there is none, as (the best, the unit, −log(1 + gap/unit))."""
    usable = np.isfinite(values)
    finite = np.clip(values[usable], -HUGE, HUGE)
    if not len(finite):
        return 0.0, 1.0, np.full(len(values), -BELOW)
    top, bottom = float(finite.max()), float(finite.min())
    seen = min(top - bottom, OUTLYING * max(top - 4.0 * float(np.median(finite / 4.0)), abs(top)))
    unit = max(
        RANGE_PART * seen,
        min(VALUE_PART * abs(top), MOST_PART * seen),
        ROUNDING * abs(top),
        TINY * (top - bottom),
        TINY,
    )
    gaps = np.minimum((top - finite) / unit, FARTHEST)
    warped = np.full(len(values), min(-math.log1p(float(gaps.max())) + BROKEN, LOWEST))
    warped[usable] = -np.log1p(gaps)
    return top, unit, warped


def unwarp(top: float, unit: float, warped: float) -> float:
    """A warped value in units of the objective."""
    return float(top - unit * math.expm1(min(-warped, -FLOOR)))
