"""What real.csv says: runs until an accuracy observed is near the best, and what the returned point is worth. No torch.

Here accuracies are those observed, noise and all, so the best of many runs is luck to a point: the column to trust is
the last, the point that a method would return after the budget, trained again with fresh seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import rows
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.bars import OURS
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
    groups, stale = real_rows(evidence)
    lines = [f"### {evidence.lattice}", ""]
    if stale:
        lines += [
            f"Trained with an earlier search or start, and left out: {', '.join(f'`{name}`' for name in stale)}.",
            "",
        ]
    if not groups:
        return [*lines, "Not measured yet.", ""] if not stale else lines
    best = " | ".join(f"best observed after {count}" for count in SHOWN)
    lines += [f"| method | box | start | repetitions | median runs | {best} | returned |", "|" + "---|" * 9]
    lines += [real_line(evidence, condition, ended(evidence, condition, found)) for condition, found in groups.items()]
    return [*lines, "", *(f"{sentence}" for sentence in real_losses([evidence])), ""]


def real_rows(evidence: Evidence) -> tuple[dict[Condition, list[Row]], list[str]]:
    """The rows of every condition of a lattice; methods whose rows are all of another search or start."""
    every: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows.read(evidence.folder / "real.csv"):
        if row["lattice"] == evidence.lattice:
            every.setdefault((row["method"], row["box"], row["start"]), []).append(row)
    found, stale = {}, []
    for condition in evidence.conditions:
        some = every.get((condition.method, condition.box, condition.start))
        if some:
            key = conditions.key(condition, "real", evidence.measured / "probes.csv")
            if kept := [row for row in some if row["key"] == key]:
                found[condition] = kept
            else:
                stale.append(condition.method)
    return found, list(dict.fromkeys(stale))


def ended(evidence: Evidence, condition: Condition, found: list[Row]) -> list[Repetition]:
    """The repetitions that are over: those whose returned point is confirmed."""
    last = str(conditions.settings()["real"]["confirmed"])
    seeds = {row["seed"] for row in found if row["kind"] == "confirm" and row["run"] == last}
    return [Repetition.of(evidence, condition, seed, found) for seed in sorted(seeds, key=int)]


def mean_and_error(every: Sequence[Repetition]) -> tuple[float, float]:
    """Of the returned points, over repetitions; the error is nan for one."""
    confirmed = [one.confirmed for one in every]
    error = statistics.stdev(confirmed) / len(confirmed) ** 0.5 if len(confirmed) > 1 else math.nan
    return statistics.fmean(confirmed), error


def real_line(evidence: Evidence, condition: Condition, every: Sequence[Repetition]) -> str:
    """One condition."""
    settings = conditions.settings()["real"]
    if not every:
        return f"| `{condition.method}` | {condition.box} | {condition.start} | 0 | | | | | |"
    target = evidence.facts["best"] * (1 - settings["target"] / 100)
    middle = statistics.median(one.reached(target) for one in every)
    mean, error = mean_and_error(every)
    parts = [
        *(f"`{condition.method}`", condition.box, condition.start, str(len(every))),
        "never" if middle > settings["budget"] else f"{middle:.3g}",
        *(f"{statistics.median(one.best(count) for one in every):.2f}" for count in SHOWN),
        f"{mean:.2f} ± {error:.2f}",
    ]
    return f"| {' | '.join(parts)} |"


def real_losses(every: Sequence[Evidence]) -> list[str]:
    """By lattice: what flatdirs returned in the end, trained again, and who returned better points; a sentence each."""
    return [sentence for evidence in every if evidence.entry is not None for sentence in _real_loss(evidence)]


def _real_loss(evidence: Evidence) -> list[str]:
    found = {
        condition: mean_and_error(over)
        for condition, some in real_rows(evidence)[0].items()
        if (over := ended(evidence, condition, some))
    }
    own = next((pair for condition, pair in found.items() if condition.method == OURS), None)
    others = {condition: pair for condition, pair in found.items() if condition.method != OURS}
    if own is None or not others:
        return []
    budget = conditions.settings()["real"]["budget"]
    told = f"In real training on {evidence.lattice} what it returned after {budget} runs reached {own[0]:.2f} ± {own[1]:.2f} % with fresh seeds (mean, standard error)"
    better = {condition: pair for condition, pair in others.items() if pair[0] > own[0]}
    if not better:
        return [f"{told}, the most of {len(found)}."]
    sure = sum(mean - own[0] > 2 * math.hypot(error, own[1]) for mean, error in better.values())
    first = max(better, key=lambda condition: better[condition][0])
    box = "" if first.box == NONE else f", {first.box} box"
    mean, error = better[first]
    return [
        f"{told}; {len(better)} of {len(others)} others returned more, `{first.method}`{box} the most with {mean:.2f} ± {error:.2f} % "
        f"({sure or 'none'} of them by more than two standard errors of the difference)."
    ]
