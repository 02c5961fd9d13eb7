"""Tables, numbers and the figure of this folder's page, from rows/, facts.json and looked.csv. No torch, no Optuna, no surface."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from benchmarks import drawing, rows
from benchmarks.search import split
from benchmarks.search.bars import bars
from benchmarks.search.comparisons import (
    COLOURS,
    OURS,
    WIDTHS,
    ablation,
    by_width,
    cases,
    charts,
    regrets,
    starts,
    summary,
    surfaces,
    width_contenders,
    widths,
)
from benchmarks.search.earlier_study import delays
from benchmarks.search.left_to_gain import coverage
from benchmarks.search.split import SPLIT
from benchmarks.search.statistics import Evidence


def values(folder: Path) -> dict[str, str]:
    """What the pages quote: every table for the development tasks and, where it was looked at, the first ones for validation."""
    evidence, tasks = Evidence(folder), list(SPLIT["development"])
    tables = {"summary": summary(evidence, tasks), "cases": cases(evidence, tasks), "bars": bars(evidence, tasks)}
    tables |= {
        "surfaces": surfaces(evidence, tasks),
        "regrets": regrets(evidence, tasks),
        "starts": starts(evidence, tasks),
    }
    tables |= {
        "ablation": ablation(evidence, tasks),
        "charts": charts(evidence, tasks),
        "widths": widths(evidence, tasks),
    }
    tables |= {"fits": fits(folder), "left": coverage(folder), "earlier": delays(folder)}
    found = {name: drawing.table(table) if len(table) else "No rows yet." for name, table in tables.items()}
    if not len(tables["cases"]) and len(tables["bars"]):
        found["cases"] = "None."
    looked, held = rows.read(folder / "looked.csv"), list(SPLIT["validation"])
    found["looked"] = "; ".join(f"{row['date']} ({row['surfaces']})" for row in looked) or "not yet"
    for name, table in {
        "summary": summary(evidence, held),
        "regrets": regrets(evidence, held),
        "bars": bars(evidence, held),
    }.items():
        found[f"validation_{name}"] = drawing.table(table) if looked and len(table) else "Not looked at yet."
    return {
        **found,
        "version": ", ".join(sorted(evidence.sources)) or "no rows yet",
        "frozen": split.FROZEN["v4"]["commit"],
    }


def fits(folder: Path) -> pd.DataFrame:
    """By lattice how well its fit predicts cells that it has not seen, beside what noise alone gives; in points or nats."""
    path, found = folder / "fits.json", []
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, entry in entries.items():
        off, line = entry["errors"], {"lattice": name, "cells": entry["errors"]["tried"]}
        line |= {
            f"{part}: error (noise)": f"{off[part]:.2f} ({off[part + '_noise']:.2f})" for part in ("near", "overall")
        }
        found.append({**line, "bias near": f"{off['near_bias']:+.2f}", "wrong side of the cliff": off["cliff_wrong"]})
    return pd.DataFrame(found)


def figures(folder: Path) -> dict[str, bytes]:
    """Regret against the width of the box, after 10, 20 and 40 runs."""
    evidence, tasks = Evidence(folder), list(SPLIT["development"])
    figure, panels = drawing.canvas(1, 3, 3.4, 3.4)
    for axes, count in zip(panels, (10, 20, 40), strict=True):
        for method, contenders in width_contenders().items():
            if points := by_width(evidence, tasks, contenders, count):
                axes.plot(list(WIDTHS.values()), points[1:], color=COLOURS[method], label=method, marker="o")
        if points := by_width(evidence, tasks, [OURS], count):
            axes.axhline(points[1], color=COLOURS["flatdirs"], ls="--", label="flatdirs without a box")
        axes.set(title=f"after {count} runs", xscale="log", xlabel="width of the box, times the expert's")
        axes.set_xticks(list(WIDTHS.values()), [f"{width:g}" for width in WIDTHS.values()])
        axes.xaxis.minorticks_off()
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("regret, in a run's noise")
    if handles := panels[0].get_legend_handles_labels():
        figure.legend(*handles, loc="outside lower center", ncols=7, frameon=False, fontsize=8)
    return {"widths.png": drawing.png(figure, 80)}
