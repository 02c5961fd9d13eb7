"""What the rows say: medians, intervals, paired tests, curves. Neither torch nor Optuna, and no fit.

A repetition that never arrives counts as one run more than the budget: it is in every median and every test, never
dropped. Intervals are the middle 95 % of a bootstrap of the median. Tests are sign tests by seed, which ask of never
arriving only that it is worse than arriving.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.conditions import HERE, NONE, Condition

BUDGET = int(conditions.settings()["budget"])
TARGETS: tuple[float, ...] = tuple(conditions.settings()["targets"])
AFTER: tuple[int, ...] = tuple(conditions.settings()["returned_after"])
NEVER = BUDGET + 1.0
RESAMPLES = 1000
LEVEL = 0.05  # of p, from which on a test says nothing

Row = Mapping[str, str]


@dataclass(frozen=True)
class Summary:
    """Runs to a target over the seeds of a condition; `never` is a share of them."""

    median: float
    low: float
    high: float
    quartiles: tuple[float, float]
    never: float
    count: int


@dataclass(frozen=True)
class Versus:
    """A paired comparison by seed: how often fewer runs, how often more, and the sign test's p (1 where all are equal)."""

    fewer: int
    more: int
    p: float


def summary(runs: Sequence[float]) -> Summary:
    """Of one condition's runs, NEVER among them."""
    values = np.array(runs)
    medians = np.median(values[_resamples(len(values))], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    first, third = np.quantile(values, (0.25, 0.75))
    return Summary(
        statistics.median(runs),
        float(low),
        float(high),
        (float(first), float(third)),
        float(np.mean(values > BUDGET)),
        len(runs),
    )


def versus(own: Mapping[int, float], other: Mapping[int, float]) -> Versus | None:
    """Of two conditions, over the seeds both have; None where there are none."""
    from scipy.stats import binomtest

    common = own.keys() & other.keys()
    if not common:
        return None
    fewer = sum(own[seed] < other[seed] for seed in common)
    more = sum(own[seed] > other[seed] for seed in common)
    return Versus(fewer, more, float(binomtest(fewer, fewer + more).pvalue) if fewer + more else 1.0)


@lru_cache
def _resamples(count: int) -> Any:
    return np.random.default_rng(0).integers(0, count, (RESAMPLES, count))


@dataclass(frozen=True)
class Evidence:
    """One lattice's rows and the facts of its surface."""

    lattice: str
    folder: Path = HERE
    measured: Path = LATTICES

    @cached_property
    def entry(self) -> dict[str, Any] | None:
        """The lattice in surfaces.json; None before it was run."""
        path = self.folder / "surfaces.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        entry: dict[str, Any] | None = found.get(self.lattice)
        return entry if entry and "facts" in entry else None

    @property
    def facts(self) -> dict[str, Any]:
        """The surface's facts. There must be an entry."""
        assert self.entry is not None
        found: dict[str, Any] = self.entry["facts"]
        return found

    @cached_property
    def conditions(self) -> list[Condition]:
        """Every condition of the lattice."""
        return list(conditions.conditions(self.lattice))

    @cached_property
    def groups(self) -> dict[Condition, list[Row]]:
        """The rows of every condition that has any, without those of another surface or box."""
        if self.entry is None:
            return {}
        every: dict[tuple[str, str, str], list[Row]] = {}
        for row in rows.read(self.folder / f"{self.lattice}.csv"):
            every.setdefault((row["method"], row["box"], row["start"]), []).append(row)
        surface = f"{self.entry['checksum']}-{self.entry['version']}"
        found = {}
        for condition in self.conditions:
            some = every.get((condition.method, condition.box, condition.start))
            if some:
                key = conditions.key(condition, surface, self.measured / "probes.csv")
                if kept := [row for row in some if row["key"] == key]:
                    found[condition] = kept
        return found

    @cached_property
    def stale(self) -> bool:
        """Whether the lattice has other rows now than those this was run on."""
        from benchmarks.runs_to_target.cells import checksum

        found = rows.read(self.measured / f"{self.lattice}.csv")
        return self.entry is not None and checksum(found) != self.entry["checksum"]

    def runs(self, condition: Condition, target: float) -> dict[int, float]:
        """Runs to a target by seed, NEVER where it was not reached."""
        return {
            int(row["seed"]): min(float(row[f"runs_{target:g}"] or NEVER), NEVER)
            for row in self.groups.get(condition, ())
        }

    def summary(self, condition: Condition, target: float) -> Summary | None:
        """None where there are no rows."""
        found = self._summaries
        if (condition, target) not in found and condition in self.groups:
            found[condition, target] = summary(list(self.runs(condition, target).values()))
        return found.get((condition, target))

    @cached_property
    def _summaries(self) -> dict[tuple[Condition, float], Summary]:
        return {}

    def of(self, method: str, box: str = NONE, start: str = NONE) -> Condition:
        """A condition by its parts."""
        return Condition(self.lattice, method, box, start)

    @property
    def counted(self) -> list[float]:
        """The targets that fill enough, and little enough, of the expert's box to count for the bars."""
        low, high = conditions.settings()["bars"]["volume"]
        return [t for t in TARGETS if low <= self.facts["volumes"]["expert"][f"{t:g}"] <= high]

    def returned(self, condition: Condition, after: int) -> list[float]:
        """The noiseless accuracies of what would be returned; of complete repetitions only, or they would be the slow ones."""
        found = [row for row in self.groups.get(condition, ()) if row["complete"] == "1"]
        return [float(row[f"returned_{after}"]) for row in found if row[f"returned_{after}"]]

    @property
    def cut(self) -> list[Condition]:
        """Conditions that have all rows, but not all to the end where it would be told what they return."""
        short = set(self.missing)
        return [
            c
            for c, found in self.groups.items()
            if c not in short and c.start in conditions.TO_THE_END and any(row["complete"] != "1" for row in found)
        ]

    @property
    def missing(self) -> list[Condition]:
        """Conditions with fewer rows than they should have."""
        return [c for c in self.conditions if len(self.groups.get(c, ())) < conditions.repetitions(c)]


def curve(runs: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """The share of seeds at the target against runs, as the corners of a staircase."""
    ends = sorted(value for value in runs.values() if value <= BUDGET)
    across, up = [0.0], [0.0]
    for number, value in enumerate(ends, 1):
        across += [value, value]
        up += [up[-1], number / len(runs)]
    return [*across, float(BUDGET)], [*up, up[-1]]
