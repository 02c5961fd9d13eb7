"""The finder's curve and search as pure functions: known answers, what changes nothing, and that every search ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs import FinderError
from flatdirs.lr_finder.curve import Curve, Landmarks
from flatdirs.lr_finder.range_search import RangeSearch
from tests.refused import refused

Loss = Callable[[float], float]
NAMES = ("knee", "minimum", "half", "steepest")
INITIAL = 2.0


# --- curves that are known -------------------------------------------------------------------------------------------


def logistic(x: float) -> float:
    """A soft fall around 1e-3 by 1, and a soft rise after 1e-1."""
    return INITIAL - 1 / (1 + math.exp(-(x + 3) / 0.2)) + 0.3 * math.log1p(math.exp((x + 1) / 0.15))


def descent(x: float) -> float:
    """The loss after 20 steps of gradient descent on a quadratic with curvatures 1 and 10, from its own definition."""
    rate = 10**x
    return sum(min(abs(1 - rate * curvature) ** 40, 1e30) for curvature in (1.0, 10.0))


def hinge(x: float) -> float:
    """A straight fall over 1.2 decades with corners rounded over 0.05, and a cliff at 1e-1."""
    fall = 0.05 * (np.logaddexp(0, (x + 2.5) / 0.05) - np.logaddexp(0, (x + 1.3) / 0.05)) / 1.2
    return INITIAL - float(fall) + (0.0 if x < -1 else math.inf) + 0.02 * max(0.0, x + 1.3) ** 2


KNOWN: dict[str, Loss] = {"logistic": logistic, "descent": descent, "hinge": hinge}


def curve_of(loss: Loss, places: np.ndarray, initial: float = INITIAL) -> Curve:
    return Curve(initial, {float(x): loss(float(x)) for x in places})


def by_definition(loss: Loss) -> dict[str, float]:
    """The definitions on a grid of 0.01 decades, the loss in reductions; the knee is left of the half."""
    x = np.arange(-6, -0.5, 0.01)
    y = np.array([loss(float(place)) for place in x])
    bottom = int(np.argmin(y))
    x, y = x[: bottom + 1], y[: bottom + 1]
    slope = np.gradient(y / (INITIAL - y[-1]), x)
    half = int(np.argmax(y <= (INITIAL + y[-1]) / 2))
    curvature = np.gradient(slope, x) / (1 + slope**2) ** 1.5
    places = (np.argmin(curvature[:half]), bottom, half, np.argmin(slope))
    return {name: float(x[place]) for name, place in zip(NAMES, places, strict=True)}


def marks_of(landmarks: Landmarks) -> dict[str, float]:
    return {name: getattr(landmarks, name) for name in NAMES}


@pytest.mark.parametrize("name", list(KNOWN))
def test_points_of_interest_are_those_of_the_definition(name: str) -> None:
    loss = KNOWN[name]
    found, defined = marks_of(curve_of(loss, np.arange(-5, -0.5, 0.1)).landmarks), by_definition(loss)
    slack = dict.fromkeys(NAMES, 0.11)
    if name == "hinge":
        slack["steepest"] = 0.6  # the fall is straight: any of its places is as steep
    if (
        name == "descent"
    ):  # its bottom is flat and lopsided: the parabola stays on the near side, where the loss is as low
        assert loss(found["minimum"]) - loss(defined.pop("minimum")) < 0.02 * INITIAL
    for mark, place in defined.items():
        assert found[mark] == pytest.approx(place, abs=slack[mark]), mark


@pytest.mark.parametrize("wrecked", [math.inf, -math.inf, math.nan, 1e30, 1e300])
def test_diverged_points_poison_nothing(wrecked: float) -> None:
    """Right of the minimum and, where a probe was unlucky, left of it."""
    places = np.arange(-5, -0.5, 0.1)
    clean = curve_of(logistic, places).losses
    expected = Curve(INITIAL, clean).landmarks
    right = {**clean, -0.45: wrecked, 0.5: wrecked}
    assert marks_of(Curve(INITIAL, right).landmarks) == marks_of(expected)
    left = {x: wrecked if abs(x + 3.5) < 0.01 else y for x, y in clean.items()}
    for name, place in marks_of(Curve(INITIAL, left).landmarks).items():
        assert place == pytest.approx(getattr(expected, name), abs=0.1)


GRID = np.arange(-5, 0.01, 0.25)


@cache
def unmoved() -> dict[str, float]:
    """The points of interest of the logistic curve on GRID."""
    return marks_of(curve_of(logistic, GRID).landmarks)


@given(shift=st.integers(-8, 8))
@settings(max_examples=5)
def test_a_factor_on_all_rates_is_a_factor_on_all_picks(shift: int) -> None:
    """Up to the grid on which the fitted curve is read."""
    moved = Curve(INITIAL, {float(x) + shift / 2: logistic(float(x)) for x in GRID})
    for name, place in unmoved().items():
        assert getattr(moved.landmarks, name) == pytest.approx(place + shift / 2, abs=0.011)


@given(constant=st.floats(-100, 100), factor=st.floats(1e-3, 1e3))
@settings(max_examples=8)
def test_the_unit_and_the_zero_of_the_loss_do_not_matter(constant: float, factor: float) -> None:
    """So the mean and the sum of the same losses have the same picks."""
    moved = Curve(factor * INITIAL + constant, {float(x): factor * logistic(float(x)) + constant for x in GRID})
    for name, place in unmoved().items():
        assert getattr(moved.landmarks, name) == pytest.approx(place, abs=0.011)


def test_the_minimum_lies_between_the_neighbours_of_the_lowest_point() -> None:
    """Also where the flank is much longer than the rise behind it."""
    losses = {-3.0: 2.29, -2.5: 2.28, -2.0: 2.25, -1.5: 2.16, -1.0: 1.99, -0.375: 1.756, -0.25: 1.469, -0.1875: 1.514}
    curve = Curve(2.3, {**losses, -0.125: 1.738, -0.0625: 1.903, 0.0: 2.4})
    assert -0.375 <= curve.landmarks.minimum <= -0.1875


# --- searches --------------------------------------------------------------------------------------------------------


def searched(loss: Loss, search: RangeSearch, initial: float = INITIAL) -> Curve:
    """The curve when the search has ended; fails where it repeats itself, leaves its range, or does not end."""
    losses: dict[float, float] = {}
    while (x := search.next(Curve(initial, dict(losses)))) is not None:
        assert all(abs(x - known) > 1e-6 for known in losses), f"probed again: {x}"
        assert math.log10(search.lowest) - 4.01 <= x <= math.log10(search.highest) + 4.01
        losses[x] = loss(x)
        assert len(losses) <= (search.budget or 80)
    return Curve(initial, losses)


def shaped(kind: str, middle: float, width: float, edge: float, noise: float, seed: int) -> Loss:
    """A curve of a kind: falling without end, falling to a floor or a cliff, flat, rising, or nothing but noise."""
    random = np.random.default_rng(seed)

    def loss(x: float) -> float:
        fall = float(np.clip((x - middle) / width, 0, 1))
        values = {
            "monotone": INITIAL - 0.2 * (x - middle),
            "falling": INITIAL - fall,
            "cliff": INITIAL - fall if x < edge else math.inf,
            "rising": INITIAL - fall + 5 * max(0.0, x - edge),
            "flat": INITIAL,
            "worse": INITIAL + 0.1 * fall,
            "wild": float(random.choice([math.inf, math.nan, 1e30, 1.0, 2.0, 3.0])),
            "nothing": math.nan,
        }
        return values[kind] + noise * float(random.normal())

    return loss


KINDS = ("monotone", "falling", "cliff", "rising", "flat", "worse", "wild", "nothing")


@given(
    kind=st.sampled_from(KINDS),
    middle=st.floats(-9, 2),
    width=st.floats(0.02, 2),
    gap=st.floats(0, 3),
    noise=st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.5]),
    lowest=st.integers(-8, -1),
    decades=st.integers(1, 8),
    budget=st.sampled_from([None, 14, 3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12)
@pytest.mark.slow
def test_every_search_ends(
    kind: str,
    middle: float,
    width: float,
    gap: float,
    noise: float,
    lowest: int,
    decades: int,
    budget: int | None,
    seed: int,
) -> None:
    search = RangeSearch(10.0**lowest, 10.0 ** (lowest + decades), budget=budget)
    curve = searched(shaped(kind, middle, width, middle + gap, noise, seed), search)
    if search.problem(curve) is None:
        marks = curve.landmarks
        assert marks.knee <= marks.half <= marks.minimum + 0.011
        assert curve.x[0] - 1 <= marks.knee
        assert marks.minimum <= curve.x[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("lowest", "highest"), [(1e-6, 10.0), (1e-1, 10.0), (1e-7, 1e-4), (1e-3, 1e-2)])
def test_the_answer_is_found_wherever_the_range_lies(lowest: float, highest: float) -> None:
    """The minimum beyond `highest`, the plateau below `lowest`: the range widens, and the answer is the same."""
    search = RangeSearch(lowest, highest, budget=None)
    curve = searched(logistic, search)
    assert search.problem(curve) is None
    defined = by_definition(logistic)
    for name in ("knee", "minimum", "half"):
        assert getattr(curve.landmarks, name) == pytest.approx(defined[name], abs=0.2)


def test_a_loss_that_is_a_little_worse_everywhere_is_looked_below() -> None:
    """Nothing in the range is better than rate 0, nothing is clearly worse: the rates that learn are lower."""

    def loss(x: float) -> float:
        return logistic(x) if x < 0 else INITIAL + 0.15 if x < 2 else 3 * INITIAL

    search = RangeSearch(1.0, 1000.0, budget=None)
    curve = searched(loss, search)
    assert search.problem(curve) is None
    assert curve.landmarks.half == pytest.approx(by_definition(logistic)["half"], abs=0.1)


@pytest.mark.slow
def test_a_threshold_is_kept() -> None:
    """Refined throughout, the window's ends and the half lie between probes 0.1 decades apart."""
    curve = searched(logistic, RangeSearch(budget=None))
    for name in NAMES:
        place = getattr(curve.landmarks, name)
        gaps = [b - a for a, b in zip(curve.x[:-1], curve.x[1:], strict=True) if a - 1e-9 <= place <= b + 1e-9]
        assert min(gaps) <= 0.13, name
    assert len(curve.x) > len(searched(logistic, RangeSearch(budget=None, threshold=0.3)).x)


PROBLEMS: dict[str, tuple[Loss, RangeSearch, str]] = {
    "no minimum": (lambda x: INITIAL - 0.1 * (x + 30), RangeSearch(budget=None), "highest"),
    "no plateau": (lambda x: 1.0 if x < 0 else math.inf, RangeSearch(budget=None), "lowest"),
    "flat": (lambda x: INITIAL, RangeSearch(budget=None), "steps"),
    "all diverge": (lambda x: math.nan, RangeSearch(budget=None), "steps"),
    "budget": (logistic, RangeSearch(budget=2), "budget"),
    "noise": (shaped("cliff", 0.0, 1.0, 0.0, 0.5, 1), RangeSearch(budget=None), "steps"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "noise" else []) for name in PROBLEMS]
)
def test_the_problem_of_a_curve_without_picks(name: str) -> None:
    loss, search, key = PROBLEMS[name]
    problem = search.problem(searched(loss, search))
    assert problem is not None
    assert problem.key == key


def test_a_wrong_range_is_refused() -> None:
    for name, value in (("lowest", 0), ("highest", 1e31), ("threshold", math.nan), ("lowest", True)):
        with refused(FinderError, name):
            RangeSearch(**{name: value})
