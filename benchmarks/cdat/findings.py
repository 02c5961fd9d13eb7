"""The rows of a folder as records, and what several runs of them say together. No torch."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.cdat import running
from benchmarks.cdat.plan import BASES, CAP, CRITICAL, PROBLEMS, Run, end_losses, run_of

NAMES = {
    "constant": "constant",
    "schedule": "warm-up + decay",
    "linesearch": "line search",
    "sigma1": "σ = 1",
    "sigma2": "σ = 2",
}


@dataclass(frozen=True)
class Look:
    """The curvature behind one step; `ratio` is that of sharpness to the edge at the mean rate of the steps just taken.

    `gain1`, `gain2`, `gain_own`, `gain_search`: what a step of σ = 1, of σ = 2, of the run's own constant rate, of a line
    search from there takes off the loss; nan where none is tried.
    """

    step: int
    rate: float
    loss: float
    sharpness: float
    ratio: float
    alignment: float
    gain1: float
    gain2: float
    gain_own: float
    gain_search: float
    single: float  # the ratio at the rate of this one step


@dataclass(frozen=True)
class Trained:
    """One run: `end` is the mean loss of its last steps (mini-batches: of all images), infinite where it diverged."""

    run: Run
    initial: float
    end: float
    sharpness: float | None
    curve: list[tuple[int, float, float]]  # step, loss before it, rate
    looks: list[Look]
    seconds: float


@dataclass(frozen=True)
class Case:
    """One problem and base in the full batch: by rival, its runs, seed by seed."""

    problem: str
    base: str
    runs: Mapping[str, Mapping[int, Trained]]

    @property
    def name(self) -> str:
        """As the page has it."""
        return f"{self.problem} {self.base}"

    def pairs(self, first: str, second: str) -> list[tuple[Trained, Trained]]:
        """The runs of two rivals that share a seed."""
        one, other = self.runs.get(first, {}), self.runs.get(second, {})
        return [(one[seed], other[seed]) for seed in sorted(one.keys() & other.keys())]

    def every(self, rival: str) -> list[Trained]:
        """All seeds of one rival."""
        return [run for _, run in sorted(self.runs.get(rival, {}).items())]


@dataclass(frozen=True)
class Compared:
    """Runs of two methods that share a seed. The rule where runs diverged, for every number of the page:

    `mean`, the geometric mean of the first's end loss over the second's, is over the `both` seeds in which both
    finished; None where these are not most of the `seeds`, for the others were chosen by luck. `first` and `second` of
    either's runs diverged, which is told beside the number. Without a mean, whoever diverged less often is ahead.
    """

    mean: float | None
    range: tuple[float, float]  # the lowest and the highest single seed of those
    both: int
    first: int
    second: int
    seeds: int

    @property
    def ratio(self) -> float:
        """For comparing, not for showing: the mean; without one, infinite where the first is behind, 0 where ahead."""
        if self.mean is not None:
            return self.mean
        return math.nan if self.first == self.second else math.inf if self.first > self.second else 0.0

    @property
    def behind(self) -> int:
        """How many seeds stand behind what is told: without a mean, all of them."""
        return self.seeds if self.mean is None else self.both

    def lost(self, first: str, second: str) -> str:
        """Who diverged, in words; nothing where nobody did."""
        counts = ((first, self.first), (second, self.second))
        return " and ".join(f"{name} diverged with {count} of {self.seeds} seeds" for name, count in counts if count)

    def told(self, number: str, first: str, second: str) -> str:
        """`number`, how the mean is shown, and in words who diverged."""
        lost = self.lost(first, second)
        if self.mean is None:
            return f"no number, as {lost}"
        return f"{number} ({lost})" if lost else number


class Evidence:
    """All that is on file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = running.read(folder / "runs.csv")
        self.toy = running.read(folder / "toy.csv")
        self.starts = running.read(folder / "start.csv")
        self.start_runs = running.read(folder / "start_runs.csv")
        self.sigma_starts = running.read(folder / "sigma_start.csv")
        cost = folder / "step_cost.json"
        self.step_cost: dict[str, Any] = json.loads(cost.read_text(encoding="utf-8")) if cost.exists() else {}

    @cached_property
    def losses(self) -> dict[Run, float]:
        """What tuning goes by."""
        return end_losses(self.rows)

    @cached_property
    def trained(self) -> dict[Run, Trained]:
        """Every run."""
        return {run_of(row): trained(row) for row in self.rows}

    @cached_property
    def cases(self) -> list[Case]:
        """The full batch, where anything but grids is there."""
        found: dict[tuple[str, str], dict[str, dict[int, Trained]]] = defaultdict(lambda: defaultdict(dict))
        for run, result in self.trained.items():
            if run.part == "full_batch" and run.role == "compare":
                found[run.problem, run.base][rival(run)][run.seed] = result
        order = [(problem, base) for problem in PROBLEMS for base in BASES]
        return [Case(*key, found[key]) for key in order if key in found]

    def part(self, name: str) -> list[Trained]:
        """The compared runs of a part."""
        return [found for run, found in self.trained.items() if run.part == name and run.role == "compare"]


def rival(run: Run) -> str:
    """What it is called among RIVALS, or σ with its number."""
    return f"sigma{run.value:g}" if run.method == "cdat" else run.method


def trained(row: Mapping[str, str]) -> Trained:
    """The record of a row."""
    looks = [look(values, CRITICAL[row["base"]]) for values in numbers(row["looks"])]
    return Trained(
        run=run_of(row),
        initial=float(row["initial_loss"]),
        end=math.inf if row["state"] == "diverged" else float(row["end_loss"]),
        sharpness=float(row["end_sharpness"]) if row["end_sharpness"] else None,
        curve=[(int(step), loss, rate) for step, loss, rate in numbers(row["curve"])],
        looks=[one for one in looks if math.isfinite(one.ratio)],
        seconds=float(row["seconds"]),
    )


def look(values: Sequence[float], critical: float) -> Look:
    """One group of the column `looks`."""
    step, last_rate, loss, sharpness, _, alignment, *gains, rate = values
    ratio, single = (sharpness * each / critical for each in (rate, last_rate))
    return Look(int(step), rate, loss, sharpness, ratio, alignment, *gains, single)


def numbers(cell: str) -> list[list[float]]:
    """`1:2:3;4:5:6` → lists."""
    return [[float(value) for value in group.split(":")] for group in cell.split(";")] if cell else []


def compared(pairs: Iterable[tuple[float, float]]) -> Compared:
    """What pairs of end losses, infinite where a run diverged, say of the first of each against the second."""
    table = list(pairs)
    logs = [math.log(one / other) for one, other in table if math.isfinite(one) and math.isfinite(other)]
    lost, beaten = (sum(math.isinf(pair[place]) for pair in table) for place in (0, 1))
    mean = math.exp(sum(logs) / len(logs)) if 2 * len(logs) > len(table) else None
    ends = (math.exp(min(logs)), math.exp(max(logs))) if logs else (math.nan, math.nan)
    return Compared(mean, ends, len(logs), lost, beaten, len(table))


def compare(case: Case, first: str, second: str) -> Compared:
    """End loss over end loss of two rivals, seed by seed."""
    return compared((one.end, other.end) for one, other in case.pairs(first, second))


def median(values: Iterable[float]) -> float:
    """Of what is there; not a number of nothing."""
    kept = list(values)
    return statistics.median(kept) if kept else math.nan


def thirds(looks: Sequence[Look], of: Callable[[Look], float]) -> float:
    """The median of the last third of the looks over that of the first."""
    part = max(1, len(looks) // 3)
    first, last = median(map(of, looks[:part])), median(map(of, looks[-part:]))
    return last / first if first else math.nan


def step_share(
    runs: Iterable[Trained], of: Callable[[Look], float], against: Callable[[Look], float] = lambda look: look.gain2
) -> tuple[float, int]:
    """In which part of all looks one step of one rule gains more than one of another, σ = 2, and of how many."""
    pairs = [(of(one), against(one)) for run in runs for one in run.looks]
    finite = [(gain, other) for gain, other in pairs if math.isfinite(gain) and math.isfinite(other)]
    return (sum(gain > other for gain, other in finite) / len(finite) if finite else math.nan), len(finite)


def growth(run: Trained) -> tuple[float, float]:
    """How much the rate grows, from the first above 0 to its highest median of five samples, and where, as a part of the run."""
    rates = [rate for _, _, rate in run.curve]
    first = next((rate for rate in rates if rate > 0), 1.0)
    smooth = [median(rates[max(0, i - 4) : i + 1]) for i in range(len(rates))]
    top = max(range(len(smooth)), key=smooth.__getitem__)
    return smooth[top] / first, run.curve[top][0] / run.run.steps


def capped(case: Case, rival: str) -> float:
    """The part of the steps on file at which a rate found step by step was the cap."""
    rates = [rate for run in case.every(rival) for _, _, rate in run.curve]
    return sum(rate > 0.999 * CAP[case.base] for rate in rates) / len(rates) if rates else 0.0


def best_sigmas(runs: Iterable[Trained], ema: float) -> dict[int, tuple[float, int]]:
    """Batch → the σ of the lowest end over initial loss, as a geometric mean over seeds, and how many seeds there are.

    A σ with which a run diverged is not the best, however the others ended.
    """
    columns: dict[int, dict[float, tuple[float, int]]] = defaultdict(dict)
    for (sigma, batch), found in sigma_table(runs, ema).items():
        if math.isfinite(found[0]):
            columns[batch][sigma] = found
    return {
        batch: (min(column, key=lambda sigma, of=column: of[sigma][0]), min(count for _, count in column.values()))  # type: ignore[misc]
        for batch, column in sorted(columns.items())
    }


def sigma_table(runs: Iterable[Trained], ema: float) -> dict[tuple[float, int], tuple[float, int]]:
    """(σ, batch) → end over initial training loss, the geometric mean over seeds, infinite where one diverged; the seeds."""
    found: dict[tuple[float, int], list[tuple[float, float]]] = defaultdict(list)
    for one in runs:
        if one.run.method == "cdat" and one.run.ema == ema:
            found[one.run.value, one.run.batch].append((one.end, one.initial))
    told = {key: compared(pairs) for key, pairs in found.items()}
    return {key: (math.inf if one.first or one.mean is None else one.mean, one.seeds) for key, one in told.items()}
