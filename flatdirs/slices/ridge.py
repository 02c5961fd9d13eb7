"""The ridge of a slice: where it runs, and what one doubling costs along and across it.

With u = log2 x and v = log2 y, a parabola through the cells around the best one of every row (one v) has its vertex at
u*(v), height h(v). The ridge is u* = p + b·v: x grows as y to the power b, at the angle atan2(1, b). If
lr·wd/((1−momentum)·batch_size) is what counts, b = 1 for lr against batch size or 1 − momentum, −1 for lr against wd:
https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/. `across`: the cost of one doubling of x from the
vertex (median curvature); `along`: of one doubling of y from the best point, x following the ridge (curvature of h).
Bootstrap: rows drawn with replacement, each cell's mean with noise of the pooled deviation between seeds over √runs. A
row whose best cell is its first or last is left out. A surface through all cells was tried: divergence bends it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatdirs.slices.cells import Run, SliceGrid, by_cell, mean_value

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
        """Whether a number lies inside, up to rounding."""
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
    """A fitted ridge. Costs are positive where values become worse, in their unit, per doubling.

    `exponent`: x ∝ y^exponent on the ridge. `angle`: in degrees, 45 for exponent 1, 135 for −1. `spread`: the pooled
    standard deviation between seeds, None without repeated cells. `drop`: the difference between the best and the worst
    vertex, over `doublings` of y. `edge_rows`: the number of rows left out.
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
    """One row in the order of x: log2 x, means (nan for diverged cells), numbers of runs."""

    v: float
    u: Numbers
    means: Numbers
    counts: Numbers


def fit_ridge(
    grid: SliceGrid, runs: Sequence[Run], maximize: bool = True, draws: int = 2000, seed: int = 0
) -> Ridge | None:
    """The ridge of a slice; None if fewer than three rows have their best cell inside the grid."""
    rows, spread = _rows(grid, runs, 1.0 if maximize else -1.0), pooled_spread(runs)
    tops = [(row, _tops(row, row.means[None])[0]) for row in rows]
    inside = [(row, top) for row, top in tops if math.isfinite(top[0])]
    if len(inside) < 3:
        return None
    v, found = np.array([row.v for row, _ in inside]), np.array([top for _, top in inside])
    fitted = _fit(v[None], found[None])[0]
    drawn = _bootstrap([row for row, _ in inside], spread or 0.0, draws, np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the percentile of no numbers is nan
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
    """The exponent that keeps lr·wd/((1−momentum)·batch_size) fixed; None for other hyperparameters."""
    if not {grid.x.name, grid.y.name} <= set(EFFECTIVE_STEP):
        return None
    return -EFFECTIVE_STEP[grid.y.name] / EFFECTIVE_STEP[grid.x.name]


def pooled_spread(runs: Sequence[Run]) -> float | None:
    """The standard deviation between seeds, pooled over the cells with several runs; None without any."""
    squares, freedom = 0.0, 0
    for cell in by_cell(runs).values():
        if len(cell) > 1 and math.isfinite(mean_value(cell)):
            squares += float(np.var([run.value or 0.0 for run in cell])) * len(cell)
            freedom += len(cell) - 1
    return math.sqrt(squares / freedom) if freedom else None


def _rows(grid: SliceGrid, runs: Sequence[Run], sign: float) -> list[_Row]:
    """The rows with at least one finished cell; higher is better."""
    cells = by_cell(runs)
    rows = []
    for y in grid.y.steps:
        steps = [x for x in grid.x.steps if (x, y) in cells]
        means = [mean_value(cells[x, y]) for x in steps]
        if any(math.isfinite(mean) for mean in means):
            u = np.array([math.log2(grid.x.value(x)) for x in steps])
            counts = np.array([float(len(cells[x, y])) for x in steps])
            rows.append(_Row(math.log2(grid.y.value(y)), u, sign * np.array(means), counts))
    return rows


def _tops(row: _Row, means: Numbers) -> Numbers:
    """Vertices of the parabolas around the best cell, (draws, cells) → (draws, 3): place, height, curvature.

    All nan for a draw whose best cell is the first or the last of the row. If the cells around the best one do not bend
    down, the vertex is the best cell itself and the curvature nan.
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
    """(draws, rows), (draws, rows, 3) → (draws, 5): intercept, exponent, angle in degrees, cost along, cost across.

    Rows without a vertex are left out; a draw with fewer than three different rows gives nan.
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
    """`_fit` of rows drawn with replacement, noise added to every cell: (draws, 5)."""
    noise = [random.normal(0, spread, (draws, len(row.u))) / np.sqrt(row.counts) for row in rows]
    tops = np.stack([_tops(row, row.means + errors) for row, errors in zip(rows, noise, strict=True)], axis=1)
    chosen = random.integers(len(rows), size=(draws, len(rows)))
    return _fit(np.array([row.v for row in rows])[chosen], np.take_along_axis(tops, chosen[:, :, None], axis=1))
