"""Searches on surfaces made by hand: the grid, bowls, and a loop that checks every suggestion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flatdirs.backend.sampler import typical_start
from flatdirs.search import grid_chart
from flatdirs.search.bayes import incumbent, suggest
from flatdirs.search.flatness import Findings, find
from flatdirs.search.known import BayesSettings
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart
from tests.runs import result

HEIGHT = 94.0
GOOD = 0.99 * HEIGHT
Values = Mapping[str, float]


def grid_of(chart: str = "sgd", fixed: tuple[str, ...] = (), bounds: object = None, **start: float) -> Grid:
    """The grid that the search walks on, from the typical start unless told otherwise."""
    given_chart = named_chart(chart)
    held = given_chart.fix(fixed) if fixed else given_chart
    walled = held.within(bounds) if isinstance(bounds, dict) else held
    return Grid(grid_chart("flatdirs", walled), {**typical_start(given_chart), **start})


@dataclass(frozen=True)
class Bowl:
    """Quadratic in octaves: a doubling along the first axis costs `steep`, along any other `gentle`, from the top."""

    grid: Grid
    top: Values
    steep: float = 1.0
    gentle: float = 0.15

    def off(self, values: Values) -> list[float]:
        """Octaves off the top, along each axis."""
        chart = self.grid.chart
        here, there = chart.coordinates(values), chart.coordinates(self.top)
        return [math.log2(here[axis.name] / there[axis.name]) for axis in chart.axes]

    def __call__(self, values: Values) -> float:
        first, *others = self.off(values)
        return HEIGHT - self.steep * first**2 - self.gentle * sum(n * n for n in others)


def bowl_at(grid: Grid, *steps: int) -> Bowl:
    """A bowl whose top lies so many half moves from the typical start of the grid's chart."""
    typical = Grid(grid.chart, {**grid.start, **typical_start(grid.chart)})
    return Bowl(grid, typical.hyperparameters(steps[: len(grid.chart.axes)]))


@dataclass
class Search:
    """So many runs of the search on a surface."""

    grid: Grid
    settings: BayesSettings = field(default_factory=BayesSettings)
    suggestions: list[Suggestion] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def go_on(self, surface: Callable[[Point, int], Run]) -> None:
        """One more run; every suggestion is a new run within bounds, and has a reason."""
        suggestion = suggest(self.grid, self.runs, (), self.settings)
        assert suggestion.id not in {run.id for run in self.runs}
        assert self.grid.out_of_bounds(suggestion.point) is None
        assert suggestion.reason
        self.suggestions.append(suggestion)
        run = surface(suggestion.point, suggestion.replicate)
        self.runs.append(replace(run, point=suggestion.point, replicate=suggestion.replicate))

    @property
    def values(self) -> list[dict[str, float]]:
        """What was run, in order."""
        return [self.grid.hyperparameters(suggestion.point) for suggestion in self.suggestions]

    @property
    def winner(self) -> dict[str, float]:
        best = incumbent(self.grid, self.runs, self.settings)
        assert best is not None
        return self.grid.hyperparameters(best)

    @property
    def findings(self) -> Findings | None:
        return find(self.grid, self.runs, self.settings)

    def first(self, surface: Callable[[Values], float], bar: float = GOOD) -> float:
        """The number of the first run that is good enough, infinite if none was."""
        good = (number for number, values in enumerate(self.values, 1) if surface(values) >= bar)
        return next(good, math.inf)


def search_on(
    grid: Grid,
    surface: Callable[[dict[str, float]], Run],
    runs: int,
    rules: BayesSettings | None = None,
    known: Sequence[Run] = (),
) -> Search:
    """So many runs, after those that are known."""
    search = Search(grid, rules or BayesSettings(), runs=list(known))
    for _ in range(runs):
        search.go_on(lambda point, _: surface(grid.hyperparameters(point)))
    return search


def bare(surface: Callable[[Values], float]) -> Callable[[dict[str, float]], Run]:
    return lambda values: result(value=surface(values))


def noisy(surface: Callable[[Values], float], seed: int, deviation: float) -> Callable[[dict[str, float]], Run]:
    random = np.random.default_rng(seed)
    return lambda values: result(value=surface(values) + deviation * random.standard_normal())
