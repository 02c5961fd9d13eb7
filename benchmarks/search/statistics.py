"""What the rows come to: means over seeds, ratios over tasks, cases in which a search is worse. No search, no surface.

Regrets are in units of a run's noise, and smaller ones than 0.05 count as that. A ratio compares means over the seeds that both have;
a task with two tables has the geometric mean of theirs, and over tasks it is the geometric mean, with a bootstrap over tasks.

Worse in a case, a task and a number of runs: the issue is whether (mean regret)/(the other's) exceeds 1 by more than the larger of 2 %
and a tenth of a run's noise, the latter as a part of the other's regret. It does where the one-sided 95 % interval of the ratio, a
bootstrap over seeds, lies above that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import drawing, rows
from benchmarks.search import split
from benchmarks.search.split import AFTER, BUDGET, SPLIT, TASKS, Condition

FLOOR = float(SPLIT["floor"])
MARGIN, NOISES = 0.02, 0.1  # what a ratio may lie above 1: a part of it, and noises
LEVEL = 0.05
RESAMPLES = 2000
Array = np.ndarray[Any, np.dtype[np.float64]]


class Contender(NamedTuple):
    """A method in a box from a start."""

    method: str
    box: str = "expert"
    start: str = "usual"


class Evidence:
    """The rows on file that fit the facts of their surfaces and split.yaml; others are left out.

    `regrets`: by surface and contender a frame, seeds × AFTER, in noises and floored; `reached`: runs until among the best 1 %, one more
    than the budget where never.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "facts.json"
        self.facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.regrets: dict[tuple[str, Contender], pd.DataFrame] = {}
        self.reached: dict[tuple[str, Contender], pd.Series] = {}
        self.sources: set[str] = set()
        for surface, facts in self.facts.items():
            table = pd.DataFrame(rows.read(folder / "rows" / f"{surface}.csv"))
            for parts, some in table.groupby(["method", "box", "start"]) if len(table) else ():
                self._take(surface, facts, Contender(*parts), some)

    def _take(self, surface: str, facts: Any, who: Contender, some: pd.DataFrame) -> None:
        """Keep the rows of one condition, if its key is theirs."""
        version, condition = some["source"].iloc[0], Condition(surface, *who)
        if condition not in {one for one, _ in split.conditions(surface)}:
            return
        some = some[some["key"] == split.key(condition, facts["key"], version)]
        if some.empty:
            return
        some = some.set_index(some["seed"].astype(int))
        found = some[[f"regret_{count}" for count in AFTER]].astype(float) / facts["noise"]
        self.regrets[surface, who] = found.set_axis(list(AFTER), axis=1).clip(lower=FLOOR)
        self.reached[surface, who] = pd.to_numeric(some["reached"]).fillna(BUDGET + 1)
        if split.is_ours(who.method) and who.method not in split.FROZEN:
            self.sources.add(version)

    def pairs(self, task: str, one: Contender, other: Contender) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """By surface of a task: the regrets of both for the seeds that both have. Empty unless all surfaces have some."""
        found = []
        for surface in TASKS[task]:
            a, b = self.regrets.get((surface, one)), self.regrets.get((surface, other))
            if a is not None and b is not None and len(seeds := a.index.intersection(b.index)):
                found.append((a.loc[seeds], b.loc[seeds]))
        return found if len(found) == len(TASKS[task]) else []

    def log_ratios(self, tasks: Sequence[str], one: Contender, other: Contender, count: int) -> pd.Series:
        """By task the logarithm of mean regret over the other's after so many runs; tasks that lack rows are left out."""
        pairs = {task: self.pairs(task, one, other) for task in tasks}
        return pd.Series({task: log_ratio(some, count) for task, some in pairs.items() if some}, dtype=float)

    def never(self, tasks: Sequence[str], who: Contender) -> pd.Series:
        """By task the percentage of searches that never reach the best 1 % of the expert box within the budget."""
        found = {}
        for task in tasks:
            runs = [self.reached[surface, who] for surface in TASKS[task] if (surface, who) in self.reached]
            if len(runs) == len(TASKS[task]):
                found[task] = float(np.mean([100 * (some > BUDGET).mean() for some in runs]))
        return pd.Series(found, dtype=float)

    def delays(self, surface: str, one: Contender, other: Contender) -> pd.Series:
        """By seed how many runs more one needs than the other until among the best 1 %."""
        return (self.reached[surface, one] - self.reached[surface, other]).dropna()


def log_ratio(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], count: int) -> float:
    """Mean over surfaces of the logarithm of mean regret over the other's."""
    return float(np.mean([math.log(a[count].mean() / b[count].mean()) for a, b in pairs]))


def overall(ratios: pd.Series) -> tuple[float, float, float]:
    """Geometric mean of ratios given by their logarithms, and its 95 % bootstrap interval over tasks."""
    middle, low, high = (math.exp(x) for x in drawing.mean_interval(ratios.to_list()))
    return middle, low, high


def worse(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], count: int, seed: int = 0) -> bool:
    """Whether one is worse than the other in a case, as the head of this module says."""
    generator, excess = np.random.default_rng(seed), np.zeros(RESAMPLES)
    for a, b in pairs:
        drawn = generator.integers(len(a), size=(RESAMPLES, len(a)))
        one, other = (some[count].to_numpy()[drawn].mean(axis=1) for some in (a, b))
        excess += np.log(one / other) - np.log1p(np.maximum(MARGIN, NOISES / other))
    return bool(np.quantile(excess, LEVEL) > 0)


def against_the_better(
    evidence: Evidence, tasks: Sequence[str], one: Contender, others: Sequence[Contender]
) -> pd.DataFrame:
    """Every case against the better of the others: picked by the seeds that are even, compared on the odd ones.

    Columns: task, runs, other, ratio, worse.
    """
    found = []
    for task in tasks:
        known = {other: pairs for other in others if (pairs := evidence.pairs(task, one, other))}
        halves = {
            other: [[(a[a.index % 2 == half], b[b.index % 2 == half]) for a, b in pairs] for half in (0, 1)]
            for other, pairs in known.items()
        }
        halves = {other: both for other, both in halves.items() if all(len(a) for half in both for a, _ in half)}
        for count in AFTER if halves else ():
            better = max(halves, key=lambda other: log_ratio(halves[other][0], count))
            on = halves[better][1]
            ratio, lost = math.exp(log_ratio(on, count)), worse(on, count)
            found.append({"task": task, "runs": count, "other": better.method, "ratio": ratio, "worse": lost})
    return pd.DataFrame(found, columns=["task", "runs", "other", "ratio", "worse"])
