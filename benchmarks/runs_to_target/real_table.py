"""What real.csv says: runs until an accuracy observed is near the best, and what the returned point is worth. No torch.

Here accuracies are those observed, noise and all, so the best of many runs is luck to a point: the column to trust is
the last, the point that a method would return after the budget, trained again with fresh seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import rows
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.conditions import NONE, Condition
from benchmarks.runs_to_target.findings import Evidence

Row = Mapping[str, str]
SHOWN = (5, 10, 25)


@dataclass(frozen=True)
class Repetition:
    """One search that is over: accuracies by run, the cost of its probes, the mean of its returned point's fresh seeds."""

    accuracies: tuple[float, ...]
    cost: float
    confirmed: float

    @classmethod
    def of(cls, evidence: Evidence, condition: Condition, seed: str, found: Sequence[Row]) -> Repetition:
        """From its rows among others."""
        own = sorted((row for row in found if row["seed"] == seed), key=lambda row: int(row["run"]))
        kinds = {kind: [float(row["accuracy"]) for row in own if row["kind"] == kind] for kind in ("search", "confirm")}
        cost = 0.0
        if condition.start != NONE:
            probes = evidence.measured / "probes.csv"
            cost = conditions.start(evidence.lattice, condition.start, int(seed), probes).cost
        return cls(tuple(kinds["search"]), cost, statistics.fmean(kinds["confirm"]))

    def reached(self, target: float) -> float:
        """Runs to the first accuracy this good, probes included; one more than the budget where there was none."""
        first = next((number for number, value in enumerate(self.accuracies, 1) if value >= target), None)
        return conditions.settings()["real"]["budget"] + 1.0 if first is None else self.cost + first

    def best(self, count: int) -> float:
        """The best of the first so many runs, probes included; of the first run where probes used them up."""
        return max(self.accuracies[: max(int(count - self.cost + 1e-9), 1)])


def real_section(every: Sequence[Evidence]) -> list[str]:
    """The page's section."""
    found = conditions.settings()["real"]
    lines = [
        "## Real training, no table",
        "",
        "`make bench-real`: every run is trained by flatdirs' own trainer. One training seed for all points of a repetition, the automatic",
        f"start where a method has one, {found['seeds']} repetitions of {found['budget']} runs, probes included. *Runs*: until an accuracy observed is within {found['target']:g} %",
        "of the best of the lattice's fit. *Returned*: the point a method would return in the end, trained again with",
        f"{found['confirmed']} fresh seeds; mean over repetitions and their standard error.",
        "",
    ]
    for evidence in every:
        if evidence.lattice in found and evidence.entry is not None:
            lines += real_table(evidence)
    return lines


def real_table(evidence: Evidence) -> list[str]:
    """One lattice."""
    every: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows.read(evidence.folder / "real.csv"):
        if row["lattice"] == evidence.lattice:
            every.setdefault((row["method"], row["box"], row["start"], row["key"]), []).append(row)
    lines = [f"### {evidence.lattice}", ""]
    if not every:
        return [*lines, "Not measured yet.", ""]
    best = " | ".join(f"best observed after {count}" for count in SHOWN)
    lines += [f"| method | box | start | repetitions | median runs | {best} | returned |", "|" + "---|" * 9]
    for condition in evidence.conditions:
        if condition.start in (NONE, conditions.settings()["real"]["start"]):
            key = conditions.key(condition, "real", evidence.measured / "probes.csv")
            some = every.get((condition.method, condition.box, condition.start, key))
            lines += [real_line(evidence, condition, some)] if some else []
    return [*lines, ""]


def real_line(evidence: Evidence, condition: Condition, found: list[Row]) -> str:
    """One condition; a repetition counts once its returned point is confirmed, for then it is over."""
    settings = conditions.settings()["real"]
    ended = {row["seed"] for row in found if row["kind"] == "confirm" and row["run"] == str(settings["confirmed"])}
    if not ended:
        return f"| `{condition.method}` | {condition.box} | {condition.start} | 0 | | | | | |"
    target = evidence.facts["best"] * (1 - settings["target"] / 100)
    every = [Repetition.of(evidence, condition, seed, found) for seed in sorted(ended, key=int)]
    middle = statistics.median(one.reached(target) for one in every)
    confirmed = [one.confirmed for one in every]
    error = statistics.stdev(confirmed) / len(confirmed) ** 0.5 if len(confirmed) > 1 else float("nan")
    parts = [
        *(f"`{condition.method}`", condition.box, condition.start, str(len(ended))),
        "never" if middle > settings["budget"] else f"{middle:.3g}",
        *(f"{statistics.median(one.best(count) for one in every):.2f}" for count in SHOWN),
        f"{statistics.fmean(confirmed):.2f} ± {error:.2f}",
    ]
    return f"| {' | '.join(parts)} |"
