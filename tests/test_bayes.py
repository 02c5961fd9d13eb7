"""The Bayesian search at its public surface: what it finds and how soon, what it never does, what it says."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flatdirs.search import grid_chart, stored
from flatdirs.search.bayes import suggest
from flatdirs.search.explain import describe_move
from flatdirs.search.known import BayesSettings, replicates_agree
from flatdirs.search.types import EarlierRun, Run, RunId
from flatdirs.space.chart import Axis, Chart, Point
from flatdirs.space.chart_for import chart_for
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid
from tests.runs import result
from tests.searches import GOOD, HEIGHT, Bowl, Search, Values, bare, bowl_at, grid_of, noisy, search_on

FAR_TOPS = [(8, -4, 6, -4), (-8, 2, -6, 4)]
TOPS = [(4, 3, -4, 2), (-5, -2, 3, -3), *(pytest.param(top, marks=pytest.mark.slow) for top in FAR_TOPS)]
CHARTS = ["sgd", "sgd_plain", "sgd_batch", "adamw"]
HOLDING = [(chart, ()) for chart in CHARTS] + [(chart, ("momentum",)) for chart in CHARTS[:3]]


class TestBowls:
    @pytest.mark.slow
    @pytest.mark.parametrize("top", TOPS)
    @pytest.mark.parametrize(("chart", "fixed"), HOLDING)
    def test_from_the_typical_start_the_top_is_near_within_twelve_runs(
        self, chart: str, fixed: tuple[str, ...], top: tuple[int, ...]
    ) -> None:
        grid = grid_of(chart, fixed)
        bowl = bowl_at(grid, *top)
        search = search_on(grid, bare(bowl), 20)
        assert search.first(bowl) <= 12
        assert bowl(search.winner) >= GOOD
        for name in fixed:
            assert {values[name] for values in search.values} == {grid.start[name]}

    @pytest.mark.slow
    @pytest.mark.parametrize("octaves", [10, -10])
    @pytest.mark.parametrize("kind", ["smooth", "plateau", "diverging", "chance", "chance without end"])
    @pytest.mark.parametrize(("chart", "fixed"), HOLDING)
    def test_ten_octaves_off_it_is_near_within_twenty(
        self, chart: str, fixed: tuple[str, ...], kind: str, octaves: int
    ) -> None:
        typical = grid_of(chart, fixed)
        grid = grid_of(chart, fixed, lr=typical.start["lr"] * 2.0**octaves)
        bowl = bowl_at(grid, 3, 2, -3, 2)

        def surface(values: dict[str, float]) -> Run:
            score = bowl(values)
            if kind == "smooth":
                return result(value=score)
            if kind in ("diverging", "chance") and score < 10 and bowl.off(values)[0] > 0:
                return result("diverged")
            score = max(10.0, score)
            if kind.startswith("chance"):
                return result(value=score, loss=2.3 - score / 100, at_chance=score < 12)
            return result(value=score)

        search = search_on(grid, surface, 20)
        assert search.first(bowl) <= 20
        assert bowl(search.winner) >= GOOD

    @pytest.mark.parametrize("chart", CHARTS)
    def test_where_runs_diverge_or_learn_nothing_lower_rates_are_tried_soon(self, chart: str) -> None:
        grid = grid_of(chart)
        bowl, made = bowl_at(grid, -16, 0, 0, 0), list[float]()

        def surface(values: dict[str, float]) -> Run:
            made.append(bowl(values))
            lost = bowl.off(values)[0] > 4
            return result("diverged") if lost and len(made) % 2 else result(value=10.0 if lost else made[-1])

        others = [(2, 2, 0, 0), (4, 0, 2, 0), (6, 2, 2, 0)]  # of somebody else, off the first axis
        known = [replace(surface({**bowl.top, "lr": 10.0}), point=point[: len(grid.chart.axes)]) for point in others]
        assert search_on(grid, surface, 20, known=known).first(bowl) <= 12

    @pytest.mark.slow
    @pytest.mark.parametrize("deviation", [0.3, 0.6])
    @pytest.mark.parametrize("chart", CHARTS)
    def test_with_noise_it_is_near_from_most_seeds(self, chart: str, deviation: float) -> None:
        grid = grid_of(chart)
        bowl = bowl_at(grid, 5, 2, -3, 1)
        ends = [bowl(search_on(grid, noisy(bowl, seed, deviation), 15).winner) for seed in range(20)]
        assert sum(end >= GOOD for end in ends) >= 16

    @pytest.mark.parametrize("top", [(4, 3, -4, 2), (-5, 2, 1, -3)])
    def test_a_chart_of_fractions_is_searched_by_whole_steps_along_its_axes(self, top: tuple[int, ...]) -> None:
        grid = grid_of("adamw_batch", ("beta2",))
        bowl = bowl_at(grid, *top)
        search = search_on(grid, bare(bowl), 14)
        assert search.first(bowl) <= 12
        inside = [one.point for one in search.suggestions if grid.hyperparameters(one.point)["beta1"] > 0]
        assert len(inside) > 7
        assert all(isinstance(step, int) for point in inside for step in point)

    @pytest.mark.parametrize("octaves", [-7.3, 5.1])
    def test_a_usual_weight_decay_is_whole_steps_away_at_the_same_learning_rate(self, octaves: float) -> None:
        axes = Axis("lr·wd^0.5", {"lr": 1, "wd": Fraction(1, 2)}), Axis("wd", {"wd": 1})
        grid = Grid(grid_chart("flatdirs", Chart("halves", ("lr", "wd"), axes)), {"lr": 0.1, "wd": 5e-4})
        times = 1.5 * 2.0**octaves
        runs = [result(value=9 - abs(n - 4), point=(n, 0), timescales=times * 2 ** (n / 2 - 2)) for n in (0, 4, 8)]
        found = suggest(grid, runs)
        assert all(isinstance(step, int) for step in found.point)
        values = grid.hyperparameters(found.point)
        assert values["lr"] == grid.hyperparameters((4, 0))["lr"]
        assert math.log2(values["wd"] / 5e-4) == pytest.approx(-octaves, abs=0.51)

    def test_a_far_better_run_elsewhere_is_found_along_several_axes_at_once(self) -> None:
        grid = grid_of()
        search = search_on(grid, bare(bowl_at(grid, 4, 6, -6)), 12)
        moved = [sum(n != m for n, m in zip(q.point, q.incumbent or q.point, strict=True)) for q in search.suggestions]
        assert max(moved) > 1
        assert all(question.axis is None for question in search.suggestions)


class TestBounds:
    BOUNDS = ({"lr": (0.05, 0.2)}, {"wd": (2e-4, 1e-3), "momentum": (0.8, 0.95)})

    @pytest.mark.slow
    @pytest.mark.parametrize("bounds", BOUNDS)
    @pytest.mark.parametrize("top", [(12, 0, 0), (-12, 8, 8), (0, -8, -8)])
    def test_nothing_outside_is_asked_whatever_lies_there(
        self, bounds: dict[str, tuple[float, float]], top: tuple[int, ...]
    ) -> None:
        grid = grid_of(bounds=bounds)
        search = search_on(grid, bare(bowl_at(grid, *top)), 25)
        for values in search.values:
            assert all(low * 0.999 <= values[name] <= high * 1.001 for name, (low, high) in bounds.items())

    def test_between_walls_on_every_side_all_that_lies_inside_are_the_walls(self) -> None:
        tight = {"lr": (0.09, 0.11), "momentum": (0.89, 0.91), "wd": (4.5e-4, 5.5e-4)}
        search = search_on(grid_of(bounds=tight), bare(bowl_at(grid_of(), 4, 2, -4)), 12)
        for name, (low, high) in tight.items():
            assert {values[name] for values in search.values} == {low, search.values[0][name], high}

    @pytest.mark.parametrize("top", [(3, 0, 0), (-6, 0, 0), (-14, 0, 0), (12, 0, 0)])
    @pytest.mark.parametrize("wall", ["upper", "lower"])
    def test_from_a_start_at_a_bound_the_line_turns_round(self, wall: str, top: tuple[int, ...]) -> None:
        """The bound is one side of the bracket; the other side is explored, and the start is not run for nothing."""
        bounds = (1e-4, 0.1) if wall == "upper" else (0.1, 100.0)
        grid = grid_of(bounds={"lr": bounds}, lr=0.1)
        search = search_on(grid, bare(bowl_at(grid, *top)), 15)
        rates = [values["lr"] for values in search.values]
        assert all(bounds[0] <= rate <= bounds[1] for rate in rates)
        assert rates[1] != 0.1
        best = max(bowl_at(grid, *top)({**grid.start, "lr": float(lr)}) for lr in np.geomspace(*bounds, 60))
        assert bowl_at(grid, *top)(search.winner) >= best - 0.5

    @pytest.mark.parametrize(("name", "low", "high"), [("momentum", 0.0, 0.99), ("wd", 3e-5, 7e-3), ("lr", 0.023, 0.7)])
    @pytest.mark.parametrize("side", [-1, 1])
    def test_walls_off_the_grid_are_candidates_themselves(self, name: str, low: float, high: float, side: int) -> None:
        """The best lies far beyond one wall: the wall itself is run, and wins."""
        grid = grid_of(bounds={name: (low, high)})

        def surface(values: dict[str, float]) -> Run:
            inner = grid.chart.inner(name, values[name])
            others = (math.log2(values[other] / grid.start[other]) for other in ("lr", "wd") if other != name)
            return result(value=90 + 2 * side * math.log2(inner) - 0.2 * sum(n * n for n in others))

        search = search_on(grid, surface, 20)
        upwards = (side > 0) != (name == "momentum")
        if name == "momentum" and not upwards:  # on the way to 0, where 1 − momentum doubles, all is a wall
            assert search.winner["momentum"] == 0.0
        else:
            assert search.winner[name] == (high if upwards else low)

    @pytest.mark.parametrize("size", [2, 100])
    def test_a_batch_size_stays_a_whole_number_of_at_least_one(self, size: int) -> None:
        grid = grid_of("sgd_batch", batch_size=size)
        bowl = Bowl(grid, grid.hyperparameters((2, 0, 0, -2)), gentle=0.5)

        def surface(values: dict[str, float]) -> Run:
            return result(value=bowl({**values, "batch_size": 1}) - 3 * math.log2(values["batch_size"]))

        search = search_on(grid, surface, 25)
        assert all(isinstance(values["batch_size"], int) and values["batch_size"] >= 1 for values in search.values)
        assert len({values["batch_size"] for values in search.values}) > 1
        assert search.winner["batch_size"] < size

    def test_a_batch_size_that_was_rounded_leads_through_no_bound(self) -> None:
        """lr takes up what the rounding of the batch leaves; the point that is asked for lies inside with it."""
        bounds = {"lr": (0.01, 0.2)}
        grid = grid_of("sgd_batch", bounds=bounds, batch_size=100, lr=0.1)
        search = search_on(grid, bare(bowl_at(grid, 4, 2, -3, 2)), 25)
        assert all(grid.out_of_bounds(question.point) is None for question in search.suggestions)
        assert max(values["lr"] for values in search.values) <= 0.2 * (1 + 1e-9)

    def test_what_counts_alone_is_found_behind_a_line_on_which_nothing_changes(self) -> None:
        search = search_on(grid_of("sgd_batch"), bare(lambda values: -values["batch_size"]), 25)
        assert len({values["batch_size"] for values in search.values}) > 1


class TestFailures:
    def test_while_every_run_diverges_the_learning_rate_falls(self) -> None:
        search = search_on(grid_of(lr=64.0), lambda values: result("diverged"), 20)
        rates = [values["lr"] for values in search.values]
        assert rates[:12] == sorted(rates[:12], reverse=True)
        assert len(set(rates[:12])) == 12
        assert rates[3] < 0.01

    @staticmethod
    def beside_a_cliff(top: tuple[int, ...], most: float) -> tuple[Search, float, float]:
        """20 runs from lr=64, all above lr=`most` diverge: the search, its best run, and what its winner gives."""
        grid = grid_of(lr=64.0)
        bowl = bowl_at(grid, *top)
        search = search_on(grid, lambda v: result(value=bowl(v)) if v["lr"] < most else result("diverged"), 20)
        return search, max(run.value for run in search.runs), bowl(search.winner)

    CLIFFS = (((2, 0, 0), 0.5), ((0, 0, 0), 0.5), ((4, 2, -3), 4.0))

    @pytest.mark.parametrize(("top", "most"), [*CLIFFS, ((4, 2, -3), 0.5)])
    def test_a_start_that_diverges_is_left_downwards(self, top: tuple[int, ...], most: float) -> None:
        """The cliff lies above the top or, in the last case, two octaves below the top's own learning rate."""
        search, best, _ = self.beside_a_cliff(top, most)
        assert best >= GOOD
        assert search.values[2]["lr"] < 1

    @settings(max_examples=20)
    @given(st.floats(0, 3), st.floats(-1, 3), st.sampled_from([0.0, 0.1]))
    @example(0.15, 1.0, 0.0)
    def test_two_runs_and_a_cliff_are_enough_to_go_on(self, slope: float, cliff: float, curved: float) -> None:
        """So few runs tell hardly one hypothesis from another; there must be some left."""

        def outcome(values: dict[str, float]) -> Run:
            octaves = math.log2(values["lr"] / 0.05)
            timescales = 1.125 * values["lr"] / 0.05
            if octaves > cliff:
                return result("diverged", timescales=timescales)
            return result(value=96.4 + slope * octaves - curved * octaves**2, timescales=timescales)

        search = search_on(grid_of(lr=0.05, momentum=0.9, wd=0.001), outcome, 6)
        assert all(question.reason for question in search.suggestions)

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 4.0, 8.0])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_a_bare_number_with_a_plateau_below_and_a_cliff_above(self, rate: float, seed: int) -> None:
        """Diverges from lr/(1−momentum) = 2 on, below the top's own speed; the way down leads past it to a plateau."""
        grid = grid_of(lr=rate)
        bowl, random = bowl_at(grid, 2, 0, 0), np.random.default_rng(seed)

        def surface(values: dict[str, float]) -> Run:
            if values["lr"] / (1 - values["momentum"]) > 2:
                return result("diverged")
            return result(value=max(10.0, bowl(values)) + seed * 0.3 * random.standard_normal())

        search = search_on(grid, surface, 15)
        assert max(bowl(values) for values in search.values) >= GOOD

    @pytest.mark.parametrize("rate", [0.5, 1.0, 10.0])
    def test_a_top_right_below_a_cliff_is_found(self, rate: float) -> None:
        """The top lies at lr/(1−momentum) = 4, and from 4.5 on every run diverges, the start's own among them."""
        grid = grid_of(lr=rate)
        bowl = Bowl(grid, {"lr": 0.4, "momentum": 0.9, "wd": 5e-4})

        def surface(values: dict[str, float]) -> Run:
            over = values["lr"] / (1 - values["momentum"]) > 4.5
            return result("diverged") if over else result(value=bowl(values))

        search = search_on(grid, surface, 15)
        assert max(bowl(values) for values in search.values) >= GOOD

    def test_beside_a_cliff_the_winner_is_the_best_run(self) -> None:
        ends = [self.beside_a_cliff(*case) for case in self.CLIFFS]
        assert all(winner >= best - 0.3 for _, best, winner in ends)

    @pytest.mark.parametrize("state", ["diverged", "pruned"])
    def test_a_run_that_did_not_finish_is_worse_whatever_it_left(self, state: str) -> None:
        grid = grid_of()
        bowl = bowl_at(grid, 4, 2, -3)

        def surface(values: dict[str, float], left: float) -> Run:
            ended = bowl.off(values)[0] < 1.1
            return result(value=bowl(values)) if ended else result(state, value=left)  # type: ignore[arg-type]

        searches = [search_on(grid, lambda v, left=left: surface(v, left), 15) for left in (99.0, -99.0, math.nan)]  # type: ignore[misc]
        assert searches[0].suggestions == searches[1].suggestions == searches[2].suggestions
        states = {run.point: run.state for run in searches[0].runs}
        assert {states[one.incumbent] for one in searches[0].suggestions[1:] if one.incumbent} == {"finished"}
        valued = search_on(grid, lambda v: surface(v, 99.0), 15, BayesSettings(diverged="value"))
        assert (bowl.off(valued.winner)[0] >= 1.1) == (state == "diverged")

    def test_a_fixed_learning_rate_is_not_walked_along_by_the_weight_decay(self) -> None:
        """Where lr is fixed the first axis moves something else, so there is no line, and a diverging start is left."""
        grid = grid_of(fixed=("lr",))
        search = search_on(grid, bare(bowl_at(grid, 0, 2, -2)), 12)
        decays = [values["wd"] for values in search.values]
        assert all(1e-8 < decay < 1 for decay in decays)
        assert not any(question.reason.startswith("along") for question in search.suggestions)

    def test_runs_that_have_learnt_are_judged_by_their_scores_though_losses_hardly_differ(self) -> None:
        grid = grid_of()
        bowl = bowl_at(grid, 0, 0, 0)
        search = search_on(grid, lambda v: result(value=bowl(v), loss=1.0 + (100 - bowl(v)) / 5000, at_chance=False), 6)
        assert not any("nothing has changed" in question.reason for question in search.suggestions)

    def test_a_reason_says_how_likely_and_by_how_much_whatever_the_values_stand_for(self) -> None:
        """A search that minimises sees negative values; its reasons are the same as those of one that maximises."""
        grid = grid_of()
        bowl = bowl_at(grid, 0, 0, 0)
        searches = [search_on(grid, bare(lambda v, shift=shift: bowl(v) - shift), 10) for shift in (0.0, HEIGHT)]  # type: ignore[misc]
        reasons = [one.reason for search in searches for one in search.suggestions if "90 %" in one.reason]
        assert reasons
        side = r"[\d.e+-]+ (?:better|worse)"
        for reason in reasons:
            found = re.search(
                rf"(\d+) % chance .*expected ({side}), 90 % interval (?:({side})|[\d.e+-]+) to ({side})", reason
            )
            assert found, reason
            percent = int(found[1])
            middle, low, high = (None if one is None else _signed(one) for one in found.groups()[1:])
            assert middle is not None
            assert high is not None
            assert low is None or low <= middle
            assert middle <= high
            assert (1 <= percent <= 50) if middle < 0 else percent >= 50
        hopeless = search_on(grid_of(fixed=("lr",)), lambda v: result("diverged"), 4)
        assert all("no run has finished yet" in one.reason for one in hopeless.suggestions[1:])

    @pytest.mark.parametrize("losses", [(1.0, math.nan), (math.nan, 1.0)])
    def test_a_loss_that_is_no_number_says_nothing(self, losses: tuple[float, float]) -> None:
        grid = grid_of()
        given = iter(losses)
        search = search_on(grid, lambda v: result(value=-v["lr"], loss=next(given, 3.0)), 3)
        assert "nothing has changed" not in search.suggestions[2].reason

    def test_one_replicate_that_happens_to_agree_does_not_end_replicates(self) -> None:
        def runs(*values: float) -> list[Run]:
            return [result(value=value, point=(0, 0, 0), replicate=n) for n, value in enumerate((1.0, *values))]

        assert not replicates_agree(runs(1.0))
        assert replicates_agree(runs(1.0, 1.0))
        assert not replicates_agree(runs(1.0, 1.1))
        assert not replicates_agree(runs(-math.inf, -math.inf))

    def test_an_accuracy_that_stands_still_is_walked_up_twenty_doublings_then_down(self) -> None:
        search = search_on(grid_of(lr=1e-6), bare(lambda values: 10.0), 12)
        steps = [question.point[0] for question in search.suggestions]
        turn = steps.index(max(steps))
        assert steps[: turn + 1] == sorted(steps[: turn + 1])
        assert max(steps) >= 40
        assert steps[turn + 1 :] == sorted(steps[turn + 1 :], reverse=True)
        assert min(steps) < -40


class TestReplicates:
    @pytest.mark.slow
    def test_a_replicate_is_of_a_point_already_run_and_numbered_in_turn(self) -> None:
        grid = grid_of()
        bowl = bowl_at(grid, 5, 2, -3)
        repeats = 0
        for seed in range(8):
            runs = dict[Point, int]()
            for question in search_on(grid, noisy(bowl, seed, 0.5), 20).suggestions:
                assert question.replicate == runs.get(question.point, 0)
                runs[question.point] = question.replicate + 1
                repeats += question.replicate > 0
                assert ("replicate" in question.reason) == (question.replicate > 0)
        assert repeats > 0

    def test_no_seed_is_run_twice_where_workers_are_killed(self) -> None:
        grid = grid_of(fixed=("momentum", "wd"), bounds={"lr": (0.09, 0.2)})
        again = 0
        for seed in range(4):
            random = np.random.default_rng(seed)
            surface = noisy(bowl_at(grid, 0), seed, 3.0)
            runs, pending = list[Run](), list[RunId]()
            for _ in range(30):
                asked = suggest(grid, runs, pending)
                taken = {*pending, *(run.id for run in runs)}
                assert asked.id not in taken
                again += any(point == asked.point and number > asked.replicate for point, number in taken)
                pending.append(asked.id)
                if len(pending) == 2:
                    point, number = pending.pop(int(random.integers(2)))
                    if random.random() > 0.3:  # otherwise its worker was killed
                        runs.append(replace(surface(grid.hyperparameters(point)), point=point, replicate=number))
        assert again  # a number that was lost was given again

    def test_a_lucky_run_is_asked_again_before_it_is_believed_for_long(self) -> None:
        """One point gave 3 points too much the first time only: in the end it is not the winner."""
        grid = grid_of()
        bowl = bowl_at(grid, 4, 2, -3)
        lucky, met = grid.hyperparameters((8, 0, 0)), list[dict[str, float]]()

        def surface(values: dict[str, float]) -> Run:
            luck = 3.0 if values == lucky and values not in met else 0.0
            met.append(values)
            return result(value=bowl(values) + luck)

        search = search_on(grid, surface, 25)
        assert met.count(lucky) >= 1
        assert bowl(search.winner) >= GOOD


class TestWords:
    def test_every_reason_is_a_sentence_about_axes(self) -> None:
        grid = grid_of()
        search = search_on(grid, noisy(bowl_at(grid, 5, 2, -3), 1, 0.5), 20)
        names = [axis.name for axis in grid.chart.axes]
        assert search.suggestions[0].reason == "the start"
        for question in search.suggestions[1:]:
            assert len(question.reason.split()) > 3
            assert question.replicate or any(name in question.reason for name in names)
            assert question.incumbent in {other.point for other in search.suggestions}

    def test_the_move_leads_from_the_best_to_the_point(self) -> None:
        grid = grid_of()
        words = describe_move(grid, (0, 0, 0), (4, 0, -1))
        assert words == "lr·wd/(1−momentum) ×4, wd ÷1.41"


class TestThousandths:
    """A language model's losses: what counts is thousandths beside a run that is far worse."""

    @pytest.mark.slow
    def test_differences_of_thousandths_are_followed_beside_a_loss_three_above(self) -> None:
        """0.005 a squared octave, noise 0.002, lr and batch size; runs above lr = 0.02 end at 6."""
        chart, start = with_further(chart_for(["lr"], "adamw"), [Further("batch_size", 64, 8, 2048, whole=True)])
        grid = Grid(grid_chart("flatdirs", chart), {"lr": 0.001, **start})

        def loss(values: Values) -> float:
            if values["lr"] > 0.02:
                return 6.0
            return 3.0 + 0.005 * (math.log2(values["lr"] / 0.004) ** 2 + math.log2(values["batch_size"] / 256) ** 2)

        ends = []
        for seed in range(6):
            known = [Run((12, 0), -6.0), Run((0, 0), -loss(grid.start))]
            search = search_on(grid, noisy(lambda values: -loss(values), seed, 0.002), 18, known=known)
            ends.append(loss(search.winner) - 3.0)
        assert sum(end <= 0.005 for end in ends) >= 5, ends


def _signed(words: str) -> float:
    """A difference in words, such as 0.25 worse, as a number."""
    size, side = words.split()
    return float(size) if side == "better" else -float(size)


class TestEarlierStudy:
    """A search that is given the runs of an earlier one, from the usual start."""

    TOP = (8, -4, 6)

    @staticmethod
    def runs(grid: Grid, top: tuple[int, ...], height: float) -> BayesSettings:
        """The runs of an earlier study whose best lay there, with values of another height."""
        bowl = bowl_at(grid, *top)
        made = search_on(grid, noisy(bowl, 1, 0.3), 25)
        told = [EarlierRun(values, run.value + height) for values, run in zip(made.values, made.runs, strict=True)]
        return BayesSettings(earlier=tuple(told))

    def test_a_right_one_shows_the_way_whatever_its_values(self) -> None:
        grid = grid_of()
        bowl, rules = bowl_at(grid, *self.TOP), self.runs(grid, self.TOP, -50.0)
        first = search_on(grid, noisy(bowl, 2, 0.3), 8, rules).first(bowl)
        assert first < search_on(grid, noisy(bowl, 2, 0.3), 8).first(bowl)

    def test_a_wrong_one_is_overruled(self) -> None:
        grid = grid_of()
        bowl, rules = bowl_at(grid, *self.TOP), self.runs(grid, (-8, 4, -6), 0.0)
        search = search_on(grid, noisy(bowl, 2, 0.3), 20, rules)
        assert search.first(bowl) < math.inf
        assert bowl(search.winner) >= GOOD

    def test_it_is_kept_with_the_study(self) -> None:
        rules = self.runs(grid_of(), self.TOP, 0.0)
        assert BayesSettings(**json.loads(json.dumps(stored(rules)))) == rules
        assert "earlier" not in stored(BayesSettings())

    @pytest.mark.parametrize(("lr", "run"), [(0.3, True), (30.0, False)])
    def test_what_it_handed_over_is_run_after_the_start_within_the_bounds(self, lr: float, run: bool) -> None:
        grid = grid_of(bounds={"lr": (None, 1.0)})
        rules = replace(self.runs(grid, self.TOP, 0.0), second={**grid.start, "lr": lr})
        search = search_on(grid, bare(bowl_at(grid, *self.TOP)), 4, rules)
        assert search.values[0] == grid.start
        assert [values["lr"] == lr for values in search.values] == [False, run, False, False]
        waiting = suggest(grid, (), [(grid.origin, 0)], rules)
        assert (grid.hyperparameters(waiting.point) == rules.second) == run
