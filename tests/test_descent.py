"""The source's descent: its known answers, its rules for ties, failures and plateaus, and that it asks nothing twice.

`Bowl` is a concave quadratic in the steps of lr·wd/(1−momentum), 1−momentum and wd whose best first coordinate tilts a
little with the weight decay (8 steps at wd = .01, 7 at wd = .00125) and whose best momentum tilts too, as in the
source's own table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.search import grid_chart
from flatdirs.search.coordinate_descent import MOST_HISTORIES, DescentSettings, Trace, suggestions, trace
from flatdirs.search.types import Run, RunId, Suggestion
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart
from tests.runs import result

START = {"lr": 0.001, "momentum": 0.5, "wd": 0.01}
Surface = Callable[[dict[str, float]], Run]


def steps_of(values: dict[str, float]) -> tuple[float, float, float]:
    """Steps of (lr·wd/(1−momentum), 1−momentum, wd) from the source's start."""
    rate = math.log2(values["lr"] / 0.001)
    rest = math.log2((1 - values["momentum"]) / 0.5)
    decay = math.log2(values["wd"] / 0.01)
    return rate + decay - rest, rest, decay


def bowl(values: dict[str, float]) -> Run:
    first, rest, decay = steps_of(values)
    height = (first - 7.3 - 0.2 * (decay + 3)) ** 2 + 0.3 * (rest + 2 - 0.25 * (decay + 3)) ** 2 + (decay + 3) ** 2
    return result(value=94 - 0.1 * height)


@dataclass
class Walk:
    """A whole search on a surface: what was asked, in order, and what it came to."""

    asked: list[Point] = field(default_factory=list)
    gains: list[tuple[int, dict[str, float]]] = field(default_factory=list)  # (runs so far, the new best)
    axis_ends: list[tuple[int, dict[str, float]]] = field(default_factory=list)  # (runs so far, the best)
    end: Trace | None = None
    grid: Grid | None = None

    @property
    def winner(self) -> dict[str, float]:
        assert self.end is not None
        assert self.grid is not None
        assert self.end.incumbent is not None
        return self.grid.hyperparameters(self.end.incumbent)

    @property
    def rates(self) -> list[float]:
        """The learning rates that were run, in order."""
        assert self.grid is not None
        return [self.grid.hyperparameters(point)["lr"] for point in self.asked]


def search_on(
    surface: Surface,
    search: str = "myrtle",
    settings: DescentSettings | None = None,
    grid: Grid | None = None,
    limit: int = 200,
) -> Walk:
    given = grid or Grid(named_chart("sgd"), START)
    walked = Grid(grid_chart(search, given.chart), given.start)
    run, answers, line, best = Walk(grid=walked), dict[RunId, Run](), 1, None
    while len(answers) < limit:
        now = trace(walked, settings or DescentSettings(), answers)
        pending = now.pending
        if (pending is None or pending.line > line) and answers:
            assert now.incumbent is not None
            run.axis_ends.append((len(answers), walked.hyperparameters(now.incumbent)))
            line = 0 if pending is None else pending.line
        if now.incumbent is not None and now.incumbent != best:
            best = now.incumbent
            run.gains.append((len(answers), walked.hyperparameters(best)))
        if pending is None:
            run.end = now
            return run
        point = pending.suggestion.point
        assert (point, 0) not in answers
        run.asked.append(point)
        answers[point, 0] = surface(walked.hyperparameters(point))
    raise AssertionError(f"the search did not end within {limit} runs")


SOURCE = [
    (10, {"lr": 0.256, "momentum": 0.5, "wd": 0.01}),
    (13, {"lr": 0.128, "momentum": 0.75, "wd": 0.01}),
    (17, {"lr": 1.024, "momentum": 0.75, "wd": 0.00125}),
    (20, {"lr": 0.512, "momentum": 0.75, "wd": 0.00125}),
    (22, {"lr": 0.256, "momentum": 0.875, "wd": 0.00125}),
]


class TestKnownAnswer:
    def test_the_sources_five_incumbents_after_its_own_numbers_of_runs(self) -> None:
        run = search_on(bowl)
        assert run.axis_ends[:5] == SOURCE
        assert len(run.asked) == 26
        assert run.winner == SOURCE[-1][1]

    def test_the_same_from_the_sources_accuracies_and_nothing_but_worse_beside_them(self) -> None:
        """Straight from the table: 30.6 % at the start, its results after each axis, rising steps between them."""
        path = {
            **{(n, 0, 0): 30.6 + (93.0 - 30.6) * n / 8 for n in range(9)},
            (8, -1, 0): 93.2,
            **{(8, -1, -n): 93.2 + 0.7 * n / 3 for n in range(1, 4)},
            (7, -1, -3): 94.1,
            (7, -2, -3): 94.2,
        }

        def table(values: dict[str, float]) -> Run:
            place = tuple(round(n) for n in steps_of(values))
            return result(value=path.get(place, 20.0))  # type: ignore[arg-type]

        run = search_on(table)
        assert run.axis_ends[:5] == SOURCE
        assert len(run.asked) == 26

    def test_the_first_axis_ends_within_a_factor_of_two_of_the_end(self) -> None:
        run = search_on(bowl)
        grid = Grid(named_chart("sgd"), START)
        after_first, at_the_end = (
            grid.chart.coordinates(v)["lr·wd/(1−momentum)"] for v in (run.axis_ends[0][1], run.winner)
        )
        assert after_first / at_the_end == pytest.approx(2)

    def test_raw_takes_another_path_and_ends_lower(self) -> None:
        """Along (lr, 1−momentum, wd) the same bowl is a narrow diagonal valley, and single moves get stuck on its
        flank.
        """
        flat, raw = search_on(bowl), search_on(bowl, "raw")
        assert raw.gains != flat.gains
        assert bowl(raw.winner).value < bowl(flat.winner).value
        reached = next(runs for runs, values in flat.gains if bowl(values).value >= bowl(raw.winner).value)
        assert reached < next(runs for runs, values in raw.gains if values == raw.winner)

    def test_a_start_at_the_optimum_takes_seven_runs(self) -> None:
        grid = Grid(named_chart("sgd"), SOURCE[-1][1])
        assert len(search_on(bowl, grid=grid).asked) == 7

    @pytest.mark.parametrize("search", ["myrtle", "raw"])
    def test_no_point_is_asked_twice(self, search: str) -> None:
        run = search_on(bowl, search)
        assert len(set(run.asked)) == len(run.asked)

    def test_points_met_again_are_recalled(self) -> None:
        end = search_on(bowl).end
        assert end is not None
        recalled = [step.proposal.suggestion.point for step in end.steps if step.recalled]
        assert recalled
        assert len(end.steps) == 26 + len(recalled)


class TestTies:
    def test_a_tie_is_no_gain(self) -> None:
        run = search_on(lambda values: result(value=max(90.0, bowl(values).value), at_chance=False))
        assert run.winner == START
        assert len(run.asked) == 7

    def test_a_gain_must_exceed_min_gain(self) -> None:
        """A slope of one a step: every step counts below that, none from there on."""

        def slope(values: dict[str, float]) -> Run:
            first, rest, decay = steps_of(values)
            return result(value=first - 10 * abs(rest) - 10 * abs(decay) if first < 6 else -5.0, at_chance=False)

        assert search_on(slope, settings=DescentSettings(min_gain=0.5)).winner["lr"] == pytest.approx(0.032)
        assert search_on(slope, settings=DescentSettings(min_gain=1.0)).winner == START


class TestFailures:
    def test_a_diverged_run_is_worse_than_any_finished_one(self) -> None:
        def surface(values: dict[str, float]) -> Run:
            first = steps_of(values)[0]
            return result("diverged", value=99.0) if first > 3 else result(value=-1000 + first)

        assert steps_of(search_on(surface).winner)[0] == 3

    @pytest.mark.parametrize(("state", "reached"), [("diverged", 5), ("pruned", 3)])
    def test_value_takes_the_number_that_a_diverged_run_left_and_never_a_pruned_ones(
        self, state: str, reached: int
    ) -> None:
        def surface(values: dict[str, float]) -> Run:
            first, rest, decay = steps_of(values)
            score = -((first - 5) ** 2) - rest**2 - decay**2
            return result(state if first > 3 else "finished", value=score)  # type: ignore[arg-type]

        assert steps_of(search_on(surface).winner)[0] == 3
        assert steps_of(search_on(surface, settings=DescentSettings(diverged="value")).winner)[0] == reached

    def test_a_start_that_diverges_walks_down_in_learning_rate(self) -> None:
        def surface(values: dict[str, float]) -> Run:
            return bowl(values) if values["lr"] < 0.5 else result("diverged")

        grid = Grid(named_chart("sgd"), {**START, "lr": 64.0})
        run = search_on(surface, grid=grid)
        assert run.rates[:10] == [64, 128, 32, 16, 8, 4, 2, 1, 0.5, 0.25]
        assert bowl(run.winner).value > 93

    def test_where_everything_diverges_the_search_ends(self) -> None:
        run = search_on(lambda _: result("diverged"))
        assert run.winner == START
        assert min(run.rates) == pytest.approx(0.001 / 2**12, rel=6e-4)


class TestChance:
    """Accuracies of guessing say nothing: the validation loss decides while it is known."""

    @staticmethod
    def digits(values: dict[str, float], loss: bool = True, chance: bool | None = True) -> Run:
        score = bowl(values).value
        if score > 92.5:
            return result(value=score, loss=1 - score / 100, at_chance=chance and False)
        first = steps_of(values)[0]
        noise = 0.3 * math.sin(17 * first)  # guessing wobbles by chance
        return result(value=10 + (noise if loss else 0), loss=2.3 - first / 1000 if loss else None, at_chance=chance)

    def test_a_start_at_a_millionth_climbs_by_its_loss(self) -> None:
        grid = Grid(named_chart("sgd"), {**START, "lr": 1e-6})
        run = search_on(self.digits, grid=grid)
        assert run.rates[:19] == pytest.approx([1e-6 * 2**n for n in range(19)], rel=6e-4)  # to .262 and one too far
        assert bowl(run.winner).value > 93.5

    def test_without_the_loss_a_plateau_is_walked_until_its_limit(self) -> None:
        grid = Grid(named_chart("sgd"), {**START, "lr": 1e-6})
        flat = search_on(lambda values: self.digits(values, loss=False, chance=None), grid=grid)
        up, down = [1e-6 * 2**n for n in range(13)], [1e-6 / 2**n for n in range(1, 13)]
        assert flat.rates[:25] == pytest.approx([*up, *down], rel=6e-4)

    def test_a_plateau_that_ends_within_the_limit_is_left_upwards(self) -> None:
        grid = Grid(named_chart("sgd"), {**START, "lr": 0.001 * 2**-4})
        run = search_on(lambda values: self.digits(values, loss=False, chance=None), grid=grid)
        assert bowl(run.winner).value > 93.5

    @pytest.mark.parametrize("limit", [1, 5])
    def test_the_limit_is_a_setting(self, limit: int) -> None:
        run = search_on(lambda _: result(value=1.0), settings=DescentSettings(plateau_limit=limit))
        assert run.rates[: limit + 2] == [*(0.001 * 2**n for n in range(limit + 1)), 0.0005]

    def test_after_a_gain_a_tie_ends_the_walk(self) -> None:
        """The plateau rule is for searches that have seen nothing yet, not for flat tops."""

        def table_mountain(values: dict[str, float]) -> Run:
            first, rest, decay = steps_of(values)
            return result(value=min(first, 3.0) - abs(rest) - abs(decay))

        run = search_on(table_mountain)
        assert run.rates[:5] == [0.001 * 2**n for n in range(5)]

    def test_learning_anything_beats_guessing_with_a_lower_loss(self) -> None:
        def surface(values: dict[str, float]) -> Run:
            first = steps_of(values)[0]
            guesses = first < 1
            return result(value=10.0 if guesses else 20.0, loss=2.3 if guesses else 5.0, at_chance=guesses)

        assert steps_of(search_on(surface).winner)[0] == 1

    def test_a_diverged_run_never_wins_by_its_loss(self) -> None:
        def surface(values: dict[str, float]) -> Run:
            first = steps_of(values)[0]
            return result("diverged" if first > 0 else "finished", 10.0, 2.3 - first / 10, True)

        assert steps_of(search_on(surface).winner)[0] == 0


class TestWalls:
    def test_a_wall_is_not_run_and_the_walk_ends_before_it(self) -> None:
        chart = named_chart("sgd").within({"lr": (None, 0.01)})
        run = search_on(bowl, grid=Grid(chart, START))
        assert max(run.rates) <= 0.01
        assert run.rates[:4] == [0.001, 0.002, 0.004, 0.008]

    def test_between_walls_on_every_side_only_the_start_is_run(self) -> None:
        tight = {"lr": (0.0009, 0.0011), "momentum": (0.4, 0.6), "wd": (0.009, 0.011)}
        run = search_on(bowl, grid=Grid(named_chart("sgd").within(tight), START))
        assert run.asked == [(0, 0, 0)]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"min_gain": -0.1}, "search.min_gain"),
        ({"min_gain": math.nan}, "search.min_gain"),
        ({"diverged": "best"}, "search.diverged"),
        ({"plateau_limit": -1}, "search.plateau_limit"),
    ],
)
def test_rules_that_cannot_be_followed_name_the_key(settings: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as error:
        DescentSettings(**settings)  # type: ignore[arg-type]
    assert error.value.key == key


def test_an_unknown_search_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        grid_chart("mirtle", named_chart("sgd"))
    assert error.value.key == "search"


GRID = Grid(named_chart("sgd"), {"lr": 0.001, "momentum": 0.5, "wd": 0.01})
ORIGIN: Point = (0, 0, 0)


def follow(answers: Mapping[Point, Run]) -> Trace:
    return trace(GRID, DescentSettings(), {(point, 0): run for point, run in answers.items()})


def offers(answers: Mapping[Point, Run], pending: Collection[Point] = ()) -> Iterator[Suggestion]:
    runs = [replace(run, point=point) for point, run in answers.items()]
    return suggestions(GRID, DescentSettings(), runs, [(point, 0) for point in pending])


def random_surface(seed: int) -> dict[Point, Run]:
    """The answers of a whole search on a bumpy bowl, in the order they were asked for."""
    centre = [(seed * prime) % 11 - 5 for prime in (3, 5, 7)]
    answers: dict[Point, Run] = {}
    while (question := follow(answers).pending) is not None:
        point = question.suggestion.point
        bump = hash((seed, *point)) % 7
        score = bump - 3.0 * sum((n - c) ** 2 for n, c in zip(point, centre, strict=True))
        state = "diverged" if hash((*point, seed)) % 9 == 0 and point != ORIGIN else "finished"
        answers[point] = result(state, score, at_chance=False)  # type: ignore[arg-type]
    return answers


@examples(max_examples=25)
@given(st.integers(0, 10_000))
def test_resuming_from_every_prefix_asks_the_same_again(seed: int) -> None:
    answers = list(random_surface(seed).items())
    for length, (point, _) in enumerate(answers):
        pending = follow(dict(answers[:length])).pending
        assert pending is not None
        assert pending.suggestion.point == point
    assert follow(dict(answers)).over


@examples(max_examples=25)
@given(st.integers(0, 10_000))
def test_answers_that_came_early_change_nothing(seed: int) -> None:
    """Speculated runs finish before they are asked for; the winner and the steps are those of one worker alone."""
    answers = random_surface(seed)
    alone = follow(answers)
    more = {**answers, (50, 0, 0): result(value=1e9), (0, 50, 0): result(value=1e9)}
    assert follow(dict(reversed(more.items()))) == alone


@examples(max_examples=25)
@given(st.integers(0, 10_000), st.data())
def test_proposals_are_new_distinct_and_begin_with_the_open_question(seed: int, data: st.DataObject) -> None:
    answers = list(random_surface(seed).items())
    known = dict(answers[: data.draw(st.integers(0, len(answers) - 1))])
    pending = follow(known).pending
    assert pending is not None
    offered = [question.point for question in itertools.islice(offers(known), 12)]
    assert offered[0] == pending.suggestion.point
    assert len(set(offered)) == len(offered)
    assert not set(offered) & set(known)
    busy = set(offered[: data.draw(st.integers(1, len(offered)))])
    instead = [question.point for question in itertools.islice(offers(known, busy), 12)]
    assert not set(instead) & busy
    assert not set(instead) & set(known)


def test_the_next_guess_is_the_likelier_one() -> None:
    """After a gain the line goes on, else the next axis comes; a first step fails as often as not: both are offered."""
    climbing = {(n, 0, 0): result(value=float(n), at_chance=False) for n in range(4)}
    offered = [question.point for question in offers(climbing)]
    assert offered[:3] == [(4, 0, 0), (5, 0, 0), (3, 1, 0)]
    fresh = [question.point for question in offers({ORIGIN: result(value=0.0, at_chance=False)})]
    assert set(fresh[1:3]) == {(2, 0, 0), (-1, 0, 0)}


def test_every_answer_to_the_open_question_was_foreseen() -> None:
    """With both follow-ups run ahead, whatever the pending run gives, the next question is answered already."""
    climbing = {(n, 0, 0): result(value=float(n), at_chance=False) for n in range(3)}
    pending, *rest = (question.point for question in itertools.islice(offers(climbing), 6))
    for score in (10.0, -10.0):
        following = follow({**climbing, pending: result(value=score, at_chance=False)}).pending
        assert following is not None
        assert following.suggestion.point in rest


def test_the_tree_of_guesses_is_bounded() -> None:
    """It tries MOST_HISTORIES histories and stops, however many points are taken."""
    assert 10 < len(list(offers({}))) <= MOST_HISTORIES


def test_before_the_start_is_known_its_neighbours_are_offered() -> None:
    offered = [question.point for question in itertools.islice(offers({}, {ORIGIN}), 2)]
    assert offered[0] == (1, 0, 0)


def test_nothing_is_proposed_once_the_search_is_over() -> None:
    answers = random_surface(1)
    assert list(offers(answers)) == []


def test_a_question_says_why_it_is_asked() -> None:
    run = follow({(n, 0, 0): result(value=float(n), at_chance=False) for n in range(3)})
    assert run.pending is not None
    asked = run.pending.suggestion
    assert (asked.axis, asked.move, asked.incumbent) == (0, "double", (2, 0, 0))
    assert "lr·wd/(1−momentum)" in asked.reason
    assert [step.decision.comparison for step in run.steps] == ["better", "better", "better"]
