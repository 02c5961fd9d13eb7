"""What the rows say: rank correlations between scouts and whole runs, and what scouts save a search. No fit, no torch.

Intervals are the middle 95 % of a bootstrap, over cells for correlations, over seeds for searches. A repetition that never
arrives counts as one run more than the budget, as in benchmarks/runs_to_target; it is in every number.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import HERE as WHOLE
from benchmarks.lattice.lattices import Cell, Lattice
from benchmarks.lattice.results import by_cell, level, results
from benchmarks.runs_to_target.findings import BUDGET, NEVER, RESAMPLES
from benchmarks.scouts import grounds, plan, ridges, searching
from benchmarks.scouts.plan import PLAIN, Transfer
from benchmarks.scouts.ranking import Estimate, spearman
from flatdirs.search import VERSIONS

BANDS: tuple[float | None, ...] = (None, 5.0, 2.0)  # points below the level of whole runs; None for all cells
EVERY = "all"  # stands for all starts together
PRESENT = VERSIONS[searching.SEARCH]  # version of the search
Case = tuple[str, str]  # plan, start


@dataclass(frozen=True)
class Saving:
    """A plan against the search alone, by seed: medians, shares that never arrive, and the mean difference, in runs."""

    plain: float
    median: float
    never: tuple[float, float]
    difference: Estimate
    fewer: int
    more: int


@dataclass(frozen=True)
class Evidence:
    """One lattice: its whole runs, its scouts, its searches and the facts of its fits."""

    name: str
    folder: Path = plan.HERE
    whole_folder: Path = WHOLE

    @cached_property
    def lattice(self) -> Lattice:
        """Its conditions."""
        return lattices.named(self.name)

    @cached_property
    def scout_rows(self) -> list[dict[str, str]]:
        """Every scout."""
        return rows.read(self.folder / f"{self.name}.csv")

    @cached_property
    def whole(self) -> dict[Cell, list[float]]:
        """Accuracies of whole runs by cell."""
        return by_cell(results(self.lattice, rows.read(self.whole_folder / f"{self.name}.csv")))

    @cached_property
    def scouts(self) -> dict[Cell, list[float]]:
        """Accuracies of scouts by cell."""
        return by_cell(results(self.lattice, self.scout_rows))

    @cached_property
    def facts(self) -> Mapping[str, Any] | None:
        """Of the fits; None before they were made."""
        found: Mapping[str, Any] | None = ridges.known(self.folder).get(self.name)
        return found

    @cached_property
    def searches(self) -> dict[Case, list[dict[str, str]]]:
        """Repetitions by plan and start, in order of their seeds; all of one version of the search."""
        found = self._by_version.get(self.version, {})
        return {case: sorted(some, key=lambda row: int(row["seed"])) for case, some in found.items()}

    @cached_property
    def version(self) -> int:
        """Of the search whose rows are shown: that of most of them, the later one of equals; 0 where there are none."""
        counts = {version: sum(map(len, found.values())) for version, found in self._by_version.items() if version}
        return max(counts, key=lambda version: (counts[version], version), default=0)

    @property
    def left_out(self) -> int:
        """How many rows are of another version of the search, or of another start or surface."""
        return sum(
            len(some)
            for version, found in self._by_version.items()
            if version != self.version
            for some in found.values()
        )

    @cached_property
    def _by_version(self) -> dict[int, dict[Case, list[dict[str, str]]]]:
        """Every row by the version of the search that made it; 0 stands for rows that depend on something else by now."""
        ground = grounds.key_on_file(self.name, self.folder, self.whole_folder)
        versions = {
            (kind.name, start): {
                searching.key_of(self.name, kind, start, ground, number): number for number in range(1, PRESENT + 1)
            }
            for kind, start in searching.asked(self.name)
        }
        found: dict[int, dict[Case, list[dict[str, str]]]] = {}
        for row in rows.read(self.folder / f"{self.name}_searches.csv"):
            case = (row["plan"], row["start"])
            version = versions.get(case, {}).get(row["key"], 0)
            found.setdefault(version, {}).setdefault(case, []).append(row)
        return found

    def near(self, cell: Cell, band: float | None) -> bool:
        """Whether whole runs of a cell come within so many points of their level."""
        return band is None or statistics.fmean(self.whole[cell]) >= self._level - band

    @cached_property
    def _level(self) -> float:
        return level([statistics.fmean(values) for values in self.whole.values()])

    def correlation(self, carried: Transfer, band: float | None) -> Estimate:
        """Spearman's, between whole runs and the scouts that stand for them, cells with both alone."""
        pairs = [
            (statistics.fmean(values), statistics.fmean(self.scouts[there]))
            for cell, values in self.whole.items()
            if self.near(cell, band) and (there := carried.cell(self.lattice, cell)) in self.scouts
        ]
        return spearman(pairs)

    def ceiling(self, band: float | None) -> Estimate:
        """The same between two seeds of the whole run: what noise leaves of a perfect predictor that is one run."""
        some = [(v[0], v[1]) for cell, v in self.whole.items() if len(v) > 1 and self.near(cell, band)]
        return spearman(some)

    def fitted(self, carried: Transfer) -> Estimate:
        """The same over all cells of whole runs, with scouts read off their fit; from the facts, which there must be."""
        assert self.facts is not None
        value, low, high, count = self.facts["fitted"][carried.name]
        return Estimate(value, low, high, count)

    @property
    def starts(self) -> list[str]:
        """Those that were searched from."""
        return list(dict.fromkeys(start for _, start in self.searches))

    def rows_of(self, name: str, start: str) -> list[dict[str, str]]:
        """A plan's repetitions from a start, or from all of them."""
        starts = self.starts if start == EVERY else [start]
        return [row for one in starts for row in self.searches.get((name, one), [])]

    def runs(self, name: str, start: str, target: float) -> list[float]:
        """Cost until the target by seed, NEVER where it was not reached."""
        found = self.rows_of(name, start)
        return [min(float(row[f"runs_{target:g}"] or NEVER), NEVER) for row in found]

    def saving(self, name: str, start: str, target: float) -> Saving | None:
        """A plan against the search alone; None where it was not run."""
        plain, other = self.runs(PLAIN.name, start, target), self.runs(name, start, target)
        return saving(plain, other) if plain and len(plain) == len(other) else None

    def before(self, name: str, start: str) -> tuple[float, float]:
        """How many scouts a plan sends, on average, and the median accuracy of where the whole runs begin, without noise."""
        found = self.rows_of(name, start)
        scouts = statistics.fmean(float(row["scouts"]) for row in found)
        return scouts, statistics.median(float(row["begins_at"]) for row in found)


def saving(plain: Sequence[float], other: Sequence[float]) -> Saving:
    """Of costs by seed, paired."""
    off = np.array(other) - np.array(plain)
    means = off[np.random.default_rng(0).integers(0, len(off), (RESAMPLES, len(off)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    never = tuple(float(np.mean(np.array(costs) > BUDGET)) for costs in (plain, other))
    return Saving(
        statistics.median(plain),
        statistics.median(other),
        (never[0], never[1]),
        Estimate(float(off.mean()), float(low), float(high), len(off)),
        int((off < 0).sum()),
        int((off > 0).sum()),
    )
