"""What the raw rows say: the grid's best rate, what a pick loses against it, and what it cost. Neither torch nor figures.

    runs.csv      complete runs, over the grid of powers of two and at the picks of every rule's seed 0
    rivals.csv    what torch-lr-finder, fastai and Lightning picked
    picks.csv     what step sampling picked; probes.csv its points

The best rate of a grid is the one with the highest mean accuracy over the seeds that every rate of the grid was trained
with. What a pick loses is a paired difference: the best rate's run less the pick's own, seed by seed. Where no complete
run was made at a pick, its accuracy is read off the grid, straight between neighbours in log rate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks import rows

HERE = Path(__file__).resolve().parent
EXPONENTS: Mapping[
    str, tuple[int, int]
] = {  # a grid's rates are 2 to these powers, and further where the best is at an end
    "resnet_small": (-11, 1),
    "resnet18": (-11, 1),
    "transformer": (-16, -4),
}
LONGER = {"transformer": "transformer_long"}  # the same in runs of four times the length
LONGER_EXPONENTS = (-10, -6)
SCHEDULES = ("constant", "triangle")
OWN = {
    "log_midpoint": "log_midpoint",
    "half_loss": "half_loss",
    "steepest": "steepest",
    "min_lr": "min_lr, the knee",
    "max_lr": "max_lr, the minimum",
}
RIVALS = {
    "argmin": "Wittmann: argmin of the reset curve",
    "torch_lr_finder": "torch-lr-finder: suggestion",
    "fastai_valley": "fastai: valley",
    "fastai_steep": "fastai: steep",
    "fastai_minimum_10": "fastai: minimum/10",
    "fastai_slide": "fastai: slide",
    "lightning": "Lightning: steepest by step",
    "lightning_by_rate": "Lightning: steepest by rate",
}


@dataclass(frozen=True)
class Sample:
    """A mean over seeds in percent or points, its standard error (nan for one seed), and how many seeds."""

    mean: float
    error: float
    count: int


def sample(values: Sequence[float]) -> Sample:
    """The mean of at least one value."""
    count = len(values)
    error = statistics.stdev(values) / math.sqrt(count) if count > 1 else math.nan
    return Sample(statistics.fmean(values), error, count)


@dataclass(frozen=True)
class Grid:
    """Complete runs of one model under one schedule: accuracy in percent by rate and seed."""

    runs: Mapping[float, Mapping[int, float]]
    expected: tuple[float, ...]

    @cached_property
    def rates(self) -> list[float]:
        """The grid's own rates, ascending: those expected, and powers of two beyond them that were trained."""
        return sorted({*self.expected, *(rate for rate in self.runs if math.log2(rate).is_integer())})

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds that every rate was trained with."""
        found = [set(self.runs.get(rate, {})) for rate in self.rates]
        return sorted(set.intersection(*found))

    @property
    def trained(self) -> int:
        """How many runs of the grid are on file."""
        return sum(len(self.runs.get(rate, {})) for rate in self.rates)

    def at(self, rate: float) -> Sample:
        """The accuracy at one of the grid's rates over the common seeds."""
        return sample([self.runs[rate][seed] for seed in self.seeds])

    @cached_property
    def best(self) -> float | None:
        """The rate with the highest mean; None before there is a common seed."""
        return max(self.rates, key=lambda rate: self.at(rate).mean) if self.seeds else None

    @property
    def best_at_an_end(self) -> bool:
        """Whether the range is too narrow to say what is best."""
        return self.best in (self.rates[0], self.rates[-1])

    def lost(self, rate: float) -> Sample | None:
        """Points below the best rate at a rate that was trained, over the seeds both have; None where it was not."""
        own = self.runs.get(rate, {})
        common = sorted(set(own) & set(self.seeds))
        if self.best is None or not common:
            return None
        return sample([self.runs[self.best][seed] - own[seed] for seed in common])

    def read_off(self, rate: float) -> float | None:
        """Points below the best at any rate, straight between the grid's means; None outside the grid."""
        if self.best is None or not self.rates[0] <= rate <= self.rates[-1]:
            return None
        right = next(index for index, other in enumerate(self.rates) if other >= rate)
        left = max(right - 1, 0)
        low, high = self.at(self.rates[left]).mean, self.at(self.rates[right]).mean
        part = math.log(rate / self.rates[left]) / math.log(self.rates[right] / self.rates[left]) if right > left else 1
        return self.at(self.best).mean - (low + part * (high - low))


@dataclass(frozen=True)
class Picks:
    """One rule on one model: the rate of each seed of the finder (None where it gave none), and its steps."""

    rule: str
    rates: Mapping[int, float | None]
    steps: Mapping[int, float]
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> float | None:
        """The rate that complete runs were made at: seed 0's."""
        return self.rates.get(0)

    @property
    def found(self) -> list[float]:
        """The rates there are, by seed."""
        return [rate for _, rate in sorted(self.rates.items()) if rate is not None]

    @property
    def middle(self) -> float | None:
        """Their geometric mean."""
        return statistics.geometric_mean(self.found) if self.found else None

    @property
    def mean_steps(self) -> float:
        """What the finder cost, in optimizer steps."""
        return statistics.fmean(self.steps.values())


@dataclass(frozen=True)
class Evidence:
    """All raw rows of a folder."""

    folder: Path = HERE

    @cached_property
    def run_rows(self) -> list[dict[str, str]]:
        """Complete runs."""
        return rows.read(self.folder / "runs.csv")

    def grid(self, model: str, schedule: str) -> Grid:
        """The complete runs of a model under a schedule."""
        runs: dict[float, dict[int, float]] = {}
        for row in self.run_rows:
            if (row["model"], row["schedule"]) == (model, schedule):
                runs.setdefault(float(row["rate"]), {})[int(row["seed"])] = float(row["accuracy"])
        low, high = EXPONENTS.get(model, LONGER_EXPONENTS)
        return Grid(runs, tuple(2.0**exponent for exponent in range(low, high + 1)))

    def picks(self, model: str) -> dict[str, Picks]:
        """Every rule that has rows for this model, step sampling's first."""
        found: dict[str, list[dict[str, str]]] = {}
        for row in rows.read(self.folder / "picks.csv") + rows.read(self.folder / "rivals.csv"):
            if row["model"] == model:
                found.setdefault(row["rule"], []).append(row)
        return {rule: _picks(rule, found[rule]) for rule in (*OWN, *RIVALS) if rule in found}

    def curve(self, file: str, model: str, finder: str | None = None, seed: int = 0) -> tuple[list[float], list[float]]:
        """Rates, ascending, and losses of one finder's seed: of probes.csv (14 rates), or of a ramp in rivals_curves.csv."""
        points = [
            (float(row["rate"]), float(row["loss"]))
            for row in rows.read(self.folder / file)
            if (row["model"], row["seed"]) == (model, str(seed)) and finder in (None, row.get("finder"))
            if row.get("budget", "14") == "14" and float(row["rate"]) > 0
        ]
        return [rate for rate, _ in sorted(points)], [loss for _, loss in sorted(points)]

    def run_steps(self, model: str) -> int:
        """The optimizer steps of a complete run."""
        return max(int(row["steps"]) for row in self.run_rows if row["model"] == model)

    def provenance(self, model: str, column: str) -> str:
        """What a column of a model's runs says, each entry once."""
        return ", ".join(dict.fromkeys(row[column] for row in self.run_rows if row["model"] == model))


def _picks(rule: str, found: Sequence[Mapping[str, str]]) -> Picks:
    """One rule's rows."""
    return Picks(
        rule=rule,
        rates={int(row["seed"]): float(row["rate"]) if row["rate"] else None for row in found},
        steps={int(row["seed"]): float(row.get("steps") or row.get("steps_equivalent") or "nan") for row in found},
        notes=tuple(dict.fromkeys(row["note"] for row in found if row.get("note"))),
    )
