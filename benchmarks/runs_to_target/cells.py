"""What a lattice measured, cell by cell, and how far seeds of one cell lie apart. No fit, no torch.

A cell is in for its finished runs: the mean accuracy, the means of the logarithms of its last validation and training
loss. Whether it diverges is told apart, by majority. `Spread` keeps the residuals of every finished run around its
cell's means, the three numbers of a run together, by how far the cell lies below the level, and knows how much of a
residual is the seed's own, the same at other cells of that level.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.results import run_of

Array = np.ndarray[Any, np.dtype[np.float64]]
FIELDS = ("accuracy", "loss", "train_loss")  # the last two as logarithms
WIDTH = 0.25  # how near, in log(1 + points below the level), a residual's cell must be to stand for the noise there
FEWEST = 12  # residuals that do so, from however far
BANDS = (1.5, 4.0)  # points below the level between which a seed's luck is measured apart
REACH = 4  # octaves, along every axis, within which cells are compared for it
PAIRS = 30  # of cells that say how much luck a seed carries along; with fewer, none
TOP = 10  # cells whose mean is the level


@dataclass(frozen=True, eq=False)
class Spread:
    """Residuals (m, 3) around cells' means, by `below` (m,): points of the cell below the level, ascending.

    `shared`: for every band of BANDS the correlation of one seed's residuals in two cells; `pairs` it was measured on.
    """

    below: Array
    residuals: Array
    shared: tuple[float, ...] = (0.0,) * (len(BANDS) + 1)
    pairs: tuple[int, ...] = (0,) * (len(BANDS) + 1)

    def draw(self, below: float, own: float, luck: float) -> Array:
        """The residual of a run (3,): `own` and `luck` are standard normal, the run's and its seed's.

        They are mixed to the measured correlation, and say which of the nearest residuals it is, by accuracy.
        """
        part = self.shared[bisect_right(BANDS, below)]
        mixed = math.sqrt(part) * luck + math.sqrt(1 - part) * own
        near = self.nearest(below)
        ranked = _ranked(self, near.start, near.stop)
        found: Array = ranked[min(int(0.5 * math.erfc(-mixed / math.sqrt(2)) * len(ranked)), len(ranked) - 1)]
        return found

    def nearest(self, below: float) -> slice:
        """The residuals of cells at a similar number of points below the level."""
        logs, here = self._logs, math.log1p(max(below, 0.0))
        low, high = bisect_left(logs, here - WIDTH), bisect_right(logs, here + WIDTH)
        while high - low < min(FEWEST, len(logs)):
            if high == len(logs) or (low > 0 and here - logs[low - 1] < logs[high] - here):
                low -= 1
            else:
                high += 1
        return slice(low, high)

    @cached_property
    def _logs(self) -> list[float]:
        return [math.log1p(below) for below in self.below.tolist()]

    def deviations(self, below: Array) -> Array:
        """Standard deviations (len(below), 3) between seeds, pooled over the nearest residuals."""
        return np.array([np.sqrt(np.mean(self.residuals[self.nearest(x)] ** 2, axis=0)) for x in below])


@lru_cache(maxsize=4096)
def _ranked(spread: Spread, first: int, stop: int) -> Array:
    """Some residuals, the unluckiest first."""
    some = spread.residuals[first:stop]
    ranked: Array = some[np.argsort(some[:, 0], kind="stable")]
    return ranked


@dataclass(frozen=True)
class Cells:
    """A lattice's measurements. `places` (n, 3) of cells with finished runs, their `means` (n, 3), `counts` (n,) of runs.

    `every` (m, 3): all cells tried; `diverged` (m,): the part of a cell's runs that diverged. `checksum`: of the file.
    """

    lattice: Lattice
    places: Array
    means: Array
    counts: Array
    every: Array
    diverged: Array
    spread: Spread
    checksum: str

    @property
    def level(self) -> float:
        """What the ten best cells reach on average."""
        return float(np.mean(np.sort(self.means[:, 0])[-TOP:]))

    @property
    def deviations(self) -> Array:
        """Standard deviations (n, 3) of one run in each cell."""
        return self.spread.deviations(self.level - self.means[:, 0])


def read(lattice: Lattice, folder: Path = LATTICES) -> Cells:
    """All that is on file of a lattice. Raises FileNotFoundError where nothing is."""
    path = folder / f"{lattice.name}.csv"
    found = rows.read(path)
    if not found:
        raise FileNotFoundError(path)
    return from_rows(lattice, found)


def from_rows(lattice: Lattice, found: Sequence[Mapping[str, str]]) -> Cells:
    """The same from rows as benchmarks.lattice writes them."""
    finished: dict[tuple[int, ...], list[list[float]]] = {}
    broken: dict[tuple[int, ...], list[bool]] = {}
    for row in sorted(found, key=lambda row: run_of(lattice, row)):
        cell = run_of(lattice, row).cell
        broken.setdefault(cell, []).append(row["diverged"] == "1")
        if row["diverged"] != "1":
            finished.setdefault(cell, []).append(_numbers(row))
    groups = [np.array(values) for values in finished.values()]
    means = np.array([group.mean(axis=0) for group in groups])
    level = float(np.mean(np.sort(means[:, 0])[-TOP:]))
    return Cells(
        lattice,
        np.array(list(finished), dtype=float),
        means,
        np.array([len(group) for group in groups], dtype=float),
        np.array(list(broken), dtype=float),
        np.array([sum(values) / len(values) for values in broken.values()]),
        _spread(np.array(list(finished), dtype=float), groups, level),
        checksum(found),
    )


def checksum(found: Sequence[Mapping[str, str]]) -> str:
    """Of the rows, in whichever order they were made."""
    lines = sorted(",".join(row.values()) for row in found)
    return hashlib.blake2s("\n".join(lines).encode(), digest_size=4).hexdigest()


def _numbers(row: Mapping[str, str]) -> list[float]:
    train_loss = float(row["train_loss_curve"].rpartition(";")[2])
    return [float(row["accuracy"]), math.log(float(row["loss"])), math.log(max(train_loss, 1e-6))]


def _spread(places: Array, groups: Sequence[Array], level: float) -> Spread:
    """Residuals of cells with two seeds or more, widened to what single runs have."""
    below, residuals = [], []
    for group in groups:
        if (count := len(group)) > 1:
            below += [max(level - group[:, 0].mean(), 0.0)] * count
            residuals += list((group - group.mean(axis=0)) * math.sqrt(count / (count - 1)))
    if not below:
        return Spread(np.zeros(1), np.zeros((1, len(FIELDS))))
    order = np.argsort(below, kind="stable")
    shared, pairs = zip(*_luck(places, groups, level), strict=True)
    return Spread(np.array(below)[order], np.array(residuals)[order], shared, pairs)


def _luck(places: Array, groups: Sequence[Array], level: float) -> list[tuple[float, int]]:
    """For every band: the correlation, over pairs of cells, of the first seed's accuracy less the second's; how many pairs."""
    some = [number for number, group in enumerate(groups) if len(group) > 1]
    there = places[some]
    gaps = np.array([groups[number][0, 0] - groups[number][1, 0] for number in some])
    bands = np.searchsorted(BANDS, [level - groups[number][:, 0].mean() for number in some], side="right")
    near = np.abs(there[:, None, :] - there[None, :, :]).max(axis=2) <= REACH
    found = []
    for band in range(len(BANDS) + 1):
        one, other = np.nonzero(np.triu(near & (bands[:, None] == band) & (bands[None, :] == band), 1))
        size = math.sqrt(float(np.sum(gaps[one] ** 2) * np.sum(gaps[other] ** 2)))
        part = float(np.sum(gaps[one] * gaps[other])) / size if size and len(one) >= PAIRS else 0.0
        found.append((min(max(part, 0.0), 1.0), len(one)))
    return found
