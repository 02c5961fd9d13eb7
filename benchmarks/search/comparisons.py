"""The tables of the page, as frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import drawing
from benchmarks.search import split
from benchmarks.search.split import AFTER, BUDGET, NONE, SPLIT, TASKS
from benchmarks.search.statistics import Contender, Evidence, against_the_better, overall, worse

OURS, TPE, GP, V4 = Contender("flatdirs", NONE), Contender("tpe"), Contender("gp"), Contender("v4", NONE)
IN_BOX = Contender("flatdirs")
KEEP = Contender("keep", NONE)
RIVALS = {"TPE": TPE, "GP": GP, "CMA-ES": Contender("cmaes"), "CFO": Contender("cfo"), "random": Contender("random")}
RIVALS |= {"keep the start": KEEP, "v4": V4, "flatdirs in the box": IN_BOX}
STARTS = {name: OURS._replace(start=name) for name in ("careless", "large")}
ABLATION = {"raw axes alone": "raw_axes", "one chart alone": "one_chart", "mixture without raw": "no_raw"}
DRAWN = {
    f"random start, {text} box": OURS._replace(start=f"random_{name}")
    for name, text in (("expert", "expert's"), ("four", "4×"))
}
WIDTHS: Mapping[str, float] = SPLIT["widths"]
COLOURS = {"flatdirs": "C3", "tpe": "C2", "cmaes": "C4", "cfo": "C1", "gp": "k", "random": "C7"}


def summary(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """flatdirs without a box over each rival in the expert's: ratio of regrets [95 %]; cases in which it is worse; who never arrives."""
    found = []
    for name, rival in RIVALS.items():
        line: dict[str, Any] = {"flatdirs over": name}
        ratios = {count: evidence.log_ratios(tasks, OURS, rival, count) for count in AFTER}
        if not len(ratios[AFTER[0]]):
            continue
        line["tasks"] = len(ratios[AFTER[0]])
        line |= {f"after {count}": drawing.interval(*overall(some)) for count, some in ratios.items()}
        lost = [worse(evidence.pairs(task, OURS, rival), count) for task in ratios[AFTER[0]].index for count in AFTER]
        line["worse in"] = f"{sum(lost)} of {len(lost)}"
        line["never, %: it"] = evidence.never(tasks, rival).mean()
        found.append({**line, "flatdirs": evidence.never(list(ratios[AFTER[0]].index), OURS).mean()})
    return pd.DataFrame(found)


def cases(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """The cases in which flatdirs is worse than the better of TPE and the Gaussian process, or its ratio is above 1.5."""
    table = against_the_better(evidence, tasks, OURS, (TPE, GP))
    return table[table["worse"] | (table["ratio"] > 1.5)].reset_index(drop=True)


def surfaces(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """By surface its best, its noise, and in noises what the best 1 % and the starts lie below it."""
    found = []
    for task in tasks:
        for surface in [one for one in TASKS[task] if one in evidence.facts]:
            facts = evidence.facts[surface]
            line = {"task": task, "surface": surface, "best": f"{facts['best']:.4g}", "noise": f"{facts['noise']:.2g}"}
            below = {"best 1 %": "threshold", "usual": "usual", "careless": "careless", "large": "large"}
            line |= {f"{name}": (facts["best"] - facts[key]) / facts["noise"] for name, key in below.items()}
            found.append(line)
    return pd.DataFrame(found)


def regrets(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """By surface and method, in noises: mean regrets after 5, 10, 20, 40 runs; median runs to the best 1 %; never."""
    found = []
    for surface in [one for task in tasks for one in TASKS[task]]:
        for name, who in {"flatdirs": OURS, **RIVALS}.items():
            if (surface, who) in evidence.regrets:
                means, reached = evidence.regrets[surface, who].mean(), evidence.reached[surface, who]
                never, median = 100 * (reached > BUDGET).mean(), reached.median()
                line = {"surface": surface, "method": name, "seeds": len(reached)}
                line |= {"after 5 / 10 / 20 / 40": " / ".join(f"{mean:.2f}" for mean in means)}
                found.append(
                    {**line, "runs to 1 %": "never" if median > BUDGET else f"{median:g}", "never, %": f"{never:.0f}"}
                )
    return pd.DataFrame(found)


def starts(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """flatdirs from other starts over TPE from the usual one."""
    return compared(
        evidence,
        tasks,
        {f"flatdirs from the {name} start": who for name, who in STARTS.items()},
        TPE,
        "over TPE from the usual",
    )


def ablation(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """Parts of the search, other starts and v4 over the whole of it from the usual start; above 1: the part is worse."""
    parts = {name: Contender(method, NONE) for name, method in ABLATION.items()}
    return compared(evidence, tasks, {**parts, **DRAWN, "v4": V4}, OURS, "over the whole")


def compared(
    evidence: Evidence, tasks: Sequence[str], some: Mapping[str, Contender], other: Contender, title: str
) -> pd.DataFrame:
    """Ratios of regrets of some over another, by count of runs, and the share that never arrives."""
    found = []
    for name, who in some.items():
        ratios = {count: evidence.log_ratios(tasks, who, other, count) for count in AFTER}
        if len(ratios[AFTER[0]]):
            line = {title: name, "tasks": len(ratios[AFTER[0]])}
            line |= {f"after {count}": drawing.interval(*overall(each)) for count, each in ratios.items()}
            found.append({**line, "never, %": evidence.never(tasks, who).mean()})
    return pd.DataFrame(found)


def charts(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """By wrong chart: by how many runs the best 1 % is reached later than with the right one, paired by seed."""
    found = []
    for kind in [name for name in split.OURS if name.startswith("chart_")]:
        who, delays = Contender(kind, NONE), {}
        for surface in [one for task in tasks for one in TASKS[task]]:
            if (surface, who) in evidence.reached and (surface, OURS) in evidence.reached:
                delays[surface] = evidence.delays(surface, who, OURS)
        if delays:
            medians, every = {name: each.median() for name, each in delays.items()}, pd.concat(delays.values())
            most = max(medians, key=lambda name: medians[name])
            line = {"chart": kind.removeprefix("chart_"), "surfaces": len(delays), "median delay": every.median()}
            line |= {"later, %": 100 * (every > 0).mean(), "earlier, %": 100 * (every < 0).mean()}
            found.append({**line, "largest median": f"{medians[most]:+.1f} ({most})"})
    return pd.DataFrame(found)


def width_contenders() -> dict[str, list[Contender]]:
    """By method its rows in the expert's, the twice and the four times as wide box."""
    return {method: [Contender(method, box) for box in WIDTHS] for method in COLOURS}


def widths(evidence: Evidence, tasks: Sequence[str]) -> pd.DataFrame:
    """By method and box: geometric mean over tasks of the regret after 20 runs, in noises; only tasks that have all boxes."""
    found = []
    for method, contenders in width_contenders().items():
        if points := by_width(evidence, tasks, contenders, 20):
            names = ["expert's box", "2×", "4×"]
            found.append(
                {
                    "method": method,
                    **dict(zip(names, [f"{point:.2f}" for point in points[1:]], strict=True)),
                    "tasks": int(points[0]),
                }
            )
    if points := by_width(evidence, tasks, [OURS], 20):
        found.append(
            {
                "method": "flatdirs without a box",
                "expert's box": f"{points[1]:.2f}",
                "2×": None,
                "4×": None,
                "tasks": int(points[0]),
            }
        )
    return pd.DataFrame(found)


def by_width(evidence: Evidence, tasks: Sequence[str], contenders: Sequence[Contender], count: int) -> list[float]:
    """The number of tasks that have all contenders, and for each the geometric mean of their mean regrets; empty: none."""
    whole = [task for task in tasks if all((s, who) in evidence.regrets for s in TASKS[task] for who in contenders)]
    if not whole:
        return []
    logs = [
        [np.mean([math.log(evidence.regrets[s, who][count].mean()) for s in TASKS[task]]) for task in whole]
        for who in contenders
    ]
    return [float(len(whole)), *(math.exp(float(np.mean(each))) for each in logs)]
