"""The Matérn kernel of all Gaussian processes here, and the linear algebra with its Cholesky factors.

Points come in units of the length scales, (n, axes); covariances have 1 on the diagonal and no scale. LAPACK is called
directly, as there are many small solves in a suggestion.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs
from threadpoolctl import ThreadpoolController

from flatdirs.space.log_grid import Array

ROWS = 128  # rows of distances that are computed together: they stay in the cache


def matern(places: Array, others: Array) -> Array:
    """Matérn 5/2 between points (n, axes) and (m, axes) in units of the length scales: (n, m), 1 on the diagonal."""
    left = [places * -10.0, 5.0 * (places**2).sum(axis=1)[:, None], np.full((len(places), 1), 5.0)]
    right = [others, np.ones((len(others), 1)), (others**2).sum(axis=1)[:, None]]
    found: Array = np.concatenate(left, axis=1) @ np.concatenate(right, axis=1).T  # 5 · distance², in one product
    spare = np.empty((min(ROWS, len(places)), len(others)))
    for first in range(0, len(places), ROWS):
        distance = found[first : first + ROWS]
        series = spare[: len(distance)]
        np.sqrt(np.maximum(distance, 1e-12, out=distance), out=distance)
        np.multiply(distance, 1.0 / 3.0, out=series)  # 1 + d + d²/3, by Horner's rule
        series += 1.0
        series *= distance
        series += 1.0
        np.exp(np.negative(distance, out=distance), out=distance)
        distance *= series
    return found


def factor(covariance: Array, noise: float) -> Array:
    """The lower Cholesky factor (n, n) of a kernel matrix (n, n) plus noise² on its diagonal."""
    filled = covariance.T.copy(order="F")
    filled.flat[:: len(covariance) + 1] += noise**2
    upper, wrong = dpotrf(filled, lower=0, clean=1, overwrite_a=1)
    if wrong:
        raise np.linalg.LinAlgError(f"the covariance of {len(covariance)} runs has no Cholesky factor")
    lower: Array = upper.T
    return lower


def solve(lower: Array, right: Array, transposed: bool = False) -> Array:
    """lower⁻¹ · right, or with the factor (n, n) `transposed`; `right` (n,) or (n, m).

    Calls LAPACK directly: there are a hundred small solves in a suggestion, and SciPy's checks take longer than these.
    """
    found: Array = dtrtrs(lower.T, right, lower=0, trans=0 if transposed else 1)[0]
    return found


def posterior_variance(lower: Array, covariance: Array) -> Array:
    """The variance (n,) that m runs leave at n points; `lower` (m, m), `covariance` (n, m) by the kernel."""
    solved = covariance @ solve(lower, np.eye(len(lower))).T
    found: Array = 1.0 - np.einsum("ij,ij->i", solved, solved)
    return found


@lru_cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Limit linear algebra to one thread: on cores that train, waiting for a second one costs more than the work."""
    found: AbstractContextManager[Any] = _pools().limit(limits=1, user_api="blas")
    return found
