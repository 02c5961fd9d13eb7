"""The one kernel of all processes here, and the solving with its Cholesky factors. Ours in nothing but the spelling."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dtrtrs

from flatdirs.search.geometry import Array

ROWS = 128  # of a quarter of a million distances, taken at a time: these stay in the cache


def matern(places: Array, others: Array) -> Array:
    """Matérn 5/2 between points (n, axes) and (m, axes) in units of their lengths: (n, m), 1 for a point and itself."""
    left = [places * -10.0, 5.0 * (places**2).sum(axis=1)[:, None], np.full((len(places), 1), 5.0)]
    right = [others, np.ones((len(others), 1)), (others**2).sum(axis=1)[:, None]]
    found: Array = np.concatenate(left, axis=1) @ np.concatenate(right, axis=1).T  # 5 · distance², in one product
    spare = np.empty((min(ROWS, len(places)), len(others)))
    for first in range(0, len(places), ROWS):
        distance = found[first : first + ROWS]
        factor = spare[: len(distance)]
        np.sqrt(np.maximum(distance, 1e-12, out=distance), out=distance)
        np.multiply(distance, 1.0 / 3.0, out=factor)  # 1 + d + d²/3, by Horner's rule
        factor += 1.0
        factor *= distance
        factor += 1.0
        np.exp(np.negative(distance, out=distance), out=distance)
        distance *= factor
    return found


def solve(lower: Array, right: Array, transposed: bool = False) -> Array:
    """lower⁻¹ · right, or with the factor (n, n) `transposed`; `right` (n,) or (n, m).

    LAPACK itself: a search asks this a hundred times a proposal, and scipy's checks take longer than the answer.
    """
    found: Array = dtrtrs(lower.T, right, lower=0, trans=0 if transposed else 1)[0]
    return found


def unexplained(lower: Array, alike: Array) -> Array:
    """The part (n,) of each of n points' variance that m runs leave open; `lower` (m, m), `alike` (n, m) by the kernel.

    By the factor's inverse: for many points a product of matrices takes half the time of solving for each.
    """
    solved = alike @ solve(lower, np.eye(len(lower))).T
    found: Array = 1.0 - np.einsum("ij,ij->i", solved, solved)
    return found
