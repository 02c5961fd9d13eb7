"""Tables of what was handed over (judged.csv), and of the runs until a search had seen as good (rows.csv)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.commands.cases import BUDGETS, CASES, METHODS
from benchmarks.drawing import number, spread, table

LOWER = {name for name, case in CASES.items() if "loss" in case.metric}


def values(folder: Path) -> dict[str, str]:
    """The judged values by case and budget, and in how many repetitions flatdirs handed over the better setting."""
    judged = pd.read_csv(folder / "judged.csv")
    runs = judged.groupby(["case", "method", "repetition", "budget"])["value"].mean()  # over the seeds that judge
    lines, better, of, margins = [], 0, 0, dict[str, str]()
    cases = [name for name in CASES if name in set(judged["case"])]
    for name in cases:
        for budget in BUDGETS:
            ours, theirs = (runs[name, method].xs(budget, level="budget") for method in METHODS)
            sign = -1 if name in LOWER else 1
            gains = (sign * (ours - theirs)).dropna().tolist()  # of repetitions that both methods have
            better, of = better + sum(gain > 0 for gain in gains), of + len(gains)
            digits = 3 if abs(ours.mean()) < 10 else 2
            margins[f"{name}_{budget}"] = spread(gains, digits)
            lines.append(
                {
                    "script": name,
                    "metric": CASES[name].metric + (" (lower is better)" if name in LOWER else ""),
                    "budget": budget,
                    "start": spread(runs[name, "start"].tolist(), digits),
                    "flatdirs": spread(ours.tolist(), digits),
                    "TPE": spread(theirs.tolist(), digits),
                    "flatdirs better by": spread(gains, digits),
                    "in repetitions": f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
                    "diverged": number(int(judged[judged["case"] == name]["value"].isna().sum())),
                }
            )
    return {
        "handed": table(pd.DataFrame(lines)),
        "better": number(better),
        "of": number(of),
        **margins,
    }
