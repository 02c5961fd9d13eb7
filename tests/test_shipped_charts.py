"""The charts that come with flatdirs: what each holds fixed along its flat axes, by formulas written out here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.backend.sampler import typical_start
from flatdirs.config.tune import read_tune
from flatdirs.resources import conf_folder
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart
from tests.conftest import composed

FILES = sorted((conf_folder() / "chart").glob("*.yaml"))
Values = Mapping[str, float]
STEEP: dict[str, Callable[[Values], float]] = {  # what all axes but the first leave as it is
    "sgd": lambda v: v["lr"] * v["wd"] / (1 - v["momentum"]),
    "sgd_plain": lambda v: v["lr"] / (1 - v["momentum"]),
    "sgd_batch": lambda v: v["lr"] * v["wd"] / (1 - v["momentum"]) / v["batch_size"],
    "adamw": lambda v: v["lr"] * v["wd"],  # timescales in a run, but for its steps
    "adamw_batch": lambda v: v["lr"] * v["wd"] / v["batch_size"],  # timescales in an epoch, but for its examples
    "adam": lambda v: v["lr"],
    "adam_batch": lambda v: v["lr"] / math.sqrt(v["batch_size"]),
    "muon": lambda v: v["lr"] * v["wd"],
    "lora": lambda v: v["lr"] * v["lora_alpha"] / v["lora_rank"],
    "lr_only": lambda v: v["lr"],
    "cdat": lambda v: v["sigma"],
    "cdat_adamw": lambda v: v["sigma"],
    "greedy": lambda v: 1 - v["momentum"],
    "greedy_adamw": lambda v: v["wd"],
}
WITH_THE_BATCH: dict[str, list[Callable[[Values], float]]] = {  # what a move of the batch size leaves as well
    "sgd_batch": [lambda v: v["wd"], lambda v: v["momentum"], lambda v: v["lr"] / v["batch_size"]],
    "adam_batch": [lambda v: v["wd"], lambda v: v["beta1"]],
    "adamw_batch": [
        lambda v: v["lr"] / math.sqrt(v["batch_size"]),
        lambda v: v["beta1"],
        lambda v: (1 - v["beta2"]) / v["batch_size"],
    ],
}
ROUNDED = 3e-3  # relative: up to five values of four digits


@st.composite
def points(draw: st.DrawFn, name: str, axes: list[int]) -> tuple[Grid, tuple[int, ...]]:
    """A start of powers of two beside the typical one, and whole octaves along some axes, within bounds."""
    chart = named_chart(name)
    typical = {**typical_start(chart), "batch_size": 256, "lora_rank": 64, "lora_alpha": 64}
    start = {key: typical[key] for key in chart.hyperparameters}
    for key in {"lr", "wd"} & set(start):
        start[key] *= 2.0 ** draw(st.integers(-6, 6))
    grid = Grid(chart, start)
    point = [draw(st.integers(-3, 3)) if axis in axes else 0 for axis in range(len(chart.axes))]
    inside = grid.out_of_bounds(point) is None
    return grid, tuple(point) if inside else grid.origin


@pytest.mark.parametrize("name", STEEP)
@given(data=st.data())
def test_flat_axes_hold_the_steep_product(name: str, data: st.DataObject) -> None:
    every = range(1, len(named_chart(name).axes))
    grid, point = data.draw(points(name, list(every)))
    before, after = grid.hyperparameters(grid.origin), grid.hyperparameters(point)
    assert STEEP[name](after) == pytest.approx(STEEP[name](before), rel=ROUNDED)


@pytest.mark.parametrize("name", STEEP)
@given(step=st.integers(-3, 1))
def test_the_first_axis_moves_its_product_and_one_hyperparameter(name: str, step: int) -> None:
    chart = named_chart(name)
    grid = Grid(chart, {**typical_start(chart)})
    there = grid.hyperparameters((step, *[0] * (len(chart.axes) - 1)))
    assert STEEP[name](there) == pytest.approx(STEEP[name](grid.start) * 2.0**step, rel=ROUNDED)
    assert sum(there[key] != grid.start[key] for key in chart.hyperparameters) == (step != 0)


@pytest.mark.parametrize("name", WITH_THE_BATCH)
@given(data=st.data())
def test_what_a_move_of_the_batch_size_holds(name: str, data: st.DataObject) -> None:
    axis = [one.name for one in named_chart(name).axes].index("batch_size")
    grid, point = data.draw(points(name, [axis]))
    before, after = grid.hyperparameters(grid.origin), grid.hyperparameters(point)
    assert after["batch_size"] == before["batch_size"] * 2 ** point[axis]
    for law in WITH_THE_BATCH[name]:
        assert law(after) == pytest.approx(law(before), rel=ROUNDED)


def test_a_fourfold_batch_for_adamw() -> None:
    """As many timescales in as many epochs, twice the learning rate, and beta2 to the fourth power, nearly."""
    grid = Grid(named_chart("adamw_batch"), {"lr": 1e-3, "wd": 0.1, "beta1": 0.9, "batch_size": 64, "beta2": 0.99})
    moved = grid.hyperparameters((0, 0, 0, 2, 0))
    assert moved == {"lr": 2e-3, "wd": 0.2, "beta1": 0.9, "batch_size": 256, "beta2": 0.96}
    assert moved["beta2"] == pytest.approx(0.99**4, abs=1e-3)


def test_the_learning_rate_alone_leaves_the_others_at_their_start() -> None:
    grid = read_tune(composed("tune", "chart=lr_only", "start=typical", "start.momentum=0.95")).plan.grid
    assert grid.chart.free == ("lr",)
    assert grid.hyperparameters((2,)) == {"lr": 0.2, "momentum": 0.95, "wd": 5e-4}


def test_of_a_command_it_leaves_the_others_as_they_are() -> None:
    words = ["python", "t.py", "--lr", "0.1", "--momentum", "0.9", "--wd", "5e-4", "--drop", "{dropout:0.1}"]
    config = read_tune(composed("tune", "chart=lr_only", "--", *words))
    assert config.plan.grid.chart.free == ("lr", "dropout")
    assert set(config.held) == {"momentum", "wd"}


def test_our_trainer_has_no_beta2_to_search() -> None:
    words = ("optimizer=adamw", "chart=adamw_batch", "start=typical", "start.lr=0.001")
    chart = read_tune(composed("tune", *words)).plan.grid.chart
    assert chart.free == ("lr", "wd", "beta1", "batch_size")


def test_every_file_is_here() -> None:
    assert {path.stem for path in FILES} == set(STEEP)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_its_formula_and_source(path: Path) -> None:
    title, formula, source = path.read_text(encoding="utf-8").splitlines()[:3]
    assert title.count(": ") >= 1
    assert formula.startswith("# formula: ")
    assert source.startswith("# source: https://") or source == "# source: ours"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_two_charts_are_one_under_two_names(path: Path) -> None:
    mine = named_chart(path.stem)
    others = [named_chart(other.stem) for other in FILES if other != path]
    assert not any({*mine.hyperparameters} == {*one.hyperparameters} and mine.axes == one.axes for one in others)
