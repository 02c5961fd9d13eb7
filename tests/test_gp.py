"""The mixture of Gaussian processes behind the default search, against the textbook's formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flatdirs.search.gp import (
    ACROSS,
    BOWLS,
    FREEDOM,
    LEVEL,
    MOST_EACH,
    MOST_RUNS,
    NOISES,
    UNITS,
    WEIGHT,
    Hypothesis,
    Model,
)
from flatdirs.search.kernel_family import CONSTANT, LINEAR, ROUGH, ROUGHER, Kernel, Kernels, first_kernels
from flatdirs.search.known import places_of
from flatdirs.search.score_warping import BELOW, PARTS, warp
from flatdirs.search.structure import Structure, structure_of
from flatdirs.space.log_grid import LogGrid
from tests.searches import grid_of

Array = NDArray[np.float64]
LOG_GRID = LogGrid(grid_of(lr=0.4))
POINTS = ((0, 0, 0), (4, 0, 0), (8, 0, 0), (4, 3, 0), (6, -2, 5))
VALUES = np.array([80.0, 90.0, 84.0, 89.0, 91.0])
OLD = places_of(LOG_GRID, POINTS)
NEW = np.array([[2.5, 0.0, 0.0], [2.0, 1.5, 0.0], [-10.0, 6.0, 4.5]])
PENDING = np.array([[-9.5, 6.0, 4.0], [3.0, 0.5, 0.0]])


def model_of(count: int = len(POINTS), kernels: Kernels = "all", deterministic: bool = False) -> Model:
    return Model(structure_of(LOG_GRID), OLD[:count], VALUES[:count], deterministic, kernels)


def matern(distance: Array) -> Array:
    far = math.sqrt(5) * distance
    return np.asarray((1 + far + far**2 / 3) * np.exp(-far))


def in_lengths(places: Array, kernel: Kernel) -> Array:
    """The steep coordinate and the other hyperparameters, in units of the length scales."""
    first = sum(power * places[:, n] for n, power in enumerate(kernel.exponents))
    others = [places[:, n] for n in range(1, places.shape[1])]
    return np.stack([one / length for one, length in zip([first, *others], kernel.lengths, strict=True)], axis=1)


def covariance(places: Array, others: Array, kernel: Kernel) -> Array:
    here, there = in_lengths(places, kernel), in_lengths(others, kernel)
    distance = np.linalg.norm(here[:, None] - there[None], axis=-1)
    return np.asarray(matern(distance) + ROUGH * matern(ROUGHER * distance) + CONSTANT + LINEAR * here @ there.T)


def prior_mean(places: Array, kernel: Kernel, bowl: float, structure: Structure) -> Array:
    """LEVEL, less the bowl times the squared octaves by which a place lies outside what is usual."""
    powers = np.array(kernel.exponents)

    def outside(off: Array, usual: float) -> Array:
        return np.asarray(off - np.clip(off, min(0.0, usual), max(0.0, usual))) ** 2

    squares = outside(places @ powers, float(powers @ structure.usual))
    for number in range(1, places.shape[1]):
        squares = squares + ACROSS * outside(places[:, number], float(structure.usual[number]))
    return np.asarray(LEVEL - bowl * squares)


class Textbook:
    """A Gaussian process by the inverse of its covariance, the scale integrated out."""

    def __init__(self, model: Model, kernel: Kernel, noise: float, unit: float, bowl: float) -> None:
        self.kernel, self.noise, self.structure, self.bowl = kernel, noise, model.structure, bowl
        self.old, gaps = model.places, VALUES[: len(model.places)].max() - VALUES[: len(model.places)]
        self.warped, self.jacobian = -np.log1p(gaps / unit), float(-np.log(unit + gaps).sum())

    def _inverse(self, places: Array) -> Array:
        return np.linalg.inv(covariance(places, places, self.kernel) + self.noise**2 * np.eye(len(places)))

    @property
    def misfit(self) -> float:
        off = self.warped - prior_mean(self.old, self.kernel, self.bowl, self.structure)
        return float(off @ self._inverse(self.old) @ off)

    @property
    def scale(self) -> float:
        return (self.misfit + FREEDOM) / (len(self.old) + FREEDOM)

    @property
    def log_likelihood(self) -> float:
        """log p(y) of the values themselves, but for what all hypotheses share."""
        noisy = covariance(self.old, self.old, self.kernel) + self.noise**2 * np.eye(len(self.old))
        log_density = -0.5 * np.linalg.slogdet(noisy)[1]
        return float(log_density - 0.5 * (len(self.old) + FREEDOM) * math.log(self.misfit + FREEDOM) + self.jacobian)

    def posterior(self, places: Array) -> tuple[Array, Array]:
        """Mean (n,) and covariance (n, n)."""
        cross = covariance(places, self.old, self.kernel) @ self._inverse(self.old)
        off = self.warped - prior_mean(self.old, self.kernel, self.bowl, self.structure)
        mean = prior_mean(places, self.kernel, self.bowl, self.structure) + cross @ off
        return mean, self.scale * self._left(places, self.old)

    def deviation_beside(self, places: Array, pending: Array) -> Array:
        """Standard deviations (n,) once runs at `pending` were known as well."""
        return np.sqrt(self.scale * np.diag(self._left(places, np.concatenate([self.old, pending]))))

    def _left(self, places: Array, known: Array) -> Array:
        cross = covariance(places, known, self.kernel)
        return np.asarray(covariance(places, places, self.kernel) - cross @ self._inverse(known) @ cross.T)


def textbook(model: Model, one: Hypothesis) -> Textbook:
    return Textbook(model, one.kernel, one.noise, one.unit, BOWLS[one.mean % len(BOWLS)])


class TestPosterior:
    @pytest.mark.parametrize("kernels", ["all", "bare", "chart", "steep"])
    def test_mean_and_deviation_are_the_textbooks(self, kernels: Kernels) -> None:
        model = model_of(kernels=kernels)
        for one, mean, deviation in model.predict(NEW):
            expected, left = textbook(model, one).posterior(NEW)
            assert mean == pytest.approx(expected, rel=1e-6)
            assert deviation == pytest.approx(np.sqrt(np.diag(left)), rel=1e-5)
            assert one.scale == pytest.approx(textbook(model, one).scale)

    def test_pending_runs_lower_the_deviation_and_leave_the_mean(self) -> None:
        model = model_of()
        pairs = zip(model.predict(NEW), model.predict(NEW, pending=PENDING), strict=True)
        for (one, mean, deviation), (_, same, lower) in pairs:
            assert same == pytest.approx(mean)
            assert lower == pytest.approx(textbook(model, one).deviation_beside(NEW, PENDING), rel=1e-3)
            assert (lower <= deviation).all()
            assert lower[2] < 0.8 * deviation[2]

    def test_hypotheses_are_weighed_by_the_likelihood_of_the_values_themselves(self) -> None:
        """All 216 of three kernels, of which the most likely of each are kept."""
        model = model_of(3, kernels="chart")
        found: dict[tuple[float, ...], float] = {}
        masses = []
        for kernel in first_kernels(model.structure, "chart"):
            logs = {}
            for (noise, told), (part, said), bowl in itertools.product(
                NOISES.items(), zip(warp(VALUES[:3]).units.tolist(), UNITS, strict=True), BOWLS
            ):
                log = Textbook(model, kernel, noise, part, bowl).log_likelihood + told + said + kernel.log_prior
                logs[kernel.lengths[0], noise, part, bowl] = log
            likely = sorted(logs, key=lambda one: -logs[one])[:MOST_EACH]
            total = math.fsum(math.exp(logs[one]) for one in likely)
            masses.append(math.fsum(map(math.exp, logs.values())))
            found |= {one: masses[-1] * math.exp(logs[one]) / total for one in likely}
        found = {one: mass for one, mass in found.items() if mass > WEIGHT * sum(masses)}
        weights = {
            (one.kernel.lengths[0], one.noise, one.unit, BOWLS[one.mean % len(BOWLS)]): one.weight
            for one in model.hypotheses
        }
        assert weights == pytest.approx({one: mass / sum(found.values()) for one, mass in found.items()}, rel=1e-5)

    def test_weights_and_probabilities_sum_to_one(self) -> None:
        model = model_of()
        assert math.fsum(one.weight for one in model.hypotheses) == pytest.approx(1)
        assert math.fsum(model.steep.values()) == pytest.approx(1)
        assert None in model.steep
        assert None not in model_of(kernels="steep").steep

    def test_quantiles_are_those_of_draws_from_the_mixture(self) -> None:
        """By 40,000 draws from each hypothesis."""
        model, chance = model_of(), np.random.default_rng(0)
        place, levels = np.array([3.0, 1.0, -1.0]), (0.05, 0.25, 0.5, 0.75, 0.95)
        drawn, weights = [], []
        for one in model.hypotheses:
            mean, left = textbook(model, one).posterior(place[None])
            warped = chance.normal(mean[0], math.sqrt(left[0, 0]), 40_000)
            drawn.append(model.warped.unwarp(warped, one.unit))
            weights.append(np.full(40_000, one.weight / 40_000))
        every, parts = np.concatenate(drawn), np.concatenate(weights)
        order = np.argsort(every)
        expected = np.interp(levels, np.cumsum(parts[order]), every[order])
        assert model.quantiles(place, levels) == pytest.approx(expected, abs=0.05 * every.std())

    @settings(max_examples=40)
    @given(st.lists(st.floats(-12, 12), min_size=6, max_size=6))
    def test_quantiles_are_ordered(self, octaves: list[float]) -> None:
        model = model_of()
        here, there = np.array(octaves[:3]), np.array(octaves[3:])
        for found in (model.quantiles(here, (0.05, 0.5, 0.95)), model.quantiles(here, (0.05, 0.5, 0.95), there)):
            assert found == sorted(found)
            assert np.isfinite(found).all()

    def test_a_place_differs_from_itself_by_nothing(self) -> None:
        model = model_of()
        assert model.quantiles(NEW[0], (0.05, 0.95), NEW[0]) == pytest.approx([0, 0], abs=0.01)

    def test_without_noise_the_posterior_passes_through_the_values(self) -> None:
        model = model_of(deterministic=True)
        assert model.noise == 0.0
        assert model.expected(OLD) == pytest.approx(VALUES, abs=0.2)

    def test_of_many_runs_some_are_kept_where_nothing_is_to_be_found(self) -> None:
        chance = np.random.default_rng(0)
        near = np.rint(chance.uniform(-3, 3, (2 * MOST_RUNS, 3))) / 2
        far = np.array([[-8.0, 0.0, 0.0], [8.0, 8.0, 0.0]])
        values = np.concatenate([chance.normal(size=len(near)), [-50.0, -80.0]])
        model = Model(structure_of(LOG_GRID), np.concatenate([near, far]), values)
        assert len(model.places) == MOST_RUNS
        assert {-50.0, -80.0} <= set(model.values.tolist())

    def test_of_many_runs_a_lucky_one_among_bad_ones_does_not_decide(self) -> None:
        chance = np.random.default_rng(0)
        good, bad = chance.normal(0, 0.3, (MOST_RUNS, 3)), np.array([6.0, 6, 6]) + chance.normal(0, 0.3, (MOST_RUNS, 3))
        values = np.concatenate([np.full(MOST_RUNS, 1.0), np.zeros(MOST_RUNS - 1), [1.5]])
        model = Model(structure_of(LOG_GRID), np.concatenate([good, bad]), values)
        assert (model.values == 1.0).sum() >= MOST_RUNS // 2

    def test_of_many_runs_the_best_and_those_near_it_are_kept(self) -> None:
        chance = np.random.default_rng(0)
        places = np.rint(chance.uniform(-9, 9, (200, 3))) / 2
        values = -(places**2).sum(axis=1)
        model = Model(structure_of(LOG_GRID), places, values)
        assert len(model.places) <= MOST_RUNS
        assert values.max() in model.values
        kept = np.abs(model.places - model.places[model.values.argmax()]).sum(axis=1)
        assert np.median(kept) < np.median(np.abs(places - places[values.argmax()]).sum(axis=1))


class TestWarp:
    def test_known_values(self) -> None:
        values = np.array([90.0, 80.0, -math.inf, 85.0])
        warped = warp(values)
        assert warped.top == 90.0
        assert warped.units == pytest.approx(np.array(PARTS) * 10)
        for unit, row in zip(warped.units, warped.values, strict=True):
            worst = -math.log1p(10 / unit)
            assert row == pytest.approx([0.0, worst, worst - BELOW, -math.log1p(5 / unit)])

    def test_the_jacobian_is_the_slope_of_the_warp(self) -> None:
        """d w / d y by differences, for every value but the best, whose gap stays 0."""
        values, small = np.array([90.0, 80.0, 85.0]), 1e-5
        warped = warp(values)
        logs = np.zeros(len(PARTS))
        for gap, own in zip(90.0 - values, warped.values.T, strict=True):
            logs += np.log((own - -np.log1p((gap + small) / warped.units)) / small)
        assert warped.log_jacobian == pytest.approx(logs, abs=1e-3)

    def test_one_absurd_loss_does_not_hide_what_the_others_say(self) -> None:
        warped = warp(-np.array([0.1, 0.5, 0.4, 2.3, 1e30]))
        assert warped.units.max() < 100
        assert (warped.values[:, 4] < warped.values[:, 3]).all()
        assert (warped.values[1:, 1] < -0.1).all()

    @pytest.mark.parametrize("absurd", [-1.7e308, -1e308, 1e308, 1.7e308])
    def test_a_number_at_the_end_of_all_numbers_is_taken(self, absurd: float) -> None:
        values = np.array([1.0, absurd, 1e-300, -math.inf])
        warped = warp(values)
        assert math.isfinite(warped.top)
        assert (warped.units > 0).all()
        assert np.isfinite(warped.units).all()
        assert np.isfinite(warped.values).all()
        assert np.isfinite(warped.log_jacobian).all()
        assert (warped.values.argmax(axis=1) == values.argmax()).all()

    def test_an_offset_of_all_values_does_not_hide_what_differs(self) -> None:
        near, far = warp(np.array([5.0, 3.0, -1.0])), warp(np.array([10_005.0, 10_003.0, 9_999.0]))
        assert far.values == pytest.approx(near.values)

    @settings(max_examples=100)
    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
    def test_the_order_stays_the_best_is_zero_and_all_come_back(self, values: list[float]) -> None:
        assume(max(values) - min(values) > 1e-6)
        told = np.array(values)
        warped = warp(told)
        order = np.argsort(told, kind="stable")
        for unit, row in zip(warped.units, warped.values, strict=True):
            assert row.max() == 0.0
            assert (np.diff(row[order]) >= 0).all()
            usual = told > told.max() - 99 * float(warped.units[0]) / PARTS[0]
            assert warped.unwarp(row, unit)[usual] == pytest.approx(told[usual], rel=1e-6, abs=1e-6)
