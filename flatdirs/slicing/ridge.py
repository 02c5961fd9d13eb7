"""The ridge of a slice: where it runs, how steep it is in the picture, and what one doubling costs along and across it.

    u = log2 x, v = log2 y.  In every row (one v) a parabola through the cells around the best one has its vertex at
    u*(v), of height h(v) and curvature a.  The ridge is the line u* = p + b·v: x grows as y to the power b, and on
    equal log-log axes the ridge rises at the angle atan2(1, b).  The source's claim (reference/004) is 45°: b = 1 for
    batch size and 1 − momentum, b = −1 for weight decay.

Costs, in the unit of the values: `across` is what one doubling of x away from the vertex costs (the median curvature of
the rows); `along` what one doubling of y away from the ridge's own top costs when x follows the ridge (the curvature of
a parabola through h). Both are second-order terms, so the same yardstick measures both.

Intervals are bootstrapped: rows are drawn with replacement, and to every cell's mean Gaussian noise is added, of the
seeds' pooled spread over the root of the cell's number of runs. Rows whose best cell is the first or last of the grid
tell only that the ridge lies further out; they are left out and counted. Definitions are ours. Tried and dropped: one
quadratic surface through all cells, which a cliff of diverged runs on one side bends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatdirs.slicing.grid import Grid, Run, by_cell

WINDOW = 2  # cells to each side of a row's best that its parabola is laid through
LEVEL = 95  # percent of the bootstrap interval
EFFECTIVE_STEP = {"learning_rate": 1, "weight_decay": 1, "one_minus_momentum": -1, "batch_size": -1}  # λα/((1−ρ)N)
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Interval:
    """A fitted number and its bootstrap interval."""

    value: float
    low: float
    high: float

    def holds(self, claim: float) -> bool:
        """Whether a claimed number lies inside."""
        return self.low <= claim <= self.high


@dataclass(frozen=True)
class RidgePoint:
    """A row's vertex: log2 of x and y there, and the value."""

    log2_x: float
    log2_y: float
    height: float
    curvature: float


@dataclass(frozen=True)
class Ridge:
    """What a slice says. Costs are positive for a loss, in the unit of the values, per doubling.

    `exponent`: x ∝ y^exponent on the ridge. `angle`: degrees in the log-log picture, 45 for exponent 1, 135 (as steep,
    but falling) for −1. `spread`: the pooled standard deviation between seeds, None without repeated cells.
    `drop`: the fitted points' best height less their worst, over `doublings` of y. `edge_rows`: rows left out.
    """

    points: tuple[RidgePoint, ...]
    intercept: float
    exponent: Interval
    angle: Interval
    along: Interval
    across: Interval
    drop: float
    doublings: float
    spread: float | None
    edge_rows: int


@dataclass(frozen=True)
class _Row:
    """One row's cells in the order of x: logs, means, numbers of runs; diverged cells have a mean of nan."""

    v: float
    u: Numbers
    means: Numbers
    counts: Numbers


def fit_ridge(grid: Grid, runs: Sequence[Run], maximize: bool = True, draws: int = 2000, seed: int = 0) -> Ridge | None:
    """The ridge of a slice, None where fewer than three rows have their top inside the grid."""
    rows, spread = _rows(grid, runs, 1.0 if maximize else -1.0), pooled_spread(runs)
    tops = [(row, _vertex(row, row.means)) for row in rows]
    inside = [(row, point) for row, point in tops if point is not None]
    if len(inside) < 3:
        return None
    points = tuple(point for _, point in inside)
    fitted = _fit(points)
    drawn = _bootstrap([row for row, _ in inside], spread or 0.0, draws, seed)
    low, high = np.nanpercentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)
    exponent, angle, along, across = (
        Interval(*map(float, three)) for three in zip(fitted[1:], low[1:], high[1:], strict=True)
    )
    heights, logs = [point.height for point in points], [point.log2_y for point in points]
    return Ridge(
        points=points,
        intercept=float(fitted[0]),
        exponent=exponent,
        angle=angle,
        along=along,
        across=across,
        drop=max(heights) - min(heights),
        doublings=max(logs) - min(logs),
        spread=spread,
        edge_rows=len(tops) - len(inside),
    )


def claimed_exponent(grid: Grid) -> float | None:
    """The exponent that keeps λα/((1−ρ)N) fixed along the ridge (reference/004); None for other hyperparameters."""
    if not {grid.x.name, grid.y.name} <= set(EFFECTIVE_STEP):
        return None
    return -EFFECTIVE_STEP[grid.y.name] / EFFECTIVE_STEP[grid.x.name]


def pooled_spread(runs: Sequence[Run]) -> float | None:
    """The standard deviation between seeds, pooled over the cells that have several; None without any."""
    squares, freedom = 0.0, 0
    for cell in by_cell(runs).values():
        values = [run.value for run in cell if run.value is not None and not run.diverged]
        if len(values) == len(cell) > 1:
            squares += float(np.var(values)) * len(values)
            freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else None


def _rows(grid: Grid, runs: Sequence[Run], sign: float) -> list[_Row]:
    """The rows of a grid that have at least one finished cell; values turned so that higher is better."""
    cells = by_cell(runs)
    rows = []
    for y in grid.y.steps:
        steps = [x for x in grid.x.steps if (x, y) in cells]
        means = [_mean([run.value if not run.diverged else None for run in cells[x, y]]) for x in steps]
        if any(math.isfinite(mean) for mean in means):
            u = np.array([math.log2(grid.x.value(x)) for x in steps])
            counts = np.array([float(len(cells[x, y])) for x in steps])
            rows.append(_Row(math.log2(grid.y.value(y)), u, sign * np.array(means), counts))
    return rows


def _mean(values: Sequence[float | None]) -> float:
    finite = [value for value in values if value is not None]
    return math.fsum(finite) / len(finite) if finite and len(finite) == len(values) else math.nan


def _vertex(row: _Row, means: Numbers) -> RidgePoint | None:
    """The top of the parabola around a row's best cell; None where that is the row's first or last cell.

    Where the cells around the best one do not bend down, the best cell itself is the top and the curvature nan.
    """
    best = int(np.nanargmax(means))
    if best in (0, len(means) - 1):
        return None
    near = [i for i in range(best - WINDOW, best + WINDOW + 1) if 0 <= i < len(means) and math.isfinite(means[i])]
    at, height, curvature = float(row.u[best]), float(means[best]), math.nan
    if len(near) >= 3:
        square, slope, level = np.polyfit(row.u[near] - at, means[near], 2, w=np.sqrt(row.counts[near]))
        if square < 0:
            step = float(np.clip(-slope / (2 * square), row.u[best - 1] - at, row.u[best + 1] - at))
            height = float(level + slope * step + square * step**2)
            at, curvature = at + step, float(-square)
    return RidgePoint(at, row.v, height, curvature)


def _fit(points: Sequence[RidgePoint]) -> tuple[float, float, float, float, float]:
    """Intercept, exponent, angle in degrees, cost along, cost across."""
    v, u = np.array([point.log2_y for point in points]), np.array([point.log2_x for point in points])
    exponent, intercept = (float(number) for number in np.polyfit(v, u, 1))
    heights = np.array([point.height for point in points])
    along = -float(np.polyfit(v - v.mean(), heights, 2)[0]) if len(set(v.tolist())) > 2 else math.nan
    bends = [point.curvature for point in points if math.isfinite(point.curvature)]
    across = float(np.median(bends)) if bends else math.nan
    return intercept, exponent, math.degrees(math.atan2(1.0, exponent)), along, across


def _bootstrap(rows: Sequence[_Row], spread: float, draws: int, seed: int) -> Numbers:
    """`_fit` of so many drawn slices: (draws, 5)."""
    random = np.random.default_rng(seed)
    found: list[tuple[float, ...]] = []
    for _ in range(20 * draws):  # a drawn slice without a ridge is drawn again
        if len(found) == draws:
            break
        chosen = [rows[i] for i in random.integers(len(rows), size=len(rows))]
        if len({row.v for row in chosen}) < 3:
            continue
        noise = [random.normal(0, spread, len(row.means)) / np.sqrt(row.counts) for row in chosen]
        drawn = [_vertex(row, row.means + errors) for row, errors in zip(chosen, noise, strict=True)]
        points = [point for point in drawn if point is not None]
        if len({point.log2_y for point in points}) >= 3:
            found.append(_fit(points))
    return np.array(found)
