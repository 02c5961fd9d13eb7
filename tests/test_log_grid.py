"""The grid in octaves: whatever the bounds are, places and points lead to each other and stay inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs.search import grid_chart
from flatdirs.space.chart import Axis
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import SAME, LogGrid, among
from flatdirs.space.shipped_charts import named_chart
from tests.searches import grid_of

FURTHER = (
    Further("dropout", 0.1, 0, 0.5),
    Further("mix", 0.5, 0.0213, 0.98765, scale="logit"),
    Further("layers", 3, 2, 8, whole=True),
    Further("keep", 0.8, 0.5, 1.0, step=0.1),
    Further("eps", 1e-3, 1.2345678e-6, 1),
)
START = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4, "batch_size": 100}
SGD = named_chart("sgd_batch")
FRACTIONS = replace(SGD, axes=(Axis("steep", {"lr": 1, "wd": "1/3", "batch_size": -0.5}), *SGD.axes[1:]))  # type: ignore[dict-item]


@st.composite
def walled(draw: st.DrawFn) -> Grid:
    """A chart with bounds that hardly ever lie on the grid."""
    bounds = {
        "lr": (0.1 / draw(st.floats(1, 50)), 0.1 * draw(st.floats(1, 50))),
        "momentum": (draw(st.floats(0, 0.9)), draw(st.floats(0.9, 0.9999))),
        "wd": (5e-4 / draw(st.floats(1, 50)), None),
        "batch_size": (draw(st.integers(1, 100)), draw(st.integers(100, 1000))),
    }
    chart, start = with_further(draw(st.sampled_from([SGD, FRACTIONS])).within(bounds), FURTHER)
    return Grid(grid_chart("flatdirs", chart), {**START, **start})


class TestPlaces:
    @settings(max_examples=60)
    @given(walled(), st.integers(0, 10_000))
    def test_a_snapped_place_is_within_bounds_and_so_is_its_point(self, grid: Grid, seed: int) -> None:
        """Far outside or inside, on bounds of any digits, with a batch size whose rounding lr makes up for."""
        log_grid = LogGrid(grid)
        drawn = np.random.default_rng(seed).normal(0, 6, (12, len(log_grid.names)))
        places = log_grid.snapped(drawn)
        assert log_grid.inside(places).all()
        for place in places:
            point = log_grid.point(place)
            assert grid.out_of_bounds(point) is None
            assert np.abs(log_grid.octaves(np.array([point], dtype=float))[0] - place).max() < 2 * SAME

    @settings(max_examples=30)
    @given(st.integers(0, 10_000))
    def test_without_bounds_all_points_are_whole_steps(self, seed: int) -> None:
        """Also where a step along an axis is a part of a step of a hyperparameter."""
        log_grid = LogGrid(Grid(grid_chart("flatdirs", replace(FRACTIONS, bounds={}, whole=frozenset())), START))
        places = log_grid.snapped(np.random.default_rng(seed).normal(0, 6, (12, 4)))
        points = [log_grid.point(place) for place in places]
        assert all(isinstance(step, int) for point in points for step in point)
        assert log_grid.octaves(np.array(points, dtype=float)) == pytest.approx(places)

    def test_what_lies_beyond_a_bound_is_brought_onto_it(self) -> None:
        grid = grid_of(bounds={"momentum": (0.0, 0.99), "lr": (0.03, 0.3)})
        log_grid = LogGrid(grid)
        (place,) = log_grid.snapped(np.array([[20.0, -20.0, 0.0]]))
        values = grid.hyperparameters(log_grid.point(place))
        assert (values["lr"], values["momentum"]) == (0.3, 0.99)

    def test_places_come_once_and_are_found_again(self) -> None:
        log_grid = LogGrid(grid_of())
        drawn = np.array([[0.0, 0.0, 0.0], [0.02, 0.0, 0.1], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        places = log_grid.snapped(drawn)
        assert places == pytest.approx(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
        assert among(places + 1e-9, places[:1]).tolist() == [True, False]

    @pytest.mark.parametrize(("steps", "size"), [(-20, 1), (-3, 35), (1, 141)])
    def test_whole_values_lie_where_they_are_rounded_to(self, steps: int, size: int) -> None:
        grid = grid_of("sgd_batch", batch_size=100)
        point = (0, 0, 0, steps)
        place = LogGrid(grid).octaves(np.array([point], dtype=float))[0]
        assert 100 * 2.0 ** place[3] == pytest.approx(size)
        assert grid.hyperparameters(point)["batch_size"] == size
