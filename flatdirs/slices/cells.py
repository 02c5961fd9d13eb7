"""The grid of a slice in whole numbers: its cells, the runs made, and the runs to make next. Pure.

A cell is a pair of integers, steps of a factor from the centre along x and along y, so a grid can be enlarged later
without losing runs. Every cell is trained once. Then the best cell of every row (one value of y) and its neighbours
along x get all their seeds; if another cell becomes the best, its neighbourhood follows. A row is considered only while
none of its runs is in progress, so the runs of a finished slice do not depend on the number of workers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flatdirs.space.grid import complement, significant
from flatdirs.space.names import ONE_MINUS

Cell = tuple[int, int]  # steps from the centre along x and along y
Key = tuple[Cell, int]  # a cell and the number of a seed, from 0


@dataclass(frozen=True)
class SliceAxis:
    """One axis: a hyperparameter (or one_minus_ and its name), its value in the centre, the factor of a step, the first
    and the last step. What is run is rounded to four significant digits, or to a whole number (`whole`).
    """

    name: str
    center: float
    factor: float
    first: int
    last: int
    whole: bool = False

    @property
    def steps(self) -> range:
        return range(self.first, self.last + 1)

    def value(self, step: int) -> float:
        """The value that many steps from the centre."""
        value = self.center * self.factor**step
        return max(1, round(value)) if self.whole else significant(value)

    def values(self) -> list[float]:
        """The value of every step, rising."""
        return [self.value(step) for step in self.steps]

    @property
    def hyperparameter(self) -> str:
        """Such as momentum for one_minus_momentum."""
        return self.name.removeprefix(ONE_MINUS)

    def setting(self, step: int) -> float:
        """The hyperparameter's value at a step."""
        return complement(self.value(step)) if self.hyperparameter != self.name else self.value(step)


@dataclass(frozen=True)
class SliceGrid:
    """Two axes; `seeds`: runs of a cell around the best of a row, which is `near` cells to each side."""

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
    """One run of a cell that has ended; `value` is None where it has none."""

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


def mean_value(runs: Sequence[Run]) -> float:
    """The mean of a cell's runs; nan without runs, or if one of them diverged or has no value."""
    values = [run.value for run in runs if run.value is not None and not run.diverged]
    return statistics.fmean(values) if values and len(values) == len(runs) else math.nan


def runs_to_make(
    grid: SliceGrid, runs: Sequence[Run], running: Collection[Key] = (), maximize: bool = True
) -> Iterator[Key]:
    """The runs to make now, without those in progress; none if the slice is finished or waits for one in progress."""
    done = {(run.cell, run.seed) for run in runs}
    yield from ((cell, 0) for cell in grid.cells() if (cell, 0) not in done and (cell, 0) not in running)
    cells = by_cell(runs)
    for y in sorted(grid.y.steps, key=abs):
        if any((x, y) not in cells for x in grid.x.steps) or any(cell[1] == y for cell, _ in running):
            continue
        for cell in _around_best(grid, y, cells, maximize):
            yield from ((cell, seed) for seed in range(1, grid.seeds) if (cell, seed) not in done)


def _around_best(grid: SliceGrid, y: int, cells: Mapping[Cell, Sequence[Run]], maximize: bool) -> list[Cell]:
    """The best cell of a row and its neighbours; none if every cell of the row has a diverged run."""
    means = {x: mean_value(cells[x, y]) * (1 if maximize else -1) for x in grid.x.steps}
    best = max((x for x in means if not math.isnan(means[x])), key=lambda x: means[x], default=None)
    return [] if best is None else [(x, y) for x in grid.x.steps if abs(x - best) <= grid.near]


def runs_left(grid: SliceGrid, runs: Sequence[Run], maximize: bool = True) -> int:
    """About how many runs are left: an estimate until every cell has a run, then what the present best cells need."""
    done = {(run.cell, run.seed) for run in runs}
    if once := sum((cell, 0) not in done for cell in grid.cells()):
        return once + len(grid.y.steps) * min(2 * grid.near + 1, len(grid.x.steps)) * (grid.seeds - 1)
    return sum(1 for _ in runs_to_make(grid, runs, (), maximize))
