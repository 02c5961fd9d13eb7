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
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatdirs.slices.cells import Run, SliceGrid, by_cell

WINDOW = 2  # cells to each side of a row's best that its parabola is laid through
LEVEL = 95  # percent of the bootstrap interval
ROUNDING = 1e-6
EFFECTIVE_STEP = {"lr": 1, "wd": 1, "one_minus_momentum": -1, "batch_size": -1}  # lr·wd/((1−momentum)·batch_size)
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Interval:
    """A fitted number and its bootstrap interval."""

    value: float
    low: float
    high: float

    def holds(self, claim: float) -> bool:
        """Whether a claimed number lies inside, but for rounding."""
        return self.low - ROUNDING <= claim <= self.high + ROUNDING


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


def fit_ridge(
    grid: SliceGrid, runs: Sequence[Run], maximize: bool = True, draws: int = 2000, seed: int = 0
) -> Ridge | None:
    """The ridge of a slice, None where fewer than three rows have their top inside the grid."""
    rows, spread = _rows(grid, runs, 1.0 if maximize else -1.0), pooled_spread(runs)
    tops = [(row, _tops(row, row.means[None])[0]) for row in rows]
    inside = [(row, top) for row, top in tops if math.isfinite(top[0])]
    if len(inside) < 3:
        return None
    v, found = np.array([row.v for row, _ in inside]), np.array([top for _, top in inside])
    fitted = _fit(v[None], found[None])[0]
    drawn = _bootstrap([row for row, _ in inside], spread or 0.0, draws, np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a number has none: nan
        low, high = np.nanpercentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)
    exponent, angle, along, across = (
        Interval(*map(float, three)) for three in zip(fitted[1:], low[1:], high[1:], strict=True)
    )
    return Ridge(
        points=tuple(RidgePoint(float(at), row.v, float(height), float(bend)) for row, (at, height, bend) in inside),
        intercept=float(fitted[0]),
        exponent=exponent,
        angle=angle,
        along=along,
        across=across,
        drop=float(np.ptp(found[:, 1])),
        doublings=float(np.ptp(v)),
        spread=spread,
        edge_rows=len(tops) - len(inside),
    )


def claimed_exponent(grid: SliceGrid) -> float | None:
    """The exponent that keeps lr·wd/((1−momentum)·batch_size) fixed along the ridge (reference/004); None for other hyperparameters."""
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


def _rows(grid: SliceGrid, runs: Sequence[Run], sign: float) -> list[_Row]:
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


def _tops(row: _Row, means: Numbers) -> Numbers:
    """Tops of the parabolas around the best cell: (draws, cells) → (draws, 3), place, height, curvature.

    A draw whose best cell is the row's first or last has nan throughout. Where the cells around the best one do not
    bend down, the best cell itself is the top and the curvature nan.
    """
    tops = np.full((len(means), 3), np.nan)
    best = np.nanargmax(means, axis=1)
    for cell in range(1, len(row.u) - 1):
        chosen = np.flatnonzero(best == cell)
        near = [
            i for i in range(cell - WINDOW, cell + WINDOW + 1) if 0 <= i < len(row.u) and math.isfinite(row.means[i])
        ]
        tops[chosen, 0], tops[chosen, 1] = row.u[cell], means[chosen, cell]
        if len(chosen) and len(near) >= 3:
            steps, weights = row.u[near] - row.u[cell], np.sqrt(row.counts[near])
            solve = np.linalg.pinv(np.vander(steps, 3) * weights[:, None]) * weights
            square, slope, level = solve @ means[chosen][:, near].T
            bent = square < 0
            square, slope, level, chosen = square[bent], slope[bent], level[bent], chosen[bent]
            step = np.clip(-slope / (2 * square), row.u[cell - 1] - row.u[cell], row.u[cell + 1] - row.u[cell])
            tops[chosen] = np.stack([row.u[cell] + step, level + slope * step + square * step**2, -square], axis=1)
    return tops


def _fit(v: Numbers, tops: Numbers) -> Numbers:
    """(draws, rows) and (draws, rows, 3) → (draws, 5): intercept, exponent, angle in degrees, cost along, cost across.

    Rows without a top (nan) are left out; a draw with fewer than three different rows gives nan.
    """
    fitted = np.full((len(v), 5), np.nan)
    for draw, (logs, found) in enumerate(zip(v, tops, strict=True)):
        used = np.isfinite(found[:, 0])
        logs, (at, height, bend) = logs[used], found[used].T  # noqa: PLW2901
        if len(set(logs.tolist())) < 3:
            continue
        line = np.linalg.lstsq(np.vander(logs, 2), at, rcond=None)[0]
        bow = np.linalg.lstsq(np.vander(logs - logs.mean(), 3), height, rcond=None)[0]
        across = np.nanmedian(bend) if np.isfinite(bend).any() else np.nan
        fitted[draw] = line[1], line[0], np.degrees(np.arctan2(1.0, line[0])), -bow[0], across
    return fitted


def _bootstrap(rows: Sequence[_Row], spread: float, draws: int, random: np.random.Generator) -> Numbers:
    """`_fit` of so many slices, rows drawn with replacement and noise added to every cell: (draws, 5)."""
    noise = [random.normal(0, spread, (draws, len(row.u))) / np.sqrt(row.counts) for row in rows]
    tops = np.stack([_tops(row, row.means + errors) for row, errors in zip(rows, noise, strict=True)], axis=1)
    chosen = random.integers(len(rows), size=(draws, len(rows)))
    return _fit(np.array([row.v for row in rows])[chosen], np.take_along_axis(tops, chosen[:, :, None], axis=1))
