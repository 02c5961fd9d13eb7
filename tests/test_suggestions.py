"""The default search as a function of runs: what changes no suggestion, pending runs, many axes, absurd values."""

from __future__ import annotations

import itertools
import math
import random as shuffles
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs.backend.sampler import typical_start
from flatdirs.search import grid_chart
from flatdirs.search.bayes import MOST_REPLICATES, incumbent, suggest
from flatdirs.search.flatness import find
from flatdirs.search.known import BayesSettings
from flatdirs.search.prediction import best_expected, predict
from flatdirs.search.remaining import left_after
from flatdirs.search.types import Run, RunId
from flatdirs.space.chart import Point
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart
from tests.runs import result
from tests.searches import Search, bare, bowl_at, grid_of, noisy, search_on

FURTHER = (
    Further("dropout", 0.1, 0, 0.5),
    Further("eps", 1e-3, 1e-6, 1),
    Further("mix", 0.5, 0.02, 0.98, scale="logit"),
    Further("layers", 3, 2, 8, whole=True),
)


def eight_axes() -> Grid:
    """lr, momentum, wd, batch_size and four further ones."""
    chart, start = with_further(named_chart("sgd_batch"), FURTHER)
    return Grid(grid_chart("flatdirs", chart), {**typical_start(named_chart("sgd_batch")), **start})


def random_surface(seed: int) -> Callable[[Point, int], Run]:
    """Bumps on a bowl anywhere, diverged and pruned runs among them; a replicate gives something else."""
    centre = np.random.default_rng(seed).integers(-9, 10, 3)

    def surface(point: Point, replicate: int) -> Run:
        random = np.random.default_rng([seed, replicate, *(round(n + 1000) for n in point)])
        state = random.choice(["finished"] * 8 + ["diverged", "pruned"])
        value = 3 * random.standard_normal() - 0.3 * float(((np.array(point) - centre) ** 2).sum())
        timescales = 1.5 * 2.0 ** (point[0] / 2) if seed % 2 else None
        return result(state, value, loss=float(random.uniform(1, 2)) if seed % 3 else None, timescales=timescales)

    return surface


def random_search(seed: int, runs: int = 14) -> Search:
    search, surface = Search(grid_of(bounds={"wd": (1e-5, 1e-2)})), random_surface(seed)
    for _ in range(runs):
        search.go_on(surface)
    return search


def ahead(search: Search, count: int, pending: Sequence[RunId] = ()) -> list[RunId]:
    """What so many further workers are given, one after the other, while nothing ends."""
    taken = list(pending)
    for _ in range(count):
        taken.append(suggest(search.grid, search.runs, taken).id)
    return taken[len(pending) :]


def scattered(grid: Grid, count: int, seed: int = 0) -> list[Run]:
    """Noisy runs of a bowl at random points of a grid, one in ten diverged."""
    random, found = np.random.default_rng(seed), dict[Point, Run]()
    while len(found) < count:
        point = tuple(int(n) for n in np.rint(random.normal(0, 3, len(grid.chart.axes))))
        if grid.out_of_bounds(point) is None:
            value = 90 - 0.3 * sum((n - 1) ** 2 for n in point) + 0.3 * random.standard_normal()
            found[point] = result("diverged" if random.random() < 0.1 else "finished", value, point=point)
    return list(found.values())


class TestTheSame:
    """What changes no suggestion."""

    @pytest.mark.slow
    @settings(max_examples=8)
    @given(st.integers(0, 10_000))
    def test_the_order_of_the_runs(self, seed: int) -> None:
        search = random_search(seed)
        for length, suggestion in enumerate(search.suggestions):
            runs = search.runs[:length]
            shuffles.Random(seed).shuffle(runs)
            assert suggest(search.grid, runs) == suggestion

    @settings(max_examples=15)
    @given(st.integers(0, 10_000), st.integers(4, 20), st.integers(0, 6))
    def test_the_order_of_replicates_of_foreign_runs_and_of_rows_that_come_twice(
        self, seed: int, count: int, again: int
    ) -> None:
        grid = grid_of()
        runs = scattered(grid, count, seed)
        twice = [replace(run, value=run.value + number % 2, replicate=1) for number, run in enumerate(runs[:again])]
        runs = [*runs, *twice, *runs[: again // 2]]
        pending = [(run.point, 7) for run in runs[:2]]
        expected = suggest(grid, runs, pending)
        shuffles.Random(seed).shuffle(runs)
        assert suggest(grid, runs, pending[::-1]) == expected
        assert incumbent(grid, runs) == expected.incumbent

    @pytest.mark.slow
    @settings(max_examples=10)
    @given(st.integers(0, 10_000), st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.sampled_from([0.0, 0.5]))
    def test_the_unit_and_the_offset_of_the_objective(
        self, seed: int, factor: float, offset: float, deviation: float
    ) -> None:
        """y → a·y + b, with b up to a thousand times the range of y."""
        grid = grid_of()
        bowl = bowl_at(grid, 5, 2, -3)

        def asked(a: float, b: float) -> list[RunId]:
            surface = noisy(bowl, seed, deviation)
            search = search_on(grid, lambda values: result(value=a * (surface(values).value + b)), 12)
            return [*(one.id for one in search.suggestions), *ahead(search, 2)]

        assert asked(factor, offset) == asked(1.0, 0.0)

    def test_which_search_made_a_run(self) -> None:
        """A good point that was enqueued, or a whole earlier sweep, is where the search goes on."""
        grid = grid_of()
        bowl = bowl_at(grid, 4, 6, -6)
        points = [(0, 0, 0), (4, 5, -5), *itertools.product((-8, 8), (-8, 8), (-8, 8))]
        runs = [result(value=bowl(grid.hyperparameters(point)), point=point) for point in points]
        assert suggest(grid, runs).incumbent == (4, 5, -5)
        assert suggest(grid, runs[1:]).incumbent == (4, 5, -5)

    @settings(max_examples=8)
    @given(st.integers(0, 10_000))
    def test_a_far_better_foreign_run_is_the_incumbent(self, seed: int) -> None:
        search = random_search(seed)
        search.runs.append(result(value=1e9, point=(50, 0, 0)))
        assert incumbent(search.grid, search.runs) == (50, 0, 0)
        assert suggest(search.grid, search.runs).incumbent == (50, 0, 0)

    @pytest.mark.parametrize("count", [100, 200])
    def test_many_runs_in_any_order(self, count: int) -> None:
        grid = grid_of()
        runs = scattered(grid, count)
        assert suggest(grid, runs) == suggest(grid, runs[::-1])


class TestPending:
    @pytest.mark.slow
    @settings(max_examples=6)
    @given(st.integers(0, 10_000), st.integers(0, 12))
    def test_sixteen_pending_runs_give_seventeen_different_suggestions(self, seed: int, length: int) -> None:
        search = random_search(seed, 12)
        search.runs = search.runs[:length]
        taken = ahead(search, 17)
        assert len(set(taken)) == 17
        assert not set(taken) & {run.id for run in search.runs}
        assert all(search.grid.out_of_bounds(point) is None for point, _ in taken)
        assert len({point for point, _ in taken}) >= 13

    def test_while_the_start_runs_others_stride_to_both_sides(self) -> None:
        taken = ahead(Search(grid_of()), 4, [((0, 0, 0), 0)])
        assert len(set(taken)) == 4
        assert all(point[1:] == (0, 0) for point, _ in taken)
        assert {math.copysign(1, point[0]) for point, _ in taken} == {-1, 1}

    @pytest.mark.parametrize("chart", ["sgd", "sgd_batch", "adamw"])
    def test_while_every_run_diverges_there_is_enough_for_sixteen_workers(self, chart: str) -> None:
        grid = grid_of(chart)
        search = Search(grid, runs=[result("diverged", point=grid.origin)])
        assert len({point for point, _ in ahead(search, 16)}) == 16

    @pytest.mark.parametrize("state", ["diverged", "pruned", "finished"])
    def test_while_nothing_has_a_value_every_point_is_new(self, state: str) -> None:
        """A finished run without a value is one whose objective was no number."""
        search = search_on(grid_of(), lambda values: result(state, math.nan), 30)  # type: ignore[arg-type]
        assert len({one.point for one in search.suggestions}) == 30

    def test_a_point_has_at_most_three_runs(self) -> None:
        """Noise as large as all there is to gain, and walls close by: few points, and none of them wins."""
        grid = grid_of(bounds={"lr": (0.05, 0.2), "momentum": (0.8, 0.95), "wd": (2.5e-4, 1e-3)})
        search = search_on(grid, noisy(lambda values: 90.0, 0, 1.0), 40)
        made = Counter(one.point for one in search.suggestions)
        assert max(made.values()) == MOST_REPLICATES == 3
        pending = [(point, number + 20) for point in made for number in range(2)]
        assert suggest(grid, search.runs, pending).point not in made


class TestManyAxes:
    def test_eight_axes_are_searched(self) -> None:
        grid = eight_axes()
        assert len(grid.chart.axes) == 8
        runs = scattered(grid, 30)
        found = ahead(Search(grid, runs=runs), 3)
        assert len(set(found)) == 3
        assert all(grid.out_of_bounds(point) is None for point, _ in found)
        assert find(grid, runs) is not None

    @pytest.mark.slow
    def test_on_eight_axes_most_of_what_there_is_to_gain_is_found(self) -> None:
        grid = eight_axes()
        top = np.array([3, 1, -2, -1, 4, -4, 3, 0])

        def value(point: Point) -> float:
            off = np.array(point) - top
            return float(90 - 0.3 * off[0] ** 2 - 0.05 * (off[1:] ** 2).sum())

        search = Search(grid)
        for _ in range(40):
            search.go_on(lambda point, _: result(value=value(point)))
        best = incumbent(grid, search.runs)
        assert best is not None
        assert 90 - value(best) < 0.35 * (90 - value(grid.origin))


HUGE = 1.7e308
ABSURD: dict[str, list[float]] = {
    "one": [0.5],
    "two the same": [0.5, 0.5],
    "two zeros": [0.0, -0.0],
    "all the same": [2.3] * 12,
    "the same but for rounding": [0.7 + n * 1e-16 for n in range(12)],
    "at the end of all numbers": [HUGE, -HUGE, 1e308, -1e308, 0.0, 1e307],
    "one at the end of all numbers": [1.0, 2.0, 3.0, HUGE, 2.5, 1.5],
    "one at the other end": [1.0, 2.0, 3.0, -HUGE, 2.5, 1.5],
    "next to nothing": [1e-308, 2e-308, 5e-324, 0.0, -1e-308],
    "losses that exploded": [-0.1, -0.5, -1e30, -1e100, -1e300, -0.3, -0.2],
    "no number": [math.nan] * 8,
    "one number": [math.nan, -math.inf, 1.0, -math.inf, math.nan],
    "numbers and none": [1.0, -math.inf, 2.0, math.nan, math.inf, 1.5, -math.inf],
    "infinite": [math.inf, math.inf, -math.inf],
    "a spike among thousandths": [3.0001, 3.0002, 3.0, 1e12, 3.0003],
}
POINTS = [(0, 0, 0), (4, 0, 0), (-4, 0, 0), (8, 0, 0), (2, 2, 0), (2, -2, 2), (1, 0, 4), (0, 4, -2)]
POINTS += [(n, -n, n) for n in range(3, 9)]


class TestAbsurd:
    """Whatever was measured, there are a suggestion, an incumbent, findings and a prediction; warnings are errors."""

    @staticmethod
    def check(grid: Grid, runs: list[Run], rules: BayesSettings) -> None:
        pending = [((5, 5, 5), 0)]
        for waiting in ([], pending):
            found = suggest(grid, runs, waiting, rules)
            assert found.id not in {*waiting, *(run.id for run in runs)}
            assert grid.out_of_bounds(found.point) is None
            assert found.reason
            assert "nan" not in found.reason
        assert incumbent(grid, runs, rules) in {run.point for run in runs}
        told, expected = find(grid, runs, rules), best_expected(grid, runs, rules)
        for one in () if told is None else told.flatness:
            assert one.low <= one.mean <= one.high
        if expected is not None and expected.interval is not None:
            assert expected.interval[0] <= expected.interval[1]
            assert math.isfinite(expected.value)
        predict(grid, runs, rules, (3, 1, -1))
        left = left_after(grid, runs, rules)
        assert left is None or 0 <= left.low <= left.median <= left.high < math.inf

    @pytest.mark.parametrize("deterministic", [False, True, None])
    @pytest.mark.parametrize("diverged", ["worst", "value"])
    @pytest.mark.parametrize("name", ABSURD)
    def test_values(self, name: str, diverged: str, deterministic: bool | None) -> None:
        rules = BayesSettings(diverged=diverged, deterministic=deterministic)
        told = ABSURD[name]
        points = POINTS[: len(told)]
        for states in (["finished"], ["finished", "diverged"], ["finished", "pruned", "diverged"]):
            every = zip(points, told, itertools.cycle(states))
            self.check(grid_of(), [result(state, value, point=point) for point, value, state in every], rules)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ABSURD)
    def test_losses(self, name: str) -> None:
        told = ABSURD[name]
        for values in (told, [1.0, 2.0] * 6):
            every = zip(POINTS, values, told, strict=False)
            runs = [result(value=value, loss=loss, point=point) for point, value, loss in every]
            self.check(grid_of(), runs, BayesSettings())
            line = [replace(run, point=(4 * number, 0, 0)) for number, run in enumerate(runs)]
            self.check(grid_of(), line, BayesSettings())

    @pytest.mark.parametrize("state", ["pruned", "diverged", "finished"])
    @pytest.mark.parametrize("value", [2.3, -math.inf, math.nan, HUGE])
    @pytest.mark.parametrize("diverged", ["worst", "value"])
    def test_a_thousand_runs_of_one_kind(self, state: str, value: float, diverged: str) -> None:
        places = list(itertools.product(range(-5, 5), repeat=3))
        runs = [result(state, value, point=point) for point in places]  # type: ignore[arg-type]
        self.check(grid_of(), runs, BayesSettings(diverged=diverged))

    def test_a_thousand_runs_of_one_point(self) -> None:
        runs = [result(value=2.3, point=(0, 0, 0), replicate=n) for n in range(1000)]
        self.check(grid_of(), runs, BayesSettings())

    @pytest.mark.parametrize("timescales", [0.0, 1e-300, 1e300, math.inf, math.nan])
    def test_timescales(self, timescales: float) -> None:
        runs = [result(value=float(n), point=(4 * n, 0, 0), timescales=timescales) for n in range(3)]
        for count in (1, 2, 3):
            self.check(grid_of(), runs[:count], BayesSettings())

    @pytest.mark.parametrize("start", [{"lr": 1e-30}, {"lr": 1e30}, {"wd": 1e-300}, {"momentum": 0.9999999}])
    def test_starts(self, start: dict[str, float]) -> None:
        search = search_on(grid_of(**start), bare(lambda values: -(math.log(values["lr"]) ** 2)), 14)
        assert len({one.id for one in search.suggestions}) == 14
