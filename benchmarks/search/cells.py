"""What a lattice measured, cell by cell, and how far the seeds of one cell lie apart. No fit, no torch.

A cell has the means over its finished runs: the value, accuracy in percent or a loss with its sign changed, and the logarithm of the last
validation loss. Divergence is kept apart. Distances are in points: percentage points, or hundredths of a nat. `Spread` has the residuals of every finished run around its cell's means and knows how much of a residual a seed has in common at other cells.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.running import worst_of
from benchmarks.rows import column

Array = np.ndarray[Any, np.dtype[np.float64]]
WIDTH = 0.25  # how near, in log(1 + points below the level), a residual's cell must be to stand for the noise there
FEWEST = 12  # residuals that do so, from however far
BANDS = (1.5, 4.0)  # points below the level between which shared noise is measured apart
REACH = 4  # octaves, along every axis, within which cells are compared for it
PAIRS = 30  # of cells that shared noise is measured on; with fewer it counts as none


@dataclass(frozen=True, eq=False)
class Spread:
    """Residuals (m, 2) around cells' means, by `logs` (m,), log(1 + points of the cell below the level), ascending.

    `shared`: for every band of BANDS the correlation of one seed's residuals in two cells; `pairs`: of cells it was measured on.
    """

    logs: list[float]
    residuals: Array
    shared: Sequence[float]
    pairs: Sequence[int]
    point: float = 1.0  # what a point is in the values of the lattice

    def draw(self, below: float, own: float, luck: float) -> Array:
        """The residual of a run (2,): `own` and `luck`, standard normal, are the run's and its seed's.

        Mixed to the measured correlation they say which of the nearest residuals it is, in the order of values.
        """
        part, near = self.shared[bisect_right(BANDS, below / self.point)], self.nearest(below)
        mixed = math.sqrt(part) * luck + math.sqrt(1 - part) * own
        ranked = _ranked(self, near.start, near.stop)
        return ranked[min(int(0.5 * math.erfc(-mixed / math.sqrt(2)) * len(ranked)), len(ranked) - 1)]

    def nearest(self, below: float) -> slice:
        """The residuals of cells at a similar number of points below the level."""
        logs, here = self.logs, math.log1p(max(below / self.point, 0.0))
        low, high = bisect_left(logs, here - WIDTH), bisect_right(logs, here + WIDTH)
        while high - low < min(FEWEST, len(logs)):
            if high == len(logs) or (low > 0 and here - logs[low - 1] < logs[high] - here):
                low -= 1
            else:
                high += 1
        return slice(low, high)

    def deviations(self, below: Array) -> Array:
        """Standard deviations (len(below), 2) between seeds, pooled over the nearest residuals."""
        return np.array([np.sqrt(np.mean(self.residuals[self.nearest(x)] ** 2, axis=0)) for x in below])


@lru_cache(maxsize=4096)
def _ranked(spread: Spread, first: int, stop: int) -> Array:
    some = spread.residuals[first:stop]
    return some[np.argsort(some[:, 0], kind="stable")]


@dataclass(frozen=True)
class Cells:
    """A lattice's measurements. `places` (n, 3) of cells with finished runs, their `means` (n, 2), `counts` (n,) of runs.

    `every` (m, 3): all cells tried; `diverged` (m,): the part of a cell's runs that diverged. `level`: the mean of the ten best cells.
    `checksum`: of the file.
    """

    lattice: Lattice
    places: Array
    means: Array
    counts: Array
    every: Array
    diverged: Array
    level: float
    spread: Spread
    checksum: str

    @property
    def deviations(self) -> Array:
        """Standard deviations (n, 2) of one run in each cell."""
        return self.spread.deviations(self.level - self.means[:, 0])


def from_rows(lattice: Lattice, found: Sequence[Mapping[str, str]]) -> Cells:
    """Cells from rows as benchmarks.lattice writes them; residuals widened to what single runs have."""
    axes = [f"log2_{column(axis)}" for axis in lattice.axes]
    types = {**dict.fromkeys([*axes, "seed", "diverged"], int), **dict.fromkeys(["accuracy", "loss"], float)}
    table = pd.DataFrame(found).astype(types).sort_values([*axes, "seed"])
    point = 0.01 if lattice.metric == "loss" else 1.0
    table["value"] = (-table["loss"]).clip(lower=worst_of(lattice)) if lattice.metric == "loss" else table["accuracy"]
    tried, finished = table.groupby(axes)["diverged"].mean(), table[table["diverged"] == 0].groupby(axes)
    groups = [np.array([some["value"], [math.log(loss) for loss in some["loss"]]]).T for _, some in finished]
    means = np.array([group.mean(axis=0) for group in groups])
    level, places = float(np.mean(np.sort(means[:, 0])[-10:])), np.array(list(finished.groups), dtype=float)
    spread = [
        (math.log1p(max(level - group[:, 0].mean(), 0.0) / point), residual)
        for group in groups
        if len(group) > 1
        for residual in (group - group.mean(axis=0)) * math.sqrt(len(group) / (len(group) - 1))
    ]
    logs, residuals = zip(*sorted(spread, key=lambda pair: pair[0]), strict=True)
    shared = zip(*shared_noise(places, groups, level, point), strict=True)
    lines = sorted(",".join(row.values()) for row in found)  # in whichever order they were made
    checksum = hashlib.blake2s("\n".join(lines).encode(), digest_size=4).hexdigest()
    counts, every = np.array([float(len(group)) for group in groups]), np.array(list(tried.index), dtype=float)
    spread_ = Spread(list(logs), np.array(residuals), *shared, point)
    return Cells(lattice, places, means, counts, every, tried.to_numpy(), level, spread_, checksum)


def shared_noise(places: Array, groups: Sequence[Array], level: float, point: float) -> list[tuple[float, int]]:
    """For every band: the correlation, over pairs of cells, of the first seed's value less the second's; and the pairs."""
    there, groups = places[[len(group) > 1 for group in groups]], [group for group in groups if len(group) > 1]
    gaps = np.array([group[0, 0] - group[1, 0] for group in groups])
    bands = np.searchsorted(BANDS, [(level - group[:, 0].mean()) / point for group in groups], side="right")
    near = np.abs(there[:, None, :] - there[None, :, :]).max(axis=2) <= REACH
    found = []
    for band in range(len(BANDS) + 1):
        one, other = np.nonzero(np.triu(near & (bands[:, None] == band) & (bands[None, :] == band), 1))
        size = math.sqrt(float(np.sum(gaps[one] ** 2) * np.sum(gaps[other] ** 2)))
        part = float(np.sum(gaps[one] * gaps[other])) / size if size and len(one) >= PAIRS else 0.0
        found.append((min(max(part, 0.0), 1.0), len(one)))
    return found
