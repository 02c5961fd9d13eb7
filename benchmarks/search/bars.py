"""What was promised before the first row, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmarks import drawing
from benchmarks.search.comparisons import GP, OURS, STARTS, TPE, V4
from benchmarks.search.split import AFTER, TASKS
from benchmarks.search.statistics import Evidence, against_the_better, overall

AIMS = {"TPE": (TPE, {10: 0.6, 20: 0.6, 40: 0.6}, 0.85), "GP": (GP, {10: 0.7, 20: 0.8, 40: 0.8}, 1.0)}
AIMS |= {"v4": (V4, {10: 0.45, 20: 0.45, 40: 0.45}, math.inf)}


def bars(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """Every bar, what was measured, and whether it is met; those without rows are left out."""
    found: list[dict[str, Any]] = []

    def add(bar: str, measured: str, met: bool) -> None:
        found.append({"bar": bar, "measured": measured, "met": met})

    for name, (rival, most, end) in AIMS.items():
        for count, ratio in most.items():
            if len(some := evidence.log_ratios(tasks, OURS, rival, count)):
                middle, low, high = overall(some)
                told = f"at most {ratio:g}" + (f", upper end below {end:g}" if end < math.inf else "")
                add(
                    f"over {name} after {count} runs {told}",
                    drawing.interval(middle, low, high),
                    middle <= ratio and high < end,
                )
    for name, who in STARTS.items():
        for count in AFTER:
            if len(some := evidence.log_ratios(tasks, who, TPE, count)):
                add(
                    f"from the {name} start over TPE from the usual one after {count} runs at most 1",
                    drawing.interval(*overall(some)),
                    overall(some)[0] <= 1,
                )
    if len(table := against_the_better(evidence, tasks, OURS, (TPE, GP))):
        lost, high = int(table["worse"].sum()), table["ratio"].max()
        add(
            "worse than the better of TPE and GP in at most 10 % of cases",
            f"{lost} of {len(table)}",
            lost <= 0.1 * len(table),
        )
        add("in none by more than 1.5×", f"{high:.2f}×", bool(high <= 1.5))
    if len(never := evidence.never(tasks, OURS)):
        wide = never[[margin(evidence, task) > 0.5 for task in never.index]]
        add("never among the best 1 %: at most 5 % overall", f"{never.mean():.1f} %", never.mean() <= 5)
        if len(wide):
            add(
                "at most 10 % on any task whose margin is above half a noise",
                f"{wide.max():.1f} % ({wide.idxmax()})",
                wide.max() <= 10,
            )
    return pd.DataFrame(found)


def margin(evidence: Evidence, task: str) -> float:
    """What lies between the best and the best 1 % of the expert box, in noises; the least of a task's tables."""
    some = [evidence.facts[surface] for surface in TASKS[task]]
    return min((facts["best"] - facts["threshold"]) / facts["noise"] for facts in some)
