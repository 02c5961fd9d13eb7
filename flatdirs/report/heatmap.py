"""A slice as a picture, a table and a few sentences: cells → heat map with its ridge, cells.csv, facts in words.

The picture is the source's (reference/004): log-log axes, colour is the mean of a cell's runs, floored so that the
dynamic range goes to the neighbourhood of the ridge. The ridge's fitted line lies on top, the rows' own tops as dots,
and a line at 45° through their middle to compare with. Cells with several runs carry a small mark, diverged ones a
cross.
"""

from __future__ import annotations

import csv
import itertools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatdirs.slices.cells import Cell, Run, SliceAxis, SliceGrid, by_cell
from flatdirs.slices.ridge import LEVEL, Interval, Ridge, claimed_exponent, fit_ridge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIELDS = ("x_step", "y_step", "x", "y", "seed", "value", "diverged", "seconds")
LABELS = {
    "lr": "learning rate lr",
    "wd": "weight decay wd",
    "batch_size": "batch size N",
    "one_minus_momentum": "1 − momentum momentum",
}


def write_slice(
    folder: Path, grid: SliceGrid, runs: Sequence[Run], unit: str, maximize: bool = True, floor: float | None = None
) -> list[Path]:
    """Write cells.csv and slice.png into a folder; their paths."""
    files = [folder / "cells.csv", folder / "slice.png"]
    write_cells(files[0], grid, runs)
    slice_figure(grid, runs, unit, maximize, floor).savefig(files[1], dpi=110)
    return files


def write_cells(path: Path, grid: SliceGrid, runs: Sequence[Run]) -> None:
    """One line a run, in the order of the grid."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        for run in sorted(runs, key=lambda run: (run.cell[1], run.cell[0], run.seed)):
            x, y = run.cell
            told = ["" if run.value is None else f"{run.value:.4f}", int(run.diverged), f"{run.seconds or 0:.1f}"]
            table.writerow([x, y, f"{grid.x.value(x):.6g}", f"{grid.y.value(y):.6g}", run.seed, *told])


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
    cells = by_cell(runs)
    counts = [len(cell) for cell in cells.values()]
    total = len(grid.cells())
    several = sum(count > 1 for count in counts)
    lines = [f"{len(cells)} of {total} cells, {sum(counts)} runs; {several} cells have more than one seed"]
    ridge = fit_ridge(grid, runs, maximize)
    if ridge is None:
        return "\n".join([*lines, "no ridge: fewer than three rows have their best cell inside the grid"])
    return "\n".join([*lines, slope_sentence(grid, ridge), flatness_sentence(ridge, unit)])


def slope_sentence(grid: SliceGrid, ridge: Ridge) -> str:
    """Where the ridge runs, and whether the source's 45° lies in the interval."""
    left_out = f"; {ridge.edge_rows} rows have their best cell at the edge and are left out" if ridge.edge_rows else ""
    found = (
        f"ridge: {grid.x.name} ∝ {grid.y.name}^{_shown(ridge.exponent)}, at {_shown(ridge.angle, 0)} degrees in the "
        f"log-log picture, from {len(ridge.points)} rows{left_out}"
    )
    claim = claimed_exponent(grid)
    if claim is None:
        return found
    inside = "lies in" if ridge.exponent.holds(claim) else "lies outside"
    return f"{found}; 45 degrees (exponent {claim:+.0f}) {inside} the {LEVEL} % bootstrap interval"


def flatness_sentence(ridge: Ridge, unit: str) -> str:
    """What a doubling costs along and across."""
    points = "points" if unit == "%" else unit
    if not math.isfinite(ridge.across.value):
        return "flatness: no row has three finished cells around its top, so nothing can be told"
    spread = ridge.spread
    in_spreads = "" if not spread else (
        f" ({ridge.along.value / spread:.2f} and {ridge.across.value / spread:.2f} times the seeds' standard deviation "
        f"of {spread:.2f} {points})"
    )  # fmt: skip
    return (
        f"flatness: one doubling away from the top costs {_shown(ridge.along)} {points} along the ridge and "
        f"{_shown(ridge.across)} across it{in_spreads}; the ridge's tops differ by {ridge.drop:.2f} {points} over "
        f"{ridge.doublings:.0f} doublings"
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
    means = cell_means(runs)
    ridge = fit_ridge(grid, runs, maximize)
    low, high = _limits(means, ridge, maximize, floor)
    image = axes.pcolormesh(
        _edges(grid.x),
        _edges(grid.y),
        _table(grid, means),
        vmin=low,
        vmax=high,
        cmap="viridis" if maximize else "viridis_r",
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    _mark_cells(axes, grid, runs)
    if ridge is not None:
        _draw_ridge(axes, grid, ridge)
    for axis, set_ticks, set_label in (
        (grid.x, axes.set_xticks, axes.set_xlabel),
        (grid.y, axes.set_yticks, axes.set_ylabel),
    ):
        set_ticks(axis.values(), [f"{value:.3g}" for value in axis.values()], fontsize=7, minor=False)
        set_label(LABELS.get(axis.name, axis.name))
    axes.tick_params(axis="x", rotation=45)
    axes.minorticks_off()
    axes.set_aspect("equal")  # so that 45° looks like it
    bound = "floored" if maximize else "cut off"
    figure.colorbar(
        image,
        ax=axes,
        label=f"mean over seeds{', ' + unit if unit else ''} ({bound} at {low if maximize else high:.4g})",
    )
    return figure


def cell_means(runs: Sequence[Run]) -> dict[Cell, float]:
    """The mean of each cell's runs; nan where one of them diverged."""
    means = {}
    for cell, made in by_cell(runs).items():
        values = [run.value for run in made if run.value is not None and not run.diverged]
        means[cell] = statistics.fmean(values) if len(values) == len(made) else math.nan
    return means


def _limits(means: dict[Cell, float], ridge: Ridge | None, maximize: bool, floor: float | None) -> tuple[float, float]:
    """The ends of the colours. Without a floor: so far below the best that twice the ridge's own drop shows."""
    finite = [mean for mean in means.values() if math.isfinite(mean)] or [0.0, 1.0]
    best, worst = (max(finite), min(finite)) if maximize else (min(finite), max(finite))
    if floor is None and ridge is not None:
        depth = max(2 * ridge.drop, 3 * (ridge.spread or 0.0))
        floor = max(best - depth, worst) if maximize else min(best + depth, worst)
    end = worst if floor is None else floor
    return (end, best) if maximize else (best, end)


def _table(grid: SliceGrid, means: dict[Cell, float]) -> list[list[float]]:
    return [[means.get((x, y), math.nan) for x in grid.x.steps] for y in grid.y.steps]


def _edges(axis: SliceAxis) -> list[float]:
    """Borders half a step to each side."""
    half = math.sqrt(axis.factor)
    values = axis.values()
    inner = [math.sqrt(a * b) for a, b in itertools.pairwise(values)]
    return [values[0] / half, *inner, values[-1] * half]


def _mark_cells(axes: Axes, grid: SliceGrid, runs: Sequence[Run]) -> None:
    for cell, made in by_cell(runs).items():
        place: Any = (grid.x.value(cell[0]), grid.y.value(cell[1]))
        if any(run.diverged or run.value is None for run in made):
            axes.plot(*place, "x", color="0.6", markersize=5)
        elif len(made) > 1:
            axes.plot(*place, ".", color="black", markersize=2)


def _draw_ridge(axes: Axes, grid: SliceGrid, ridge: Ridge) -> None:
    """Tops of the rows, the fitted line, and 45° through the middle of the tops."""
    logs = [point.log2_y for point in ridge.points]
    middle = statistics.fmean(logs), statistics.fmean(point.log2_x for point in ridge.points)
    slope = claimed_exponent(grid) or math.copysign(1.0, ridge.exponent.value)
    ends = [math.log2(grid.y.value(grid.y.first)), math.log2(grid.y.value(grid.y.last))]
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(
        [2 ** (middle[1] + slope * (v - middle[0])) for v in ends],
        [2**v for v in ends],
        "--",
        color="white",
        lw=1,
        label="45°",
    )
    axes.plot(
        [2 ** (ridge.intercept + ridge.exponent.value * v) for v in ends],
        [2**v for v in ends],
        color="red",
        lw=1.5,
        label="fitted ridge",
    )
    axes.plot(
        [2**point.log2_x for point in ridge.points],
        [2**v for v in logs],
        "o",
        mec="red",
        mfc="white",
        ms=5,
        label="top of a row",
    )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.legend(fontsize=6, loc="best", facecolor="0.7")
