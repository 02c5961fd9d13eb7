"""The last runs of a budget: replicates of what the decision hangs on."""

from __future__ import annotations

import numpy as np

from flatdirs.search.bayes import MOST_REPLICATES, incumbent, suggest
from flatdirs.search.known import BayesSettings, known_of
from flatdirs.search.remaining import left_to_gain
from flatdirs.search.types import Run, RunId
from flatdirs.space.grid import Grid
from tests.searches import bare, bowl_at, grid_of, noisy, search_on


def searched(count: int, deviation: float = 0.5, seed: int = 0) -> tuple[Grid, list[Run]]:
    grid = grid_of()
    return grid, search_on(grid, noisy(bowl_at(grid, 5, 2, -3), seed, deviation), count).runs


class TestLastRuns:
    def test_they_replicate_points_that_may_be_the_best(self) -> None:
        grid, runs = searched(25)
        asked = [suggest(grid, runs, left=left) for left in (3, 2, 1)]
        assert all(one.replicate > 0 for one in asked)
        points = {run.point: run.value for run in sorted(runs, key=lambda run: run.value)}
        better = [point for point, value in points.items() if value >= np.median(list(points.values()))]
        assert all(one.point in better for one in asked)

    def test_pending_ones_count_among_the_runs_of_a_point(self) -> None:
        """Workers that are all given a last run share them out, three runs a point at most."""
        grid, runs = searched(25)
        pending = list[RunId]()
        for _ in range(8):
            pending.append(suggest(grid, runs, pending, left=3).id)
        assert len(set(pending)) == 8
        points = [*(run.point for run in runs), *(point for point, _ in pending)]
        assert max(points.count(point) for point, _ in pending) <= MOST_REPLICATES

    def test_with_runs_left_or_none_told_or_no_noise_the_search_goes_on(self) -> None:
        grid, runs = searched(25)
        assert suggest(grid, runs, left=30) == suggest(grid, runs)
        assert suggest(grid, runs, left=0) == suggest(grid, runs)  # a study that goes on after its budget
        rules = BayesSettings(deterministic=True)
        assert suggest(grid, runs, settings=rules, left=1) == suggest(grid, runs, settings=rules)

    def test_where_replicates_agreed_there_is_nothing_to_replicate(self) -> None:
        grid = grid_of()
        runs = search_on(grid, bare(bowl_at(grid, 5, 2, -3)), 20).runs
        again = [Run(run.point, run.value, replicate=7 + n) for n, run in enumerate(runs[:3])]
        assert suggest(grid, [*runs, *again], left=1).replicate == 0


class TestLeftToGain:
    def test_it_shrinks_as_the_search_goes_on(self) -> None:
        early, late = (left_to_gain(known_of(*searched(count))) for count in (8, 40))
        for one in (early, late):
            assert 0 <= one.low <= one.median <= one.high
            assert one.noise > 0
        assert late.high < early.high

    def test_its_interval_holds_what_is_left(self) -> None:
        """The gap of the incumbent to the top, on most of eight bowls."""
        inside = 0
        for seed in range(8):
            grid, runs = searched(30, seed=seed)
            best = incumbent(grid, runs)
            assert best is not None
            bowl = bowl_at(grid, 5, 2, -3)
            gap = bowl(bowl.top) - bowl(grid.hyperparameters(best))
            inside += gap <= left_to_gain(known_of(grid, runs)).high + 1e-9
        assert inside >= 6

    def test_the_same_runs_give_the_same(self) -> None:
        grid, runs = searched(20)
        random = np.random.default_rng(0)
        shuffled = [runs[n] for n in random.permutation(len(runs))]
        assert left_to_gain(known_of(grid, runs)) == left_to_gain(known_of(grid, shuffled))
