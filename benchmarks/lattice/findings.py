"""What the rows of a lattice say: its cells, its sides, the spread between seeds, the picks. Neither torch nor figures."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks import rows
from benchmarks.lattice.lattices import HERE, Axis, Cell, Lattice, Run
from benchmarks.lattice.results import Result, by_cell, level, results

BANDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, math.inf)  # points below the level


@dataclass(frozen=True)
class Band:
    """Cells with seeds to compare whose means lie so far below the level; their pooled standard deviation."""

    low: float
    high: float
    cells: int
    runs: int
    deviation: float


@dataclass(frozen=True)
class Picks:
    """What step sampling found: a rate for every seed that had an answer, and its cost in parts of a run."""

    rates: tuple[float, ...]
    searches: int
    runs: float


@dataclass(frozen=True)
class Evidence:
    """One lattice and what is on file of it."""

    lattice: Lattice
    folder: Path = HERE

    @cached_property
    def runs(self) -> dict[Run, Result]:
        """Every run."""
        return results(self.lattice, rows.read(self.folder / f"{self.lattice.name}.csv"))

    @cached_property
    def cells(self) -> dict[Cell, list[float]]:
        """Accuracies by cell."""
        return by_cell(self.runs)

    @cached_property
    def means(self) -> dict[Cell, float]:
        """Mean accuracy by cell."""
        return {cell: statistics.fmean(values) for cell, values in self.cells.items()}

    @property
    def level(self) -> float:
        """What the ten best cells reach on average."""
        return level(list(self.means.values()))

    @property
    def best(self) -> list[Cell]:
        """Cells with two seeds or more, the highest mean first; all of them where none has two."""
        most = min(2, max(len(values) for values in self.cells.values()))
        cells = [cell for cell, values in self.cells.items() if len(values) >= most]
        return sorted(cells, key=lambda cell: -self.means[cell])

    @property
    def ridge(self) -> list[Cell]:
        """The cells that lie at most `near` below the level."""
        return [cell for cell, mean in self.means.items() if mean >= self.level - self.lattice.near]

    def side(self, axis: Axis, power: int) -> list[float]:
        """The means of the cells on one side of the lattice."""
        place = self.lattice.axes.index(axis)
        return [mean for cell, mean in self.means.items() if cell[place] == power]

    @property
    def bands(self) -> list[Band]:
        """The spread between seeds, from the best cells to the worst; bands without two seeds anywhere are left out."""
        below: Mapping[Cell, float] = {cell: max(0.0, self.level - mean) for cell, mean in self.means.items()}
        found = []
        for low, high in itertools.pairwise(BANDS):
            some = [values for cell, values in self.cells.items() if low <= below[cell] < high and len(values) > 1]
            if some:
                freedom = sum(len(values) - 1 for values in some)
                squares = sum(statistics.variance(values) * (len(values) - 1) for values in some)
                runs = sum(len(values) for values in some)
                found.append(Band(low, high, len(some), runs, math.sqrt(squares / freedom)))
        return found

    @cached_property
    def picks(self) -> Picks | None:
        """Step sampling on this lattice's task; None before it ran."""
        found = [row for row in rows.read(self.folder / "probes.csv") if row["lattice"] == self.lattice.name]
        if not found:
            return None
        rates = tuple(float(row["log_midpoint"]) for row in found if row["log_midpoint"])
        cost = statistics.fmean(float(row["cost_steps"]) / int(row["run_steps"]) for row in found)
        return Picks(rates, len(found), cost)


def products(lattice: Lattice) -> dict[str, tuple[int, int, int]]:
    """The two products that may be the steep direction, by the letters of `symbol`: the powers of the three axes."""
    if "momentum" in {axis.hyperparameter for axis in lattice.axes}:
        return {"λα/(1−ρ)": (1, -1, 1), "λ/(1−ρ)": (1, -1, 0)}
    return {"λα": (1, 0, 1), "λ": (1, 0, 0)}


def power(cell: Cell, exponents: tuple[int, ...]) -> int:
    """log₂ of a product in a cell."""
    return sum(step * exponent for step, exponent in zip(cell, exponents, strict=True))
