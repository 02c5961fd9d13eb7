"""Objective values as the model sees them: w = −log(1 + gap to the best / unit), for several units at a time.

Near the best a gap counts in full; far below it all runs are about equally bad. How near is a matter of the unit: parts
of the range of the values, of which the model weighs each by how well it explains them. For that the density of w is
turned into one of the values by the Jacobian, Σ −log(unit + gap). Ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flatdirs.space.log_grid import Array

PARTS = (3.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # units, in parts of the range: from all alike to thousandths of it
OUTLYING = 10.0  # times the median gap: what lies further widens the range no more
FARTHEST = 100.0  # ranges below the best beyond which runs are equally bad: a loss that has exploded, but is finite
BELOW = 0.3  # a run without a value, in warped units below the worst that has one
ROUNDING = 1e-12  # values that differ by a smaller part of themselves are the same
LEAST_RANGE = 1e-3  # of the best value, where all are the same
TINY, HUGE = 1e-200, 1e300  # the smallest range; the size at which a value is cut: hundreds of times it is a number
FLOOR = -300.0  # the lowest warped value that is turned back


@dataclass(frozen=True)
class Warped:
    """Values (n,) in u units. `top`: the best; `units` (u,); `values` (u, n); `log_jacobian` (u,)."""

    top: float
    units: Array
    values: Array
    log_jacobian: Array

    def unwarp(self, warped: Array, unit: float) -> Array:
        """Warped values in units of the objective; above the best, one unit of w is one unit of the value."""
        floor = max(FLOOR, math.log(unit) - math.log(HUGE) - 5.0)  # no gap is much larger than HUGE
        below = -unit * np.expm1(-np.maximum(np.minimum(warped, 0.0), floor))
        found: Array = self.top + below + unit * np.maximum(warped, 0.0)
        return found


def warp(values: Array) -> Warped:
    """Warp values (n,), −inf where there is none; at least one is finite."""
    usable = np.isfinite(values)
    finite = np.clip(values[usable], -HUGE, HUGE)
    top = float(finite.max())
    gaps = np.minimum(top - finite, HUGE)
    seen = min(float(gaps.max()), OUTLYING * max(float(np.median(gaps)), ROUNDING * abs(top)))
    if not seen > ROUNDING * abs(top):
        seen = LEAST_RANGE * abs(top)
    seen = max(seen, TINY)
    units = np.array(PARTS) * seen
    gaps = np.minimum(gaps, min(FARTHEST * seen, HUGE))
    warped = np.empty((len(units), len(values)))
    warped[:, usable] = -np.log1p(gaps / units[:, None])
    warped[:, ~usable] = warped[:, usable].min(axis=1, keepdims=True) - BELOW
    return Warped(top, units, warped, -np.log(units[:, None] + gaps).sum(axis=1))
