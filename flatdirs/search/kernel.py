"""The one kernel of all processes here, and the solving with its Cholesky factors. Ours in nothing but the spelling."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dtrtrs

from flatdirs.search.geometry import Array


def matern(places: Array, others: Array) -> Array:
    """Matérn 5/2 between points (n, axes) and (m, axes) in units of their lengths: (n, m), 1 for a point and itself."""
    distance: Array = (places**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * places @ others.T
    np.maximum(distance, 0.0, out=distance)  # in place: a quarter of a million distances are a proposal's longest part
    distance *= 5.0
    distance += 1e-12
    np.sqrt(distance, out=distance)
    found = 1.0 + distance
    found += distance**2 / 3.0
    found *= np.exp(np.negative(distance, out=distance), out=distance)
    return found


def solve(lower: Array, right: Array, transposed: bool = False) -> Array:
    """lower⁻¹ · right, or with the factor (n, n) `transposed`; `right` (n,) or (n, m).

    LAPACK itself: a search asks this a hundred times a proposal, and scipy's checks take longer than the answer.
    """
    found: Array = dtrtrs(lower.T, right, lower=0, trans=0 if transposed else 1)[0]
    return found
