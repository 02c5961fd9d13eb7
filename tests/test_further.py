"""Further hyperparameters on scales of their own, choices, runs off the grid, and deterministic objectives."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs.backend.search_plan import SearchPlan, box_spaces, plan_identity, plan_of
from flatdirs.errors import ChartError, ConfigError, StudyError
from flatdirs.resources import conf_folder
from flatdirs.search import SEARCHES, grid_chart, stored
from flatdirs.search.candidates import candidates
from flatdirs.search.choices import standing
from flatdirs.search.coordinate_descent import DescentSettings
from flatdirs.search.flatness import find
from flatdirs.search.known import BayesSettings, known_of, places_of, resolved
from flatdirs.search.suggest import incumbent, suggest
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.chart import Chart
from flatdirs.space.chart_for import chart_for, related
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid
from flatdirs.space.names import canonical
from flatdirs.space.scales import KINDS, Scale
from flatdirs.space.shipped_charts import describe_chart, named_chart, read_chart

START = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4, "beta1": 0.9, "batch_size": 128}
MANY = (
    Further("dropout", 0.1, 0, 0.5), Further("layers", 3, 2, 8, whole=True), Further("eps", 1e-3, 1e-6, 1),
    Further("mix", 0.5, 0.02, 0.98, scale="logit"), Further("hidden", 64, 16, 512, step=16, whole=True),
    Further("shift", -2, -5, 5), Further("beta2", 0.999), Further("warmup", 0, 0, 10, whole=True),
    Further("keep", 0.8, 0.5, 1.0, step=0.1), Further("kind", "b", choices=("a", "b", "c")),
)  # fmt: skip


def grid_of(*furthers: Further, names: tuple[str, ...] = ("lr", "wd"), search: str = "flatdirs") -> Grid:
    chart, start = with_further(chart_for(names), furthers)
    return Grid(grid_chart(search, chart), {**{name: START[name] for name in names}, **start})


def search_on(
    grid: Grid, surface: Callable[[Mapping[str, Any]], float], runs: int, rules: BayesSettings | None = None,
    known: tuple[Run, ...] = (), noise: float = 0.0,
) -> tuple[list[Suggestion], list[Run]]:  # fmt: skip
    """Suggestions and runs of a search, after those that are known."""
    asked, made, rules, chance = list[Suggestion](), list(known), rules or BayesSettings(), random.Random(0)
    for _ in range(runs):
        found = suggest(grid, rules, made)
        if found is None:
            break
        asked.append(found)
        value = surface(grid.hyperparameters(found.point)) + chance.gauss(0, noise)
        made.append(Run(found.point, value, replicate=found.replicate))
    return asked, made


EVERYTHING = grid_of(*MANY)


class TestScales:
    @settings(max_examples=60)
    @given(st.sampled_from(KINDS), st.floats(-100, 100), st.floats(0.1, 1000), st.floats(0.001, 0.999))
    def test_outer_inverts_inner(self, kind: Any, low: float, span: float, part: float) -> None:
        scale = Scale(kind, low, low + span)
        value = low + part * span if kind == "linear" else part
        inner = scale.inner(value)
        assert inner > 0
        assert scale.outer(inner) == pytest.approx(value, rel=1e-9, abs=1e-9 * span)

    @pytest.mark.parametrize(
        ("start", "low", "high", "kind"),
        [
            (1e-3, 1e-6, 1, "log"), (0.1, 0, 0.5, "linear"), (0.95, 0.9, 0.999, "logit"), (4, 2, 8, "linear"),
            (0.1, 0.01, 0.5, "log"), (-1, -2, 2, "linear"), (3.0, None, None, "log"), (20, 2, 20, "log"),
        ],
    )  # fmt: skip
    def test_the_range_chooses_the_scale(self, start: float, low: Any, high: Any, kind: str) -> None:
        assert Further("x", start, low, high).kind == kind

    def test_a_linear_range_is_eight_octaves_and_odds_double(self) -> None:
        assert Scale("linear", 2, 4).inner(4) / Scale("linear", 2, 4).inner(2) == pytest.approx(256)
        assert Scale("logit").inner(2 / 3) == pytest.approx(2)
        assert Scale("logit").inner(1.0) == math.inf

    @pytest.mark.parametrize(
        "wrongly",
        [
            {"start": 1, "low": 2, "high": 3}, {"start": 0}, {"start": "d", "choices": ("b", "c")},
            {"start": 0.5, "scale": "linear"}, {"start": 2, "low": 3, "high": 1}, {"start": 2.5, "whole": True},
            {"start": 5, "low": 0, "high": 10, "step": 3}, {"start": 1, "scale": "x"}, {"start": "much"},
            {"start": 0, "low": 0, "high": 4, "scale": "log"}, {"start": "b", "choices": ("b", "b")},
            {"start": 0.5, "low": 0, "high": 1, "scale": "logit"}, {"start": math.nan}, {"start": True},
            {"start": "b", "choices": ("b",)}, {"start": [1], "choices": ([1], [2])},
        ],
    )  # fmt: skip
    def test_what_does_not_fit_names_the_callers_key(self, wrongly: dict[str, Any]) -> None:
        with pytest.raises(ChartError) as found:
            Further("x", **wrongly, key="task.command")
        assert found.value.key == "task.command"

    @pytest.mark.parametrize("again", [Further("learning_rate", 1.0), Further("kind", 1.0)])
    def test_a_name_is_given_once(self, again: Further) -> None:
        with pytest.raises(ChartError) as found:
            with_further(chart_for(["lr"]), [Further("kind", "a", choices=("a", "b")), again])
        assert found.value.key == f"start.{again.name}"


class TestCharts:
    @pytest.mark.parametrize("path", sorted((conf_folder() / "chart").glob("*.yaml")), ids=lambda path: path.stem)
    def test_every_shipped_chart_loads_and_takes_further_ones(self, path: Path) -> None:
        chart = named_chart(path.stem)
        extended, _ = with_further(chart, [one for one in MANY if one.name not in chart.hyperparameters])
        assert chart.name == path.stem
        assert [axis.name for axis in extended.axes[: len(chart.axes)]] == [axis.name for axis in chart.axes]

    def test_adam_has_an_axis_each(self) -> None:
        assert [axis.name for axis in named_chart("adam").axes] == ["lr", "wd", "1−beta1"]

    @pytest.mark.parametrize("chart", [grid_of(*MANY).chart, grid_of(*MANY, names=()).chart.fix(["kind", "eps"])])
    def test_further_ones_survive_being_described_and_stored(self, chart: Chart) -> None:
        assert read_chart(json.loads(json.dumps(describe_chart(chart)))) == chart

    def test_a_chart_without_further_ones_is_described_as_ever(self) -> None:
        assert not {"scales", "steps", "choices"} & set(describe_chart(named_chart("sgd")))

    @pytest.mark.parametrize(
        ("names", "optimizer", "axes"),
        [
            (["learning_rate"], "sgd", ["lr"]),
            (["lr", "wd"], "sgd", ["lr·wd", "wd"]),
            (["momentum", "lr"], "sgd", ["lr/(1−momentum)", "1−momentum"]),
            (["lr", "wd", "batch_size"], "sgd", ["lr·wd/batch_size", "wd", "batch_size"]),
            (["lr", "wd"], "adamw", ["lr·wd", "wd"]),
            (["lr", "beta1"], "adam", ["lr", "1−beta1"]),
            (["lr", "wd", "batch_size"], "adamw", ["lr·wd/batch_size", "wd·batch_size^−0.5", "batch_size"]),
            (["lr", "batch_size"], "adamw", ["lr·batch_size^−0.5", "batch_size"]),
            (["lr", "wd", "momentum"], "muon", ["lr·wd", "wd", "1−momentum"]),
            (["lr", "lora_r"], "adamw", ["lr/lora_rank", "lora_rank"]),
            (["batch_size"], "sgd", ["1/batch_size"]),
            ([], "sgd", []),
        ],
    )
    def test_the_chart_for_some_names(self, names: list[str], optimizer: str, axes: list[str]) -> None:
        chart = chart_for(names, optimizer)
        assert [axis.name for axis in chart.axes] == axes
        assert set(chart.hyperparameters) == {canonical(name) for name in names} == set(related(names, optimizer))

    def test_what_a_chart_relates(self) -> None:
        """beta2 and the batch size by the half-life of an average of squared gradients; neither by itself."""
        assert related(["lr", "wd", "beta2", "dropout"], "adamw") == ["lr", "wd"]
        assert related(["lr", "wd", "beta2", "batch_size"], "adamw") == ["lr", "wd", "beta2", "batch_size"]
        assert related(["lr", "batch_size"], "muon") == ["lr"]

    @pytest.mark.parametrize(
        ("names", "optimizer", "key"),
        [(["dropout"], "sgd", "names"), (["beta2"], "adamw", "names"), (["lr"], "x", "optimizer")],
    )
    def test_what_no_chart_has_is_refused(self, names: list[str], optimizer: str, key: str) -> None:
        with pytest.raises(ChartError) as found:
            chart_for(names, optimizer)
        assert found.value.key == key

    def test_fixed_ones_stay_at_the_start(self) -> None:
        grid = grid_of(*MANY)
        held = Grid(grid.chart.fix(["kind", "dropout", "wd"]), grid.start)
        moved = held.hyperparameters((2,) * len(held.chart.axes))
        assert held.chart.open_choices == ()
        assert (moved["kind"], moved["dropout"], moved["wd"]) == ("b", 0.1, 5e-4)
        assert moved["shift"] != -2

    def test_raw_and_refined_charts_keep_the_scales(self) -> None:
        chart = grid_of(*MANY).chart
        assert chart.raw().scales == chart.scales == chart.refine(4).scales
        assert chart.raw().choices == chart.choices

    def test_without_a_number_there_is_nothing_to_search(self) -> None:
        chart, start = with_further(chart_for([]), [Further("kind", "a", choices=("a", "b"))])
        with pytest.raises(ChartError) as found:
            Grid(chart, start)
        assert found.value.key == "start"

    @pytest.mark.parametrize(
        ("name", "value"), [("eps", 0.0), ("mix", 1.0), ("layers", 2.5), ("kind", "z"), ("shift", 9)]
    )
    def test_a_start_that_does_not_fit_names_itself(self, name: str, value: Any) -> None:
        grid = grid_of(*MANY)
        with pytest.raises(ChartError) as found:
            Grid(grid.chart, {**grid.start, name: value})
        assert found.value.key == f"start.{name}"


@st.composite
def points(draw: st.DrawFn) -> tuple[Grid, tuple[int, ...]]:
    grid = EVERYTHING
    steps = [draw(st.integers(-6, 6)) for _ in grid.chart.axes]
    return grid, (*steps, *(draw(st.integers(0, len(told) - 1)) for told in grid.choices.values()))


class TestGrid:
    def test_the_origin_is_the_start(self) -> None:
        grid = grid_of(*MANY)
        assert grid.hyperparameters(grid.origin) == dict(grid.start)
        assert len(grid.origin) == len(grid.chart.axes) + 1

    @settings(max_examples=100)
    @given(points())
    def test_values_are_rounded_and_lead_back(self, where: tuple[Grid, tuple[int, ...]]) -> None:
        grid, point = where
        values = grid.hyperparameters(point)
        assert all(isinstance(values[name], int) for name in ("layers", "hidden", "warmup"))
        assert values["hidden"] % 16 == 0
        assert values["keep"] == round(values["keep"], 1)
        if grid.out_of_bounds(point) is not None:
            return
        found = grid.locate(values)
        assert found is not None
        assert grid.hyperparameters(found) == values
        rounded = grid.chart.whole | set(grid.chart.steps)
        axes = [*(next(iter(axis.exponents)) for axis in grid.chart.axes), *grid.choices]
        assert all(a == b for a, b, name in zip(found, point, axes, strict=True) if name not in rounded)
        assert grid.place(values) == found
        assert grid.rounded(values) == values

    @settings(max_examples=100)
    @given(
        st.floats(1e-5, 10), st.floats(1e-6, 1), st.floats(0, 0.5), st.integers(2, 8), st.floats(0.02, 0.98),
        st.floats(-5, 5), st.floats(0.9, 0.9999), st.sampled_from("abc"),
    )  # fmt: skip
    def test_any_run_has_a_place_that_gives_its_rounded_values(
        self, lr: float, eps: float, dropout: float, layers: int, mix: float, shift: float, beta2: float, kind: str
    ) -> None:
        grid = EVERYTHING
        told = {"lr": lr, "eps": eps, "dropout": dropout, "layers": layers, "mix": mix, "shift": shift}
        values = {**grid.start, **told, "beta2": beta2, "kind": kind}
        place = grid.place(values)
        assert place is not None
        back = grid.hyperparameters(place)
        assert back == pytest.approx(grid.rounded(values))
        assert grid.place(back) == place

    @pytest.mark.parametrize("wrongly", [{"lr": 0.0}, {"mix": 1.0}, {"kind": "z"}, {"wd": -1.0}, {"beta2": 1.0}])
    def test_what_the_chart_cannot_hold_has_no_place(self, wrongly: dict[str, Any]) -> None:
        grid = grid_of(*MANY)
        assert grid.place({**grid.start, **wrongly}) is None
        assert grid.locate({**grid.start, **wrongly}) is None

    def test_a_run_with_another_fixed_value_has_no_place(self) -> None:
        grid = grid_of()
        held = Grid(grid.chart.fix(["wd"]), grid.start)
        assert held.place({"lr": 0.123, "wd": 5e-4}) is not None
        assert held.place({"lr": 0.123, "wd": 1e-3}) is None

    def test_bounds_are_the_range(self) -> None:
        grid = grid_of(Further("shift", 0, -1, 1))
        assert grid.out_of_bounds((0, 0, 8)) is None
        assert grid.hyperparameters((0, 0, -8))["shift"] == -1
        assert "shift" in str(grid.out_of_bounds((0, 0, 9)))

    def test_a_start_from_elsewhere_puts_its_choice_first(self) -> None:
        grid = grid_of(*MANY)
        other = Grid(grid.chart, {**grid.start, "kind": "c"})
        assert other.hyperparameters(other.origin)["kind"] == "c"
        assert sorted(other.choices["kind"]) == ["a", "b", "c"]


def bowl(values: Mapping[str, Any]) -> float:
    """Best at lr 0.4 and dropout 0.3, with five layers."""
    off = values.get("dropout", 0.3) - 0.3
    layers = values.get("layers", 5) - 5
    return float(90 - math.log2(values["lr"] / 0.4) ** 2 - 40 * off**2 - 0.5 * layers**2)


class TestSearch:
    def test_further_ones_are_found(self) -> None:
        grid = grid_of(Further("dropout", 0.1, 0, 0.5), Further("layers", 2, 2, 8, whole=True))
        _, runs = search_on(grid, bowl, 30, noise=0.1)
        best = incumbent(grid, BayesSettings(), runs)
        assert best is not None
        assert bowl(grid.hyperparameters(best)) > 89
        assert all(grid.out_of_bounds(run.point) is None for run in runs)

    def test_the_first_axis_may_be_a_further_one(self) -> None:
        grid = grid_of(Further("alpha", 0.9, 0, 1), names=())
        asked, runs = search_on(grid, lambda values: -((values["alpha"] - 0.35) ** 2), 12)
        tried = [grid.hyperparameters(one.point)["alpha"] for one in asked]
        assert tried[1] != 0.9
        assert all(0 <= value <= 1 for value in tried)
        best = incumbent(grid, BayesSettings(), runs)
        assert best is not None
        assert grid.hyperparameters(best)["alpha"] == pytest.approx(0.35, abs=0.07)

    def test_rounded_values_make_one_point(self) -> None:
        grid = grid_of(Further("layers", 2, 1, 4, whole=True), names=())
        asked, runs = search_on(grid, lambda values: -abs(values["layers"] - 3), 12, noise=0.3)
        ids = [run.id for run in runs]
        values = [(grid.hyperparameters(run.point)["layers"], run.replicate) for run in runs]
        assert len(set(ids)) == len(set(values)) == len(runs)
        assert {value for value, _ in values} <= {1, 2, 3, 4}
        again = [one for one in asked if one.replicate]
        assert again
        assert all("replicate" in one.reason for one in again)

    def test_moves_say_values_where_a_factor_says_little(self) -> None:
        grid = grid_of(Further("dropout", 0.1, 0, 0.5), Further("layers", 3, 2, 8, whole=True))
        asked, _ = search_on(grid, bowl, 20)
        words = " ".join(one.move for one in asked)
        assert "dropout 0.1 → " in words
        assert "layers 3 → " in words

    def test_candidates_grow_linearly_with_the_axes(self) -> None:
        """Those of twelve axes, of which four are further ones, are not ten times those of three."""
        counts = []
        for grid in (grid_of(names=("lr", "momentum", "wd")), EVERYTHING):
            numbers = Grid(grid.chart.fix(grid.chart.open_choices), grid.start)
            axes = len(numbers.chart.axes)
            points = [tuple(3 * (n == axis) for n in range(axes)) for axis in range(axes)]
            known = known_of(numbers, [Run(point, float(n)) for n, point in enumerate(points)])
            tried = places_of(known.log_grid, known.points)
            counts.append(len(candidates(known.log_grid, known.model, tried, known.expected)) / axes)
        assert counts[1] <= counts[0]

    def test_runs_off_the_grid_count(self) -> None:
        grid = grid_of(Further("dropout", 0.1, 0, 0.5))
        chance = random.Random(1)
        known = []
        for _ in range(8):
            drawn = {
                "lr": 10 ** chance.uniform(-2, 0),
                "wd": 10 ** chance.uniform(-4, -2),
                "dropout": chance.uniform(0, 0.5),
            }
            place = grid.place(drawn)
            assert place is not None
            known.append(Run(place, bowl(drawn)))
        best = max(known, key=lambda run: run.value)
        assert incumbent(grid, BayesSettings(deterministic=True), known) == best.point
        asked, runs = search_on(grid, bowl, 12, known=tuple(known))
        assert asked[0].incumbent in [run.point for run in known]
        assert bowl(grid.hyperparameters(max(runs, key=lambda run: run.value).point)) > max(89, best.value)
        assert find(grid, runs) is not None

    def test_a_run_off_the_grid_is_replicated_at_its_place(self) -> None:
        grid = grid_of()
        place = grid.place({"lr": 0.123, "wd": 7e-4})
        assert place is not None

        def hill(values: Mapping[str, Any]) -> float:
            return float(90 - 8 * math.log2(values["lr"] / 0.123) ** 2 - 4 * math.log2(values["wd"] / 7e-4) ** 2)

        known = tuple(Run(point, hill(grid.hyperparameters(point))) for point in (grid.origin, place, (4, 0), (0, 4)))
        asked, _ = search_on(grid, hill, 20, known=known, noise=0.1)
        again = [one for one in asked if one.point == place]
        assert again
        assert [one.replicate for one in again] == list(range(1, len(again) + 1))
        assert all(one.move == "replicate" for one in again if one.incumbent == place)

    def test_the_same_runs_give_the_same_suggestion_in_any_order(self) -> None:
        grid = grid_of(*MANY[:2], Further("kind", "a", choices=("a", "b")))
        _, runs = search_on(grid, lambda values: bowl(values) + (values["kind"] == "b"), 19, noise=0.1)
        assert suggest(grid, BayesSettings(), runs) == suggest(grid, BayesSettings(), runs[::-1])


class TestDeterministic:
    RULES = BayesSettings(deterministic=True)

    def test_nothing_is_run_twice_and_the_best_observed_is_the_best(self) -> None:
        grid = grid_of(Further("dropout", 0.1, 0, 0.5))
        _, runs = search_on(grid, bowl, 30, self.RULES)
        assert len({run.point for run in runs}) == 30
        best = max(run.value for run in runs)
        assert incumbent(grid, self.RULES, runs) in {run.point for run in runs if run.value == pytest.approx(best)}

    def test_it_ends_once_every_point_was_run(self) -> None:
        grid = grid_of(Further("layers", 3, 1, 5, whole=True), names=())
        _, runs = search_on(grid, lambda values: -abs(values["layers"] - 4), 20, self.RULES)
        assert sorted(grid.hyperparameters(run.point)["layers"] for run in runs) == [1, 2, 3, 4, 5]

    def test_pending_points_are_not_run_again(self) -> None:
        grid = grid_of()
        _, runs = search_on(grid, bowl, 10, self.RULES)
        pending = list[Any]()
        for _ in range(6):
            found = suggest(grid, self.RULES, runs, pending)
            assert found is not None
            assert found.id not in pending
            pending.append(found.id)
        assert len({point for point, _ in pending} | {run.point for run in runs}) == 16

    def test_there_is_no_seed_noise(self) -> None:
        grid = grid_of()
        _, runs = search_on(grid, bowl, 12, self.RULES)
        found = find(grid, runs, self.RULES)
        assert found is not None
        assert {one.noise for one in found.flatness} == {0.0}

    def test_it_is_stored_only_where_it_is_true(self) -> None:
        assert set(stored(BayesSettings())) == {"diverged", "plateau_limit"}
        assert SEARCHES["flatdirs"](**stored(self.RULES)) == self.RULES


class TestFindingOut:
    """deterministic=None: the runs show whether two runs of a point agree."""

    RULES = BayesSettings(deterministic=None)

    def test_one_run_is_made_twice_and_none_after_it(self) -> None:
        grid = grid_of()
        asked, runs = search_on(grid, bowl, 20, self.RULES)
        again = [one for one in asked if one.replicate]
        assert len(again) == 1
        assert again[0].point == again[0].incumbent
        assert resolved(self.RULES, runs).deterministic is True
        best = incumbent(grid, self.RULES, runs)
        assert max(run.value for run in runs) in [run.value for run in runs if run.point == best]

    def test_two_runs_that_differ_withdraw_it(self) -> None:
        grid = grid_of()
        _, runs = search_on(grid, bowl, 20, self.RULES, noise=0.01)
        assert resolved(self.RULES, runs).deterministic is False
        twice = [Run(run.point, round(run.value, 1), replicate=number) for run in runs[:1] for number in range(2)]
        assert resolved(self.RULES, [*twice, Run(runs[2].point, 1.0), Run(runs[2].point, 2.0, replicate=1)]) == replace(
            self.RULES, deterministic=False
        )

    @pytest.mark.parametrize(
        ("values", "agree"), [((0.93, 0.93), False), ((0.9312, 0.9312), True), ((94.0, 94.0), None)]
    )
    def test_four_digits_have_to_agree(self, values: tuple[float, float], agree: bool | None) -> None:
        """A whole number agrees in as many digits as the other values have."""
        runs = [Run((0, 0), value, replicate=number) for number, value in enumerate(values)]
        assert resolved(self.RULES, runs).deterministic is (agree or False)
        assert resolved(self.RULES, [*runs, Run((4, 0), 91.0625)]).deterministic is True

    def test_before_two_runs_of_a_point_nothing_is_known(self) -> None:
        assert resolved(self.RULES, [Run((0, 0), 0.5)]) == self.RULES


class TestExplodedLosses:
    def test_a_finite_loss_beyond_all_measure_leaves_the_others_apart(self) -> None:
        """Losses of 10^100 at high learning rates: what is expected of the incumbent is still a usual loss."""
        grid = grid_of()

        def surface(values: Mapping[str, Any]) -> float:
            return -(10.0**100) if values["lr"] > 0.3 else bowl(values)

        _asked, runs = search_on(grid, surface, 20, noise=0.05)
        found, usual = find(grid, runs), [run.value for run in runs if run.value > -1e9]
        assert found is not None
        assert found.expected is not None
        assert min(usual) <= found.expected <= max(usual) + 1
        assert sum(run.value < -1e9 for run in runs) < len(runs) / 2


class TestChoices:
    KIND = Further("kind", "sgd", choices=("adam", "sgd", "lion"))
    LEVELS: Mapping[str, float] = {"sgd": 0.0, "adam": 2.0, "lion": -3.0}

    def surface(self, values: Mapping[str, Any]) -> float:
        return bowl(values) + self.LEVELS[values["kind"]]

    def test_the_better_choice_takes_over(self) -> None:
        grid = grid_of(self.KIND)
        asked, runs = search_on(grid, self.surface, 25)
        best = incumbent(grid, BayesSettings(), runs)
        assert best is not None
        assert grid.hyperparameters(best)["kind"] == "adam"
        assert bowl(grid.hyperparameters(best)) > 89
        assert any("kind sgd → adam" in one.move for one in asked)

    def test_every_fifth_run_tries_the_alternative_tried_least(self) -> None:
        grid = grid_of(self.KIND)
        asked, _ = search_on(grid, lambda values: self.surface(values) if values["kind"] == "sgd" else 0.0, 30)
        turns = [number for number, one in enumerate(asked) if one.point[-1]]
        assert turns[0] >= 4
        assert all(number % 5 == 4 for number in turns)
        assert turns == list(range(turns[0], 30, 5))
        kinds = [grid.hyperparameters(asked[number].point)["kind"] for number in turns]
        assert kinds == (["adam", "lion"] * 3)[: len(kinds)]
        assert all(asked[number].point[:-1] == (asked[number].incumbent or ())[:-1] for number in turns)

    def test_a_lucky_run_of_an_alternative_is_checked_in_its_turn(self) -> None:
        """After the loser has come again at the new numbers and is better there, it stands again."""
        grid = grid_of(Further("kind", "a", choices=("a", "b")))
        rules = BayesSettings()
        runs = [Run((step, 0, 0), 90.0 - step**2) for step in (0, 4, -4)]
        assert standing(grid, runs, rules) == (0,)
        taken = [*runs, Run((0, 0, 1), 91.0)]
        assert standing(grid, taken, rules) == (1,)
        assert standing(grid, [*taken, Run((0, 0, 1), 80.0, replicate=1)], rules) == (0,)

    def test_one_parameter_changes_at_a_time(self) -> None:
        grid = grid_of(self.KIND, Further("norm", True, choices=(True, False)))
        asked, runs = search_on(grid, lambda values: self.surface(values) - 4 * values["norm"], 40)
        changed = [
            sum(a != b for a, b in zip(one.point[-2:], (one.incumbent or one.point)[-2:], strict=True)) for one in asked
        ]
        assert max(changed) == 1
        best = incumbent(grid, BayesSettings(), runs)
        assert best is not None
        assert grid.hyperparameters(best)["norm"] is False

    def test_a_deterministic_search_tries_each_alternative_once_at_a_point(self) -> None:
        grid = grid_of(self.KIND)
        _, runs = search_on(grid, self.surface, 40, BayesSettings(deterministic=True))
        assert len({run.point for run in runs}) == 40

    def test_findings_are_those_of_the_choices_that_stand(self) -> None:
        grid = grid_of(self.KIND)
        _, runs = search_on(grid, self.surface, 30)
        found = find(grid, runs)
        assert found is not None
        assert found.best == incumbent(grid, BayesSettings(), runs)

    @pytest.mark.parametrize("search", ["myrtle", "raw"])
    def test_line_searches_refuse_choices(self, search: str) -> None:
        chart, start = with_further(chart_for(["lr"]), [self.KIND])
        with pytest.raises(ConfigError) as found:
            grid_chart(search, chart)
        assert found.value.key == "search"
        with pytest.raises(ConfigError) as found:
            suggest(Grid(chart, {"lr": 0.1, **start}), DescentSettings(), [])
        assert found.value.key == "search"


class TestPlan:
    def plan(self, search: str = "flatdirs", **box: tuple[float, float]) -> SearchPlan:
        own = BayesSettings() if search == "flatdirs" else None
        return SearchPlan(search, grid_of(*MANY), own, 0, box)

    def test_it_survives_being_stored(self) -> None:
        for plan in (self.plan(), self.plan("random", lr=(0.01, 1.0), wd=(1e-5, 0.01), one_minus_beta2=(1e-4, 0.1))):
            assert plan_of(json.loads(json.dumps(plan_identity(plan)))) == plan

    def test_our_own_search_may_suggest_any_point(self) -> None:
        plan = self.plan()
        spaces = plan.spaces()
        axes = len(plan.grid.chart.axes)
        for point in [(0,) * axes, *((0,) * axis + (2,) + (0,) * (axes - axis - 1) for axis in range(axes))]:
            values = plan.grid.hyperparameters(point)
            assert all(space._contains(space.to_internal_repr(values[name])) for name, space in spaces.items())

    def test_baselines_take_the_ranges_of_further_ones(self) -> None:
        box = {"lr": (0.01, 1.0), "wd": (1e-5, 1e-2), "one_minus_beta2": (1e-4, 0.1)}
        spaces: dict[str, Any] = self.plan("random", **box).spaces()
        assert (spaces["dropout"].low, spaces["dropout"].high, spaces["dropout"].log) == (0, 0.5, False)
        assert (spaces["eps"].low, spaces["eps"].log) == (1e-6, True)
        assert (spaces["layers"].low, spaces["layers"].high) == (2, 8)
        assert spaces["kind"].choices == ("b", "a", "c")

    def test_a_baseline_needs_a_range(self) -> None:
        chart, _ = with_further(chart_for(["lr"]), [Further("eps", 1e-3)])
        with pytest.raises(StudyError) as found:
            box_spaces(chart, {"lr": (0.01, 1.0)})
        assert found.value.key == "box.eps"
