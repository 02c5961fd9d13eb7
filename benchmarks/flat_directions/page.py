"""Tables and figures of the three slices, from their cells (SLICE.csv) and facts (SLICE.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.drawing import interval, number, png, table
from flatdirs.report.heatmap import read_cells, slice_figure
from flatdirs.slices.cells import Run, SliceAxis, SliceGrid
from flatdirs.slices.ridge import Ridge, claimed_exponent, fit_ridge
from flatdirs.space.names import canonical

HERE = Path(__file__).resolve().parent
SLICES = {
    "weight_decay": ("wd", "lr·wd"),
    "one_minus_momentum": ("1 − momentum", "lr/(1−momentum)"),
    "batch_size": ("batch size", "lr/batch size"),
}


def values(folder: Path = HERE) -> dict[str, str]:
    """The ridges, how often and how fast the cells were trained, and the time in which wd acts."""
    read = {name: read_slice(folder, name) for name in SLICES}
    ridges = {name: fit_ridge(grid, runs) for name, (grid, runs, _) in read.items()}
    wd, rest = ridges["weight_decay"], 1 - read["weight_decay"][2]["center"]["momentum"]
    steps = [rest / (4 * 2 ** (top.log2_x + top.log2_y)) for top in wd.points] if wd else []
    return {
        "ridges": table(pd.DataFrame([ridge_row(name, read[name][0], ridges[name]) for name in SLICES])),
        "runs": table(pd.DataFrame([runs_row(name, *read[name][:2], ridges[name]) for name in SLICES])),
        "time_of_wd": ", ".join(number(count, 0) for count in steps),
    }


def figures(folder: Path = HERE) -> dict[str, bytes]:
    """A heat map for each slice."""
    read = {name: read_slice(folder, name) for name in SLICES}
    return {f"{name}.png": png(slice_figure(grid, runs, "%"), 100) for name, (grid, runs, _) in read.items()}


def read_slice(folder: Path, name: str) -> tuple[SliceGrid, list[Run], dict[str, Any]]:
    """A slice's grid, runs and facts."""
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    axes = (SliceAxis(**{**facts[key], "name": canonical(facts[key]["name"])}) for key in ("x", "y"))
    grid = SliceGrid(*axes, facts["seeds"], facts["near"])
    return grid, read_cells(folder / f"{name}.csv"), facts


def ridge_row(name: str, grid: SliceGrid, ridge: Ridge | None) -> dict[str, Any]:
    """Exponent, angle and costs of one ridge; the claim holds where its exponent lies in the interval."""
    y, fixed = SLICES[name]
    claim = claimed_exponent(grid) or 0.0
    exponent = "exponent b of lr ∝ yᵇ"
    row: dict[str, Any] = {"y": y, "constant on the ridge": fixed, "claimed b": f"{claim:+.0f}"}
    if ridge is None:
        return {**row, exponent: "no ridge found", "holds": False}
    found = {exponent: ridge.exponent, "angle": ridge.angle, "cost along": ridge.along, "cost across": ridge.across}
    shown = {key: interval(one.value, one.low, one.high, 0 if key == "angle" else 2) for key, one in found.items()}
    return {**row, **shown, "seed noise": ridge.spread, "holds": ridge.exponent.holds(claim)}


def runs_row(name: str, grid: SliceGrid, runs: list[Run], ridge: Ridge | None) -> dict[str, Any]:
    """How much of one grid was trained, how long a run took, and what the whole ridge differs by."""
    frame = pd.DataFrame([{"cell": run.cell, "seconds": run.seconds} for run in runs])
    counts, seconds = frame.groupby("cell").size(), frame["seconds"][frame["seconds"] > 0]
    off = 2 ** (abs(ridge.exponent.value - (claimed_exponent(grid) or 0.0)) * ridge.doublings) if ridge else None
    return {
        "y": SLICES[name][0],
        "cells": f"{len(counts)} of {len(grid.cells())}",
        "runs": len(frame),
        "cells with several seeds": int((counts > 1).sum()),
        "seconds a run, median (range)": f"{seconds.median():.1f} ({seconds.min():.1f} to {seconds.max():.1f})",
        "rows' tops differ by": ridge and ridge.drop,
        "fitted and claimed ridge end apart by": off and f"a factor of {off:.1f}",
    }
