"""What the Bayesian search has learnt: how flat each axis is around the incumbent, and which product is steep.

In: the grid and the runs, from which the model is fitted again. Out: Findings, in the unit of the objective value, or
None below FEWEST runs. Reports show it; no suggestion depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from flatdirs.search import choices
from flatdirs.search.bracketing import MOVE
from flatdirs.search.explain import describe_move
from flatdirs.search.kernels import one_thread
from flatdirs.search.known import BayesSettings, Known, known_of, places_of
from flatdirs.search.types import Run
from flatdirs.space.chart import Point, product
from flatdirs.space.grid import Grid

FEWEST = 6  # runs before anything is reported


@dataclass(frozen=True)
class Flatness:
    """What two doublings (`factor` 4) or halvings (¼) along an axis do to the value: median (`mean`), 90 % interval.

    Above 0 is better, also for losses. `noise`: the standard deviation of one run, 0 if deterministic. `flat`: the
    whole interval lies within the standard deviation of the difference between two runs of one point. `unclear`: the
    runs can distinguish the change neither from zero nor from that. `change`: the step in words, such as ×4 or
    0.1 → 0.25.
    """

    axis: str
    factor: float
    mean: float
    low: float
    high: float
    noise: float
    change: str = ""

    @property
    def flat(self) -> bool:
        """Whether another seed may change as much."""
        return max(-self.low, self.high) <= math.sqrt(2.0) * self.noise

    @property
    def unclear(self) -> bool:
        """Whether the change is not distinguishable from seed noise."""
        return self.low <= 0 <= self.high and abs(self.mean) <= math.sqrt(2.0) * self.noise


@dataclass(frozen=True)
class Findings:
    """`flatness`: both ways along every axis, within bounds. `steep`: products of powers that may be what counts, with
    their probabilities by these runs, the likeliest first; "" stands for no product, each hyperparameter for itself.

    `best`, `expected`: the incumbent and its posterior mean, None while no run has a value. `steep` is empty where
    nothing relates the hyperparameters. `even`: all runs gave the same value, and there is nothing else to report.
    """

    best: Point
    expected: float | None
    flatness: tuple[Flatness, ...] = ()
    steep: tuple[tuple[str, float], ...] = ()
    even: bool = False


def find(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Findings | None:
    """What the runs so far show, with the choices that stand; None where they are too few."""
    chosen: choices.Chosen = ()
    if grid.chart.open_choices:
        chosen = choices.standing(grid, runs, settings or BayesSettings())
        grid, runs = choices.with_choices(grid, chosen), choices.runs_with(grid, runs, chosen)
    if len(runs) < FEWEST:
        return None
    with one_thread():
        found = _find(known_of(grid, runs, settings))
    return replace(found, best=(*found.best, *chosen))


def _find(known: Known) -> Findings:
    if not known.points:
        return Findings(known.best, None)
    if known.even:
        everywhere = known.finished == len(known.runs)
        return Findings(known.best, known.runs[0].value if everywhere else None, even=everywhere)
    expected = float(known.model.expected(places_of(known.log_grid, [known.best]))[0])
    return Findings(known.best, expected, tuple(_flatness(known)), tuple(_steep(known)))


def _steep(known: Known) -> Iterator[tuple[str, float]]:
    """Products that may be steep, the likeliest first."""
    if not known.model.structure.related:
        return
    one_minus = known.log_grid.grid.chart.one_minus
    for powers, probability in sorted(known.model.steep.items(), key=lambda pair: -pair[1]):
        name = "" if powers is None else product(dict(zip(known.log_grid.names, powers, strict=True)), one_minus)
        yield name, probability


def _flatness(known: Known) -> Iterator[Flatness]:
    grid, log_grid, best, model = known.log_grid.grid, known.log_grid, known.best, known.model
    here = places_of(log_grid, [best])
    for axis, about in enumerate(grid.chart.axes):
        for side in (2 * MOVE, -2 * MOVE):
            moved = (*best[:axis], best[axis] + side, *best[axis + 1 :])
            other = places_of(log_grid, [moved])
            if not log_grid.inside(other)[0] or (other == here).all():
                continue
            low, middle, high = model.quantiles(here[0], (0.05, 0.5, 0.95), other[0])
            change = describe_move(grid, best, log_grid.point(other[0])).removeprefix(f"{about.name} ")
            yield Flatness(about.name, grid.chart.step**side, middle, low, high, model.noise, change)
