"""The chart: an exactly invertible map, so moves undo each other and hold the other coordinates where they are.

Charts are drawn at random (products of elementary row operations, some with fractions) beside those that come with
flatdirs. Tolerance: powers of two are exact; where 1 − momentum ≥ 0.001 is stored as momentum, or a step is a root of
two, a coordinate may move by a few units in the last place per factor, which 1e-11 (relative) covers for exponents as
large as these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flatdirs.errors import ChartError
from flatdirs.space.chart import LARGEST_CONDITION, Axis, Chart, product
from flatdirs.space.grid import Grid, significant
from flatdirs.space.names import label
from flatdirs.space.shipped_charts import describe_chart, named_chart, read_chart

SHIPPED = ("sgd", "sgd_batch", "sgd_plain", "adamw")
START = {"lr": 0.001, "momentum": 0.5, "wd": 0.01, "batch_size": 512, "beta1": 0.9}
CLOSE = 1e-11


def rounding(chart: Chart, name: str) -> float:
    """How far rounded hyperparameters may move an axis, relatively: two roundings of half a unit in the fourth
    digit.
    """
    return 1.2e-3 * sum(abs(n) for axis in chart.axes if axis.name == name for n in axis.exponents.values())


def grid_of(chart: Chart, **changes: float) -> Grid:
    values = {**START, **changes}
    return Grid(chart, {name: values[name] for name in chart.hyperparameters})


FACTORS = {
    "whole": [-2, -1, 1, 2],
    "fractions": [-2, -1, 1, Fraction(1, 2), Fraction(-1, 2), Fraction(3, 10), Fraction(-4, 3)],
}


@st.composite
def drawn_charts(draw: st.DrawFn) -> Chart:
    size = draw(st.integers(1, 5))
    matrix = np.eye(size, dtype=np.int64).astype(object)
    indices, factors = st.integers(0, size - 1), FACTORS[draw(st.sampled_from(list(FACTORS)))]
    for _ in range(draw(st.integers(0, 6))):
        row, other, factor = draw(indices), draw(indices), draw(st.sampled_from(factors))
        if row != other:
            matrix[row] += factor * matrix[other]
        else:
            matrix[row] *= factor if isinstance(factor, Fraction) else -1
    assume(np.linalg.cond(matrix.astype(float)) < LARGEST_CONDITION)
    names = tuple(f"h{n}" for n in range(size))
    axes = tuple(
        Axis(f"c{n}", {name: power for name, power in zip(names, row, strict=True) if power})
        for n, row in enumerate(matrix)
    )
    step = draw(st.sampled_from([2.0, math.sqrt(2), 1.4142, 2 ** (1 / 3), 4.0, 1.7]))
    one_minus = frozenset(draw(st.sets(st.sampled_from(names), max_size=1)))
    return Chart("drawn", names, axes, one_minus=one_minus, follows="h0", step=step)


def drawn_grid(draw: st.DrawFn) -> Grid:
    chart = draw(drawn_charts())
    ordinary, fractions = st.floats(1e-4, 1e4), st.floats(0.0, 0.99)
    start = {name: draw(fractions if name in chart.one_minus else ordinary) for name in chart.hyperparameters}
    return Grid(chart, start)


@st.composite
def drawn_points(draw: st.DrawFn, reach: int = 3) -> tuple[Grid, tuple[int, ...]]:
    grid = drawn_grid(draw)
    point = tuple(draw(st.integers(-reach, reach)) for _ in grid.chart.axes)
    return grid, point


@st.composite
def shipped_points(draw: st.DrawFn) -> tuple[Grid, tuple[int, ...]]:
    chart = named_chart(draw(st.sampled_from(SHIPPED)))
    momentum = draw(st.sampled_from([0.0, 0.5, 0.75, 0.9, 0.95]))
    grid = grid_of(chart, momentum=momentum, batch_size=draw(st.sampled_from([32, 100, 512])))
    point = tuple(draw(st.integers(-4, 4)) for _ in chart.axes)
    return grid, point


def representable(grid: Grid, point: tuple[int, ...]) -> bool:
    """Whether floats hold the point well: 1 − momentum neither above 1 nor so small that momentum rounds to 1."""
    values = grid.hyperparameters(point)
    inner = [grid.chart.inner(name, values[name]) for name in grid.chart.one_minus]
    moved = any(values[name] != grid.start[name] for name in grid.chart.one_minus)
    return all(1e-3 < x <= 1 for x in inner) or not moved


@settings(max_examples=60)
@given(st.one_of(drawn_points(), shipped_points()), st.data())
def test_a_move_and_its_reverse_are_the_identity(where: tuple[Grid, tuple[int, ...]], data: st.DataObject) -> None:
    grid, point = where
    axis = data.draw(st.integers(0, len(point) - 1))
    for there, back in (("double", "halve"), ("halve", "double")):
        returned = grid.move(grid.move(point, axis, there), axis, back)  # type: ignore[arg-type]
        assert returned == point
        assert grid.hyperparameters(returned) == grid.hyperparameters(point)


@settings(max_examples=60)
@given(st.one_of(drawn_points(reach=2), shipped_points()), st.data())
def test_a_move_multiplies_one_coordinate_and_leaves_the_others(
    where: tuple[Grid, tuple[int, ...]], data: st.DataObject
) -> None:
    grid, point = where
    axis = data.draw(st.integers(0, len(point) - 1))
    moved = grid.move(point, axis, "double")
    if not (representable(grid, point) and representable(grid, moved)):
        return
    rounded = any(grid.hyperparameters(p)[n] < 64 for p in (point, moved) for n in grid.chart.whole)
    if rounded:
        return  # batch sizes have their own test
    before, after = grid.coordinates(point), grid.coordinates(moved)
    factor = round(12 * math.log2(grid.chart.step)) / 12 if grid.chart.step == 1.4142 else None
    step = 2**factor if factor else grid.chart.step
    for number, name in enumerate(before):
        expected = before[name] * (step if number == axis else 1.0)
        assert after[name] == pytest.approx(expected, rel=rounding(grid.chart, name))


@settings(max_examples=60)
@given(st.one_of(drawn_points(), shipped_points()))
def test_what_is_run_has_four_significant_digits(where: tuple[Grid, tuple[int, ...]]) -> None:
    grid, point = where
    for name, value in grid.hyperparameters(point).items():
        if name in grid.chart.free and value != grid.start[name] and name not in grid.chart.whole:
            inner = 1 - value if name in grid.chart.one_minus else value
            assert inner == pytest.approx(float(f"{inner:.4g}"), rel=1e-9)
            assert len(repr(value)) <= 24
            assert name in grid.chart.one_minus or value == float(f"{value:.4g}")


def test_values_print_as_people_would_type_them() -> None:
    grid = Grid(named_chart("sgd").refine(2), {"lr": 0.096, "momentum": 0.9, "wd": 0.0029})
    assert grid.hyperparameters((2, 0, 0)) == {"lr": 0.192, "momentum": 0.9, "wd": 0.0029}
    assert grid.hyperparameters((0, 1, 0))["momentum"] == 0.8586
    assert grid.hyperparameters((0, -6, 0))["momentum"] == 0.9875


@settings(max_examples=60)
@given(st.one_of(drawn_points(), shipped_points()))
def test_the_map_inverts(where: tuple[Grid, tuple[int, ...]]) -> None:
    grid, point = where
    if representable(grid, point) and grid.out_of_bounds(point) is None:
        assert grid.locate(grid.hyperparameters(point)) == point


@settings(max_examples=60)
@given(drawn_charts())
def test_the_inverse_matrix_is_exact(chart: Chart) -> None:
    assert (chart.matrix @ chart.inverse == np.eye(len(chart.axes), dtype=np.int64)).all()
    assert all(isinstance(entry, int | Fraction) for entry in chart.inverse.flat)


@settings(max_examples=60)
@given(drawn_charts())
def test_a_chart_survives_being_described_and_read(chart: Chart) -> None:
    assert read_chart(json.loads(json.dumps(describe_chart(chart)))) == chart


class TestFractions:
    """lr·batch_size^−1/2 and the batch size: a fourfold batch takes twice the learning rate."""

    def chart(self, power: Any) -> Chart:
        axes = Axis("steep", {"lr": 1, "batch_size": power}), Axis("batch_size", {"batch_size": 1})
        return Chart("mine", ("lr", "batch_size"), axes, whole=frozenset({"batch_size"}))

    @pytest.mark.parametrize("power", ["-1/2", "-0.5", -0.5, Fraction(-1, 2), "-2/4"])
    def test_however_they_are_written_they_are_one(self, power: Any) -> None:
        assert self.chart(power) == self.chart(Fraction(-1, 2))
        assert self.chart(power).matrix.tolist() == [[1, Fraction(-1, 2)], [0, 1]]

    def test_decimals_are_taken_as_they_are_written(self) -> None:
        assert self.chart(-0.3).matrix[0, 1] == Fraction(-3, 10)

    def test_steps_are_whole_and_values_follow(self) -> None:
        grid = Grid(self.chart("-1/2"), {"lr": 0.1, "batch_size": 64})
        assert grid.hyperparameters((0, 2)) == {"lr": 0.2, "batch_size": 256}
        assert grid.hyperparameters((0, 1)) == {"lr": 0.1414, "batch_size": 128}
        assert grid.locate({"lr": 0.1414, "batch_size": 128}) == (0, 1)
        assert grid.locate({"lr": 0.1, "batch_size": 128}) is None

    def test_a_rounded_batch_size_is_made_up_for(self) -> None:
        grid = Grid(self.chart("-1/2"), {"lr": 0.1, "batch_size": 100})
        assert grid.hyperparameters((0, -3)) == {"lr": 0.03606, "batch_size": 13}  # 0.1·(13/100)^½

    def test_an_axis_whose_whole_steps_are_whole_is_kept_first(self) -> None:
        axes = (
            Axis("a", {"lr": 1, "wd": 1, "batch_size": -1}),
            Axis("b", {"wd": 1, "batch_size": "-1/2"}),
            Axis("batch_size", {"batch_size": 1}),
        )
        chart = Chart("mine", ("lr", "wd", "batch_size"), axes).fix(["lr"])
        assert [axis.name for axis in chart.axes] == ["a", "batch_size"]
        assert [axis.name for axis in Chart("mine", ("lr", "wd", "batch_size"), axes).fix(["batch_size"]).axes] == [
            "a",
            "wd",
        ]

    def test_an_axis_of_one_hyperparameter_moves_it_by_whole_steps(self) -> None:
        two = Chart("two", ("a", "b"), (Axis("x", {"a": 1, "b": 2}), Axis("y", {"a": 1, "b": 3})), follows=None)
        assert two.fix(["a"]).response(0) == {"b": 1}

    def test_names(self) -> None:
        powers = {"lr": 1, "momentum": -1, "batch_size": Fraction(-1, 2)}
        assert product(powers, {"momentum"}) == "lr·batch_size^−0.5/(1−momentum)"
        assert product({"momentum": 1, "wd": 0}, {"momentum"}) == "1−momentum"
        assert product({"momentum": 1, "wd": 1}, {"momentum"}) == "(1−momentum)·wd"


def test_a_chart_may_be_refined_once_and_an_unrefined_one_is_described_as_ever() -> None:
    chart = named_chart("sgd")
    fine = chart.refine(2)
    assert fine.step == pytest.approx(math.sqrt(2))
    assert fine.parts == 2
    assert fine.refine(2) is fine
    assert read_chart(describe_chart(fine)) == fine
    assert "parts" not in describe_chart(chart)
    assert read_chart(describe_chart(chart)).parts == 1
    start = {"lr": 0.1, "momentum": 0.5, "wd": 1e-3}
    assert Grid(fine, start).hyperparameters((4, -2, 6)) == Grid(chart, start).hyperparameters((2, -1, 3))


def test_between_points_is_no_point() -> None:
    grid = grid_of(named_chart("sgd"))
    assert grid.locate({"lr": 0.003, "momentum": 0.5, "wd": 0.01}) is None
    assert grid.locate({"lr": 0.0, "momentum": 0.5, "wd": 0.01}) is None
    assert grid.locate({"lr": 0.001, "momentum": 1.0, "wd": 0.01}) is None
    assert grid.locate({"lr": 1e308, "momentum": 0.5, "wd": 1e-308}) is None


@pytest.mark.parametrize(
    ("axis", "direction", "expected"),
    [
        (0, "double", {"lr": 0.002, "momentum": 0.5, "wd": 0.01}),
        (1, "halve", {"lr": 0.0005, "momentum": 0.75, "wd": 0.01}),
        (1, "double", {"lr": 0.002, "momentum": 0.0, "wd": 0.01}),
        (2, "halve", {"lr": 0.002, "momentum": 0.5, "wd": 0.005}),
    ],
)
def test_moves_of_the_source(axis: int, direction: Any, expected: dict[str, float]) -> None:
    grid = grid_of(named_chart("sgd"))
    assert grid.hyperparameters(grid.move(grid.origin, axis, direction)) == expected


@pytest.mark.parametrize("step", [math.sqrt(2), 1.4142])
def test_two_steps_of_root_two_are_one_doubling(step: float) -> None:
    fine = Grid(read_chart({**describe_chart(named_chart("sgd")), "step": step}), grid_of(named_chart("sgd")).start)
    coarse = grid_of(named_chart("sgd"))
    for count in range(-6, 7):
        assert fine.hyperparameters((2 * count, -4, -2)) == coarse.hyperparameters((count, -2, -1))
    assert fine.hyperparameters((1, 0, 0))["lr"] == 0.001414


@pytest.mark.parametrize("twelfths", range(1, 13))
def test_twelve_steps_of_a_twelfth_of_an_octave_are_whole_octaves(twelfths: int) -> None:
    chart = Chart("one", ("x",), (Axis("x", {"x": 1}),), follows="x", step=2 ** (twelfths / 12))
    assert Grid(chart, {"x": 0.3}).hyperparameters((12,)) == {"x": significant(math.ldexp(0.3, twelfths))}
    assert Grid(chart, {"x": 0.3}).hyperparameters((-12,)) == {"x": significant(math.ldexp(0.3, -twelfths))}


class TestBatchSize:
    def grid(self, start: int = 100, step: float = 2.0) -> Grid:
        chart = read_chart({**describe_chart(named_chart("sgd_batch")), "step": step})
        return grid_of(chart, batch_size=start)

    def test_is_rounded_once_and_the_learning_rate_follows_it(self) -> None:
        grid = self.grid()
        values = grid.hyperparameters((0, 0, 0, -3))  # 100 / 8 = 12.5
        assert values["batch_size"] == 13
        assert isinstance(values["batch_size"], int)
        assert values["lr"] == pytest.approx(0.001 * 13 / 100, rel=CLOSE)

    @pytest.mark.parametrize("step", [2.0, math.sqrt(2)])
    def test_rounding_never_reaches_the_first_coordinate(self, step: float) -> None:
        grid = self.grid(step=step)
        wanted = grid.coordinates(grid.origin)["lr·wd/((1−momentum)·batch_size)"]
        for count in range(-6, 9):
            there = grid.coordinates((0, 0, 0, count))["lr·wd/((1−momentum)·batch_size)"]
            assert there == pytest.approx(wanted, rel=1e-4)

    def test_there_and_back_does_not_accumulate_rounding(self) -> None:
        grid = self.grid(start=75)
        point = grid.origin
        for direction in ("halve",) * 5 + ("double",) * 5:
            point = grid.move(point, 3, direction)  # type: ignore[arg-type]
        assert grid.hyperparameters(point) == grid.hyperparameters(grid.origin)

    def test_one_is_a_bound_even_without_a_bound(self) -> None:
        """No point is run twice under two names: below 1 every batch size would be rounded to the same 1."""
        settings_of = describe_chart(named_chart("sgd_batch"))
        settings_of["bounds"] = {}
        grid = grid_of(read_chart(settings_of), batch_size=4)
        assert grid.out_of_bounds((0, 0, 0, -2)) is None
        assert "batch_size" in str(grid.out_of_bounds((0, 0, 0, -3)))


class TestBounds:
    def test_momentum_stops_at_zero(self) -> None:
        grid = grid_of(named_chart("sgd"))
        assert grid.out_of_bounds((0, 1, 0)) is None  # momentum = 0 itself
        assert "momentum" in str(grid.out_of_bounds((0, 2, 0)))

    def test_a_user_bound_is_named_and_its_own_value_is_inside(self) -> None:
        chart = named_chart("sgd").within({"lr": (0.0005, 0.004)})
        grid = grid_of(chart)
        assert grid.out_of_bounds((2, 0, 0)) is None
        assert "lr would rise above 0.004" in str(grid.out_of_bounds((3, 0, 0)))
        assert grid.out_of_bounds((-1, 0, 0)) is None
        assert "lr would fall below 0.0005" in str(grid.out_of_bounds((-2, 0, 0)))

    def test_a_bound_met_up_to_the_last_bit_is_inside(self) -> None:
        chart = named_chart("sgd").within({"lr": (None, 0.3)})
        assert grid_of(chart, lr=0.1 * 3 / 8).out_of_bounds((3, 0, 0)) is None

    def test_the_narrower_bound_counts(self) -> None:
        chart = named_chart("sgd").within({"lr": (1e-4, 1.0)}).within({"lr": (1e-5, 0.1)})
        assert chart.bounds["lr"] == (1e-4, 0.1)

    @pytest.mark.parametrize("point", [(5000, 0, 0), (-5000, 0, 0), (0, -5000, 0), (0, 0, 5000)])
    def test_the_end_of_the_floats_is_a_bound(self, point: tuple[int, ...]) -> None:
        assert "floats" in str(grid_of(named_chart("sgd")).out_of_bounds(point))


class TestOtherCharts:
    @pytest.mark.parametrize("name", SHIPPED)
    def test_raw_moves_one_hyperparameter_an_axis(self, name: str) -> None:
        chart = named_chart(name).raw()
        assert [chart.response(axis) for axis in range(len(chart.axes))] == [{n: 1} for n in chart.hyperparameters]
        grid = grid_of(chart)
        for axis, moved in enumerate(chart.hyperparameters):
            values = grid.hyperparameters(grid.move(grid.origin, axis, "halve"))
            assert [n for n in values if values[n] != grid.start[n]] == [moved]

    def test_raw_keeps_the_first_directions(self) -> None:
        assert {a.name: a.first for a in named_chart("sgd").raw().axes} == {
            "lr": "double",
            "1−momentum": "double",
            "wd": "halve",
        }

    @pytest.mark.parametrize(
        ("fixed", "axes"),
        [
            (["momentum"], ["lr·wd/(1−momentum)", "wd"]),
            (["wd"], ["lr·wd/(1−momentum)", "1−momentum"]),
            (["momentum", "wd"], ["lr"]),
            (["lr", "momentum"], ["wd"]),
            (["lr"], ["lr·wd/(1−momentum)", "1−momentum"]),
        ],
    )
    def test_fixing_keeps_the_axes_that_come_first(self, fixed: list[str], axes: list[str]) -> None:
        chart = named_chart("sgd").fix(fixed)
        assert [axis.name for axis in chart.axes] == axes
        grid = grid_of(chart)
        for axis in range(len(axes)):
            values = grid.hyperparameters(grid.move(grid.origin, axis, "halve"))
            assert all(values[name] == START[name] for name in fixed)

    def test_an_axis_of_one_hyperparameter_has_its_name_and_its_value(self) -> None:
        chart = named_chart("sgd").fix(["momentum", "wd"])
        assert chart.coordinates(START) == {"lr": START["lr"]}
        assert read_chart(describe_chart(chart)) == chart
        assert chart.fix([]) == chart

    def test_a_fixed_hyperparameter_may_be_zero(self) -> None:
        chart = named_chart("sgd").fix(["wd"])
        grid = grid_of(chart, wd=0.0)
        assert grid.hyperparameters((1, 0))["wd"] == 0.0

    @pytest.mark.parametrize("name", SHIPPED)
    def test_shipped_charts_move_the_learning_rate_with_the_first_axis_alone(self, name: str) -> None:
        assert named_chart(name).response(0) == {"lr": 1}

    def test_labels(self) -> None:
        assert (label("lr"), label("momentum", one_minus=True), label("own")) == ("lr", "1−momentum", "own")


SGD = describe_chart(named_chart("sgd"))


def changed(**changes: Any) -> dict[str, Any]:
    return {**SGD, **changes}


@pytest.mark.parametrize(
    ("settings_of", "key"),
    [
        (changed(step=1.0), "chart.step"),
        (changed(step=math.nan), "chart.step"),
        (changed(one_minus=["momentun"]), "chart.one_minus"),
        (changed(whole=["size"]), "chart.whole"),
        (changed(bounds={"rate": [0, 1]}), "chart.bounds"),
        (changed(bounds={"lr": [1, 0]}), "chart.bounds.lr"),
        (changed(bounds={"lr": 3}), "chart.bounds.lr"),
        (changed(bounds={"lr": ["a", 1]}), "chart.bounds.lr"),
        (changed(follows="rate"), "chart.follows"),
        (changed(fixed=["rate"]), "chart.fixed"),
        (changed(hyperparameters=["lr", "momentum"]), "chart.axes"),
        (changed(hyperparameters=["lr", "momentum", "wd", "momentum"]), "chart.hyperparameters"),
        (changed(axes=SGD["axes"][:2]), "chart.axes"),
        (changed(axes=[SGD["axes"][0]] * 3), "chart.hyperparameters"),
        (changed(axes=[{**SGD["axes"][0], "exponents": {"momentum": 2, "wd": "1/3"}}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{**SGD["axes"][0], "exponents": {"lr": 0.0005}}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{**SGD["axes"][0], "exponents": {"lr": 1e-320}}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{**SGD["axes"][0], "exponents": {"lr": "1/0"}}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{**SGD["axes"][0], "exponents": {"lr": "1e999999999"}}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{**SGD["axes"][0], "exponents": {"lr": True}}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{**SGD["axes"][0], "exponents": 3}, *SGD["axes"][1:]]), "chart"),
        (changed(axes=[{**SGD["axes"][0], "first": "up"}, *SGD["axes"][1:]]), "chart.axes"),
        (changed(axes=[{"name": "x"}]), "chart"),
        ({}, "chart"),
    ],
)
def test_a_chart_that_cannot_be_read_names_the_key(settings_of: dict[str, Any], key: str) -> None:
    with pytest.raises(ChartError) as refusal:
        read_chart(settings_of)
    assert refusal.value.key == key


@pytest.mark.parametrize(
    ("start", "key"),
    [
        ({"momentum": 1.2}, "start.momentum"),
        ({"momentum": 1.0}, "start.momentum"),
        ({"momentum": -0.1}, "start.momentum"),
        ({"lr": -1.0}, "start.lr"),
        ({"lr": 0.0}, "start.lr"),
        ({"lr": math.nan}, "start.lr"),
        ({"wd": math.inf}, "start.wd"),
        ({"wd": "much"}, "start.wd"),
        ({"batch_size": 12.5}, "start.batch_size"),
        ({"batch_size": 0}, "start.batch_size"),
    ],
)
def test_a_start_that_cannot_stand_on_the_chart_names_the_key(start: dict[str, Any], key: str) -> None:
    with pytest.raises(ChartError) as refusal:
        grid_of(named_chart("sgd_batch"), **start)
    assert refusal.value.key == key


def refused(make: Callable[[], object]) -> str:
    """The key of the refusal."""
    with pytest.raises(ChartError) as refusal:
        make()
    return refusal.value.key


def test_other_refusals_name_the_key() -> None:
    sgd = named_chart("sgd")
    assert refused(lambda: Grid(sgd, {"lr": 0.1, "wd": 0.1})) == "start.momentum"
    assert refused(lambda: grid_of(sgd.within({"lr": (0.1, 1.0)}))) == "start.lr"
    assert refused(lambda: named_chart("sdg")) == "chart"
    assert refused(lambda: sgd.fix(["rate"])) == "fixed"
    assert refused(lambda: sgd.fix(["lr", "momentum", "wd"])) == "fixed"


def test_long_names_are_those_of_the_short_ones() -> None:
    axes = Axis("lr·wd", {"learning_rate": 1, "weight_decay": 1}), Axis("wd", {"weight_decay": 1})
    long = Chart(
        "x", ("learning_rate", "weight_decay"), axes, bounds={"weight_decay": (1e-6, 1.0)}, follows="learning_rate"
    )
    short_axes = Axis("lr·wd", {"lr": 1, "wd": 1}), Axis("wd", {"wd": 1})
    assert long == Chart("x", ("lr", "wd"), short_axes, bounds={"wd": (1e-6, 1.0)})
    assert Grid(long, {"learning_rate": 0.1, "weight_decay": 1e-3}) == Grid(long, {"lr": 0.1, "wd": 1e-3})
    assert long.fix(["weight_decay"]) == long.fix(["wd"])
    assert long.within({"learning_rate": (None, 1.0)}).bounds["lr"] == (None, 1.0)
    twice = Axis("a", {"lr": 1}), Axis("b", {"learning_rate": 1})
    assert refused(lambda: Chart("twice", ("lr", "learning_rate"), twice)) == "chart.hyperparameters"
