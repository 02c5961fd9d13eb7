"""A slice as whole numbers: its cells, the runs it has, and the runs it still wants. Pure.

A cell is a pair of integers, steps of a factor from the centre along x and along y, so cells are equal or not, never
nearly, and a grid can be made larger later without losing what was run.

Every cell is trained once. Then the top of every row (one value of y) and its neighbours along x get all their seeds;
where that makes another cell the top, its neighbourhood follows, until nothing moves. Decisions of a row are made only
when nothing of it is running, so the runs of a finished slice do not depend on how many workers made it. The rule is
ours; the source trained every cell three times.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Cell = tuple[int, int]  # steps from the centre along x and along y
Key = tuple[Cell, int]  # a cell and the number of a seed, from 0


@dataclass(frozen=True)
class SliceAxis:
    """One axis: a hyperparameter, its value in the centre, a factor per step, and the first and last step.

    `name` may be one_minus_… of a hyperparameter. `whole`: values are rounded to whole numbers.
    """

    name: str
    center: float
    factor: float
    first: int
    last: int
    whole: bool = False

    @property
    def steps(self) -> range:
        """All steps, from the smallest value to the largest."""
        return range(self.first, self.last + 1)

    def value(self, step: int) -> float:
        """The value so many steps from the centre."""
        value = self.center * self.factor**step
        return float(max(1, round(value))) if self.whole else value

    def values(self) -> list[float]:
        """The value of every step."""
        return [self.value(step) for step in self.steps]

    @property
    def hyperparameter(self) -> str:
        """What a run is given: momentum for one_minus_momentum."""
        return self.name.removeprefix("one_minus_")

    def setting(self, step: int) -> float:
        """The hyperparameter's value: 1 − value where the axis says so."""
        return 1.0 - self.value(step) if self.hyperparameter != self.name else self.value(step)


@dataclass(frozen=True)
class SliceGrid:
    """Two axes and how often cells are trained: `seeds` times around the top of a row (`near` cells to each side)."""

    x: SliceAxis
    y: SliceAxis
    seeds: int = 3
    near: int = 1

    def cells(self) -> list[Cell]:
        """All cells, those around the centre first."""
        both = [(x, y) for y in self.y.steps for x in self.x.steps]
        return sorted(both, key=lambda cell: (max(map(abs, cell)), cell))

    def hyperparameters(self, cell: Cell) -> dict[str, float]:
        """The two hyperparameters of a cell."""
        return {self.x.hyperparameter: self.x.setting(cell[0]), self.y.hyperparameter: self.y.setting(cell[1])}


@dataclass(frozen=True)
class Run:
    """One finished training run of a cell. `value`: None where there is none; a diverged run counts as worst."""

    cell: Cell
    seed: int
    value: float | None
    diverged: bool = False
    seconds: float | None = None


def by_cell(runs: Iterable[Run]) -> dict[Cell, list[Run]]:
    """The runs of each cell."""
    found: dict[Cell, list[Run]] = {}
    for run in runs:
        found.setdefault(run.cell, []).append(run)
    return found


def mean_score(runs: Sequence[Run], maximize: bool = True) -> float:
    """The mean of a cell's runs, higher is better; minus infinity where one of them diverged or has no value."""
    values = [run.value for run in runs if run.value is not None and not run.diverged]
    if not runs or len(values) < len(runs):
        return -math.inf
    return statistics.fmean(values) * (1 if maximize else -1)


def wanted(grid: SliceGrid, runs: Sequence[Run], busy: Collection[Key] = (), maximize: bool = True) -> Iterator[Key]:
    """The runs to make next, those that are running left out; nothing where all is done or waits for a running one."""
    done = {(run.cell, run.seed) for run in runs}
    yield from ((cell, 0) for cell in grid.cells() if (cell, 0) not in done and (cell, 0) not in busy)
    cells = by_cell(runs)
    for y in sorted(grid.y.steps, key=abs):
        if any((x, y) not in cells for x in grid.x.steps) or any(cell[1] == y for cell, _ in busy):
            continue
        for cell in _around_top(grid, y, cells, maximize):
            yield from ((cell, seed) for seed in range(1, grid.seeds) if (cell, seed) not in done)


def _around_top(grid: SliceGrid, y: int, cells: Mapping[Cell, Sequence[Run]], maximize: bool) -> list[Cell]:
    """The best cell of a row and its neighbours, none where every run of the row diverged."""
    scores = {x: mean_score(cells[x, y], maximize) for x in grid.x.steps}
    top = max(scores, key=lambda x: scores[x])
    if scores[top] == -math.inf:
        return []
    return [(x, y) for x in grid.x.steps if abs(x - top) <= grid.near]


def runs_left(grid: SliceGrid, runs: Sequence[Run], maximize: bool = True) -> int:
    """About how many runs are to come: in the first pass an estimate, later what the rows' present tops want."""
    done = {(run.cell, run.seed) for run in runs}
    if once := sum((cell, 0) not in done for cell in grid.cells()):
        return once + len(grid.y.steps) * min(2 * grid.near + 1, len(grid.x.steps)) * (grid.seeds - 1)
    return sum(1 for _ in wanted(grid, runs, (), maximize))
