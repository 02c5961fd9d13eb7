"""The linear algebra of the Gaussian processes, against numpy.linalg."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flatdirs.search.kernel_family import CHUNK, CONSTANT, LINEAR, ROUGH, ROUGHER, covariance
from flatdirs.search.kernels import determinants_and_misfits, tridiagonal


def places_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1.5, shape)


def plain(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The kernel of one pair after the other."""

    def matern(distance: float) -> float:
        far = math.sqrt(5) * distance
        return (1 + far + far**2 / 3) * math.exp(-far)

    def of(one: np.ndarray, other: np.ndarray) -> float:
        distance = float(np.linalg.norm(one - other))
        return matern(distance) + ROUGH * matern(ROUGHER * distance) + CONSTANT + LINEAR * float(one @ other)

    return np.array([[of(one, other) for other in others] for one in places])


class TestCovariance:
    def test_it_is_the_formula(self) -> None:
        places, others = places_of(7, 3), places_of(5, 3) + 0.1
        assert covariance(places, others) == pytest.approx(plain(places, others), rel=1e-9)

    def test_of_a_stack_and_in_several_parts(self) -> None:
        stack = places_of(3, 60, 2)
        found = covariance(stack, stack)
        assert found.size > CHUNK
        for one, told in zip(stack, found, strict=True):
            assert told == pytest.approx(plain(one, one), rel=1e-6)

    def test_far_away_only_the_line_is_left(self) -> None:
        far = np.array([[1e4, 0.0]])
        assert covariance(far, -far) == pytest.approx(np.array([[CONSTANT - LINEAR * 1e8]]))


class TestTridiagonal:
    @pytest.mark.parametrize("count", [2, 3, 12, 40])
    def test_determinants_and_misfits_are_the_inverses(self, count: int) -> None:
        places, noises = places_of(4, count, 3), np.array([0.003, 0.1, 1.0])
        matrices, vectors = covariance(places, places), places_of(4, count, 5)
        logs, misfits = determinants_and_misfits(tridiagonal(matrices.copy(), vectors), noises)
        for k, (matrix, columns) in enumerate(zip(matrices, vectors, strict=True)):
            for s, noise in enumerate(noises):
                noisy = matrix + noise**2 * np.eye(count)
                assert logs[k, s] == pytest.approx(np.linalg.slogdet(noisy)[1], rel=1e-6)
                expected = np.einsum("im,ij,jm->m", columns, np.linalg.inv(noisy), columns)
                assert misfits[k, s] == pytest.approx(expected, rel=1e-5)
