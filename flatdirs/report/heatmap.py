"""A slice as a heat map, a table of runs and sentences: runs → slice.png, cells.csv, text.

The picture follows https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/: log-log axes, the colour of a
cell is the mean of its runs, and colours end at a floor, so that they distinguish values near the ridge. On top are the
fitted ridge, the best point of every row, and a line at 45° through their middle. A dot marks cells with several runs,
a cross cells with a diverged run.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flatdirs.backend.table_rows import counted
from flatdirs.slices.cells import Cell, Run, SliceAxis, SliceGrid, by_cell, mean_value
from flatdirs.slices.ridge import LEVEL, Interval, Ridge, claimed_exponent, fit_ridge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIELDS = ("x_step", "y_step", "x", "y", "seed", "value", "diverged", "seconds")


def write_slice(
    folder: Path, grid: SliceGrid, runs: Sequence[Run], unit: str, maximize: bool = True, floor: float | None = None
) -> list[Path]:
    """Write cells.csv and slice.png into a folder; return their paths."""
    files = [folder / "cells.csv", folder / "slice.png"]
    write_cells(files[0], grid, runs)
    slice_figure(grid, runs, unit, maximize, floor).savefig(files[1], dpi=110)
    return files


def write_cells(path: Path, grid: SliceGrid, runs: Sequence[Run]) -> None:
    """Write one line for each run, in the order of the grid."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        for run in sorted(runs, key=lambda run: (run.cell[1], run.cell[0], run.seed)):
            x, y = run.cell
            result = ["" if run.value is None else f"{run.value:.4f}", int(run.diverged), f"{run.seconds or 0:.1f}"]
            table.writerow([x, y, grid.x.value(x), grid.y.value(y), run.seed, *result])


def read_cells(path: Path) -> list[Run]:
    """The runs that `write_cells` wrote."""
    with path.open(encoding="utf-8") as file:
        return [
            Run(
                (int(row["x_step"]), int(row["y_step"])),
                int(row["seed"]),
                float(row["value"]) if row["value"] else None,
                row["diverged"] == "1",
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]


def describe(grid: SliceGrid, runs: Sequence[Run], unit: str, maximize: bool = True) -> str:
    """The slice in sentences: size, ridge, flatness."""
    counts = [len(cell) for cell in by_cell(runs).values()]
    several = sum(count > 1 for count in counts)
    size = f"{len(counts)} of {len(grid.cells())} cells, {counted(sum(counts))}; {several} with more than one seed"
    ridge = fit_ridge(grid, runs, maximize)
    if ridge is None:
        return f"{size}\nno ridge: fewer than three rows have their best cell inside the grid"
    return "\n".join([size, slope_sentence(grid, ridge), flatness_sentence(ridge, unit)])


def slope_sentence(grid: SliceGrid, ridge: Ridge) -> str:
    """Where the ridge runs, and whether the exponent of Myrtle's rule is in the interval."""
    left_out = f"; {ridge.edge_rows} rows have their best cell at the edge and are left out" if ridge.edge_rows else ""
    found = (
        f"ridge: {grid.x.name} ∝ {grid.y.name}^{_shown(ridge.exponent)}, at {_shown(ridge.angle, 0)} degrees in the "
        f"log-log picture, from {len(ridge.points)} rows{left_out}"
    )
    claim = claimed_exponent(grid)
    if claim is None:
        return found
    inside = "inside" if ridge.exponent.holds(claim) else "outside"
    return (
        f"{found}; exponent {claim:+.0f}, which keeps lr·wd/((1−momentum)·batch_size) constant, is {inside} the "
        f"{LEVEL} % bootstrap interval"
    )


def flatness_sentence(ridge: Ridge, unit: str) -> str:
    """What one doubling costs along and across the ridge."""
    points = "points" if unit == "%" else unit.strip()
    if not math.isfinite(ridge.across.value):
        return "flatness: not known, because no row has three finished cells around its best one"
    noise = (
        f" ({ridge.along.value / ridge.spread:.2f} and {ridge.across.value / ridge.spread:.2f} times the standard "
        f"deviation between seeds, {ridge.spread:.2f} {points})"
        if ridge.spread
        else ""
    )
    return (
        f"flatness: one doubling away from the best point costs {_shown(ridge.along)} {points} along the ridge and "
        f"{_shown(ridge.across)} across it{noise}; over {ridge.doublings:.0f} doublings the ridge varies by "
        f"{ridge.drop:.2f} {points}"
    )


def _shown(interval: Interval, digits: int = 2) -> str:
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def slice_figure(
    grid: SliceGrid, runs: Sequence[Run], unit: str, maximize: bool = True, floor: float | None = None
) -> Figure:
    """The heat map as a matplotlib figure, for a file or a notebook."""
    from matplotlib.figure import Figure

    rows, columns = len(grid.y.steps), len(grid.x.steps)
    figure = Figure(figsize=(5.6, 1.3 + 4.0 * min(2.0, rows / columns)), layout="constrained")
    axes = figure.add_subplot()
    means = {cell: mean_value(made) for cell, made in by_cell(runs).items()}
    ridge = fit_ridge(grid, runs, maximize)
    low, high = _limits(means, ridge, maximize, floor)
    image = axes.pcolormesh(
        _borders(grid.x),
        _borders(grid.y),
        [[means.get((x, y), math.nan) for x in grid.x.steps] for y in grid.y.steps],
        vmin=low,
        vmax=high,
        cmap="viridis" if maximize else "viridis_r",
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    _mark_cells(axes, grid, runs)
    if ridge is not None:
        _draw_ridge(axes, grid, ridge)
    for axis, ticks, name in ((grid.x, axes.set_xticks, axes.set_xlabel), (grid.y, axes.set_yticks, axes.set_ylabel)):
        ticks(axis.values(), [f"{value:.4g}" for value in axis.values()], fontsize=7, minor=False)
        name(axis.name)
    axes.tick_params(axis="x", rotation=45)
    axes.minorticks_off()
    axes.set_aspect("equal")  # so that 45° looks like it
    end = f"floor {low:.4g}" if maximize else f"ceiling {high:.4g}"
    figure.colorbar(image, ax=axes, label=f"mean over seeds{', ' + unit.strip() if unit else ''} ({end})")
    return figure


def _limits(
    means: Mapping[Cell, float], ridge: Ridge | None, maximize: bool, floor: float | None
) -> tuple[float, float]:
    """The ends of the colours. Without a floor they show at least twice the drop of the ridge."""
    finite = [mean for mean in means.values() if math.isfinite(mean)] or [0.0, 1.0]
    best, worst = (max(finite), min(finite)) if maximize else (min(finite), max(finite))
    if floor is None and ridge is not None:
        depth = max(2 * ridge.drop, 3 * (ridge.spread or 0.0))
        floor = max(best - depth, worst) if maximize else min(best + depth, worst)
    end = worst if floor is None else floor
    return (end, best) if maximize else (best, end)


def _borders(axis: SliceAxis) -> list[float]:
    """The borders of the cells, half a step to each side of the values."""
    logs = np.log2(axis.values())
    half = math.log2(axis.factor) / 2
    borders: list[float] = (
        2.0 ** np.concatenate([[logs[0] - half], (logs[1:] + logs[:-1]) / 2, [logs[-1] + half]])
    ).tolist()
    return borders


def _mark_cells(axes: Axes, grid: SliceGrid, runs: Sequence[Run]) -> None:
    for (x, y), made in by_cell(runs).items():
        place = [grid.x.value(x)], [grid.y.value(y)]
        if not math.isfinite(mean_value(made)):
            axes.plot(*place, "x", color="0.6", markersize=5)
        elif len(made) > 1:
            axes.plot(*place, ".", color="black", markersize=2)


def _draw_ridge(axes: Axes, grid: SliceGrid, ridge: Ridge) -> None:
    """The best points of the rows, the fitted line, and 45° through the middle of the points."""
    u, v = (np.array([getattr(point, name) for point in ridge.points]) for name in ("log2_x", "log2_y"))
    ends = np.log2([grid.y.value(grid.y.first), grid.y.value(grid.y.last)])
    slope = claimed_exponent(grid) or math.copysign(1.0, ridge.exponent.value)
    diagonal = u.mean() + slope * (ends - v.mean())
    fitted = ridge.intercept + ridge.exponent.value * ends
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(2**diagonal, 2**ends, "--", color="white", lw=1, label="45°")
    axes.plot(2**fitted, 2**ends, color="red", lw=1.5, label="fitted ridge")
    axes.plot(2**u, 2**v, "o", mec="red", mfc="white", ms=5, label="best of a row")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.legend(fontsize=6, loc="best", facecolor="0.7")
