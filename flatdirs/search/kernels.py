"""A plain Matérn kernel, for divergence.py, and the linear algebra of all Gaussian processes here.

Points come in units of the length scales, (n, axes). LAPACK is called directly, as matrices are small and many: the
checks of SciPy's own functions would take longer than the work.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg.lapack import dormqr, dpotrf, dsytrd, dtrtrs
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
    """lower⁻¹ · right, or with the factor (n, n) `transposed`; `right` (n,) or (n, m)."""
    found: Array = dtrtrs(lower.T, right, lower=0, trans=0 if transposed else 1)[0]
    return found


class Tridiagonal(NamedTuple):
    """k matrices Q·T·Qᵀ: `diagonal` (n, k), `beside` (n − 1, k) of T, and `rotated` (n, k, m), Qᵀ times m vectors."""

    diagonal: Array
    beside: Array
    rotated: Array


def tridiagonal(matrices: Array, vectors: Array) -> Tridiagonal:
    """Reduce k symmetric matrices (k, n, n), n ≥ 2, which are overwritten; `vectors` (k, n, m).

    Takes less time than their eigenvectors, and serves every noise just as well.
    """
    kernels, count, columns = vectors.shape
    found = Tridiagonal(np.empty((count, kernels)), np.empty((count - 1, kernels)), np.empty((count, kernels, columns)))
    for k in range(kernels):
        reflectors, diagonal, beside, factors, _ = dsytrd(matrices[k].T, lower=1, lwork=32 * count, overwrite_a=1)
        found.diagonal[:, k], found.beside[:, k], found.rotated[0, k] = diagonal, beside, vectors[k, 0]
        found.rotated[1:, k] = dormqr("L", "T", reflectors[1:, :-1], factors, vectors[k, 1:], 32 * columns)[0]
    return found


def determinants_and_misfits(one: Tridiagonal, noises: Array) -> tuple[Array, Array]:
    """log |K + noise²| (k, s) and vᵀ·(K + noise²)⁻¹·v (k, s, m) for noises (s,), by T + noise² = L·D·Lᵀ."""
    diagonal = one.diagonal[:, :, None] + noises**2
    beside, rotated = one.beside[:, :, None], one.rotated[:, :, None]
    pivot, solved = diagonal[0], np.broadcast_to(rotated[0], (*diagonal[0].shape, rotated.shape[-1]))
    logs, misfits = np.log(pivot), solved**2 / pivot[..., None]
    for row in range(1, len(diagonal)):
        lower = beside[row - 1] / pivot
        pivot = diagonal[row] - lower * beside[row - 1]
        solved = rotated[row] - lower[..., None] * solved
        logs += np.log(pivot)
        misfits += solved**2 / pivot[..., None]
    return logs, misfits


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
