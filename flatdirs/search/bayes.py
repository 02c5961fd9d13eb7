"""The default search: `suggest`, a pure function from runs to the next point.

    runs, pending ──► all runs on the first axis, best not bracketed? ──► bracketing.py: one more stride
                 └──► otherwise ──► gp.py: the candidate with the largest expected improvement

Candidates are whole steps of half a move (√2) around the two best points, along one axis or several, on a coarse grid
that is refined around its best; tried points are candidates too, as replicates with a new seed. An axis along which two
doublings change no more than another seed is left alone. There is no end: a search with budget left has something to
learn. The same runs give the same suggestion, in whatever order they were made and by whomever. Pending runs
lower the variance around them; while the first axis is bracketed they count as a little worse than the best. Ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from flatdirs.search.bracketing import FAR, MOVE, STRIDE, next_on_line
from flatdirs.search.explain import describe_move, reason
from flatdirs.search.gp import SURE, USUAL_TIMESCALES, Model
from flatdirs.search.kernels import one_thread
from flatdirs.search.score_warping import ROUNDING
from flatdirs.search.types import Run, RunId, Suggestion, check_settings, usable_value
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import Array, LogGrid

REACH = {"first": 8, "averaging": 4, "other": 6}  # steps around the best points that are candidates
COARSE = {"first": 2, "averaging": 4, "other": 2}  # spacing of the coarse grid
CENTRES = 2  # best points around which there are candidates
PROMISING = 5  # candidates of the coarse grid that are refined
AGREEING = 2  # replicates without a difference, after which points are not replicated any more


@dataclass(frozen=True)
class BayesSettings:
    """`diverged`: "worst" ranks such a run below every finished one, "value" takes the number it left.
    `plateau_limit`: runs along the first axis after which the model decides in any case.
    """

    diverged: str = "worst"
    plateau_limit: int = 12

    def __post_init__(self) -> None:
        check_settings(self.diverged, self.plateau_limit)


def suggest(
    grid: Grid, runs: Collection[Run], pending: Collection[RunId] = (), settings: BayesSettings | None = None
) -> Suggestion:
    """Return the point to run next.

    Args:
        grid: chart and start; the search works on half moves (`search.grid_chart`).
        runs: all runs that have ended, also those that the search did not suggest.
        pending: points and replicates of runs in progress.
        settings: what counts as the value of a run.
    """
    settings = settings or BayesSettings()
    known = usable_runs(runs, settings)
    taken = [point for point, _ in pending]
    found = _on_first_axis(grid, known, taken, settings.plateau_limit)
    if found is None:
        with one_thread():
            found = _by_model(LogGrid(grid), known, taken)
    ids = {*pending, *(run.id for run in known)}
    free = next(number for number in itertools.count() if (found.point, number) not in ids)
    values = [run.value for run in known if run.point == found.incumbent and math.isfinite(run.value)]
    return replace(found, replicate=free, incumbent_value=fmean(values) if values else None)


def incumbent(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Point | None:
    """The best point by these runs: the best observed while bracketing, then the highest posterior mean; None: no
    run.
    """
    return suggest(grid, runs, (), settings).incumbent if runs else None


def usable_runs(runs: Collection[Run], settings: BayesSettings) -> list[Run]:
    """The runs with the values that count, nearest to the start first; values that differ by rounding become equal."""
    valued = [replace(run, value=usable_value(run, settings.diverged)) for run in runs]
    levels: dict[float, float] = {}
    for value in sorted({run.value for run in valued}):
        before = next(reversed(levels.values()), None)
        same = before is not None and math.isclose(before, value, rel_tol=ROUNDING)
        levels[value] = before if same and before is not None else value
    ordered = sorted(valued, key=lambda run: (sum(map(abs, run.point)), run.point, run.replicate, run.value, run.state))
    return [replace(run, value=levels[run.value]) for run in ordered]


def model_of(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Model:
    """The model of these runs (at least one)."""
    return Model(LogGrid(grid), usable_runs(runs, settings or BayesSettings()))


def _on_first_axis(grid: Grid, runs: Sequence[Run], pending: Sequence[Point], limit: int) -> Suggestion | None:
    """The next stride, while all runs lie on the first axis and their best is not bracketed."""
    if not runs:
        return _before_any_result(grid, pending)
    if not _moves_lr(grid) or any(any(run.point[1:]) for run in runs) or runs[0].point != grid.origin:
        return None
    line = list({run.point: run for run in reversed(runs)}.values())[::-1]
    best = max(line, key=lambda run: run.value)
    found = next_on_line(grid, limit, line)
    if found is not None and (found[0], *grid.origin[1:]) in pending:
        found = next_on_line(grid, limit, [*line, *_assumed(line, best, pending)])
    if found is not None and (found[0], *grid.origin[1:]) not in pending:
        point = (found[0], *grid.origin[1:])
        return Suggestion(point, 0, found[1], describe_move(grid, best.point, point), best.point)
    decayed = _usual_decay(LogGrid(grid), best)
    if found is None and decayed is not None and decayed not in pending:
        said = f"T·lr·wd/(1−momentum) is {best.timescales:.2g} at the incumbent: try a usual weight decay"
        return Suggestion(decayed, 0, said, describe_move(grid, best.point, decayed), best.point)
    return None


def _before_any_result(grid: Grid, pending: Sequence[Point]) -> Suggestion:
    """The start; while that runs, strides to both sides of it."""
    if grid.origin not in pending:
        return Suggestion(grid.origin, 0, "the start", "start", None)
    steps = (side * STRIDE * count for count in range(1, len(pending) + 1) for side in (1, -1))
    for step in steps if _moves_lr(grid) else ():
        point = (step, *grid.origin[1:])
        if point not in pending and grid.out_of_bounds(point) is None:
            why = f"along {grid.chart.axes[0].name}, while the start is running"
            return Suggestion(point, 0, why, describe_move(grid, grid.origin, point), grid.origin)
    return Suggestion(grid.origin, 0, "replicate: no run has finished yet", "replicate", grid.origin)


def _assumed(line: Sequence[Run], best: Run, pending: Sequence[Point]) -> list[Run]:
    """Pending runs on the line as if they came out a little worse than the best."""
    known = {run.point for run in line}
    fresh = dict.fromkeys(point for point in pending if not any(point[1:]) and point not in known)
    finite = [run.value for run in line if math.isfinite(run.value)]
    step = max((max(finite) - min(finite)) / 100 if finite else 0.0, abs(best.value) / 1000 if finite else 0.0)
    worse = best.value - (step or 1.0)
    return [replace(best, point=point, value=worse, loss=None, timescales=None) for point in fresh]


def _moves_lr(grid: Grid) -> bool:
    """Whether the first axis moves the learning rate, where there is one."""
    return "lr" not in grid.chart.hyperparameters or "lr" in grid.chart.free


def _usual_decay(log_grid: LogGrid, best: Run) -> Point | None:
    """The best point of the line with a usual weight decay, at the same lr/(1−momentum), where its own is far from
    that.

    None where the timescales are not known or a bound is in the way.
    """
    if log_grid.decay is None or not best.timescales or best.value == -math.inf:
        return None
    axis, power = log_grid.decay
    off = round(math.log2(USUAL_TIMESCALES / best.timescales) / log_grid.octaves)
    moved = (best.point[0] + power * off, *best.point[1:axis], best.point[axis] + off, *best.point[axis + 1 :])
    return moved if abs(off) >= FAR and log_grid.grid.out_of_bounds(moved) is None else None


def _by_model(log_grid: LogGrid, runs: Sequence[Run], pending: Sequence[Point]) -> Suggestion:
    """The candidate with the largest acquisition, by all runs."""
    model = Model(log_grid, runs, pending)
    best = model.best
    tried = np.array(sorted({*(run.point for run in runs), *pending}), dtype=float)
    held = flat_axes(model, best)
    coarse = _candidates(model, _around(log_grid, _centres(model), held), tried, best)
    promising = coarse[_ranked(model.acquisition(coarse))[:PROMISING]]
    fine = _candidates(model, _refined(log_grid, promising, held), tried, best)
    if replicates_agree(runs) and (new := ~(fine[:, None] == tried[None]).all(axis=2).any(axis=1)).any():
        fine = fine[new]
    point = _first_inside(log_grid.grid, fine[_ranked(model.acquisition(fine))], best)
    count = sum(tried == point for tried in (*(run.point for run in runs), *pending))
    return Suggestion(point, 0, reason(model, held, point, count), describe_move(log_grid.grid, best, point), best)


def _first_inside(grid: Grid, ranked: Array, best: Point) -> Point:
    """The first of these points (n, axes) within the bounds, rounding of whole hyperparameters included."""
    points = (tuple(int(step) for step in row) for row in ranked)
    return next((point for point in points if grid.out_of_bounds(point) is None), best)


def replicates_agree(runs: Sequence[Run]) -> bool:
    """Whether finished points were replicated, AGREEING times or more in all, and always gave the same value."""
    values: dict[Point, list[float]] = {}
    for run in runs:
        if run.value > -math.inf:
            values.setdefault(run.point, []).append(run.value)
    again = sum(len(found) - 1 for found in values.values())
    return again >= AGREEING and all(len(set(found)) == 1 for found in values.values())


def _ranked(acquisition: Array) -> NDArray[np.intp]:
    """Places by falling acquisition; differences in the last digits, as between machines, do not count."""
    return np.argsort(-np.round(acquisition / (acquisition.max() or 1.0), 9), kind="stable")


def _centres(model: Model) -> list[Point]:
    """The points with the highest posterior means."""
    expected = np.round(model.expected, 9)
    ranked = dict.fromkeys(model.runs[number].point for number in np.argsort(-expected, kind="stable"))
    return list(ranked)[:CENTRES]


def _kinds(log_grid: LogGrid) -> list[str]:
    """What sort of axis each is: the steep first one, an average over steps (1−momentum, 1−beta1), or another."""
    chart = log_grid.grid.chart
    kinds = ["averaging" if set(axis.exponents) <= chart.one_minus else "other" for axis in chart.axes]
    return ["first", *kinds[1:]]


def _around(log_grid: LogGrid, centres: Sequence[Point], held: Sequence[int]) -> Array:
    sides = [range(-REACH[kind], REACH[kind] + 1, COARSE[kind]) for kind in _kinds(log_grid)]
    return _shifted(np.array(centres, dtype=float), sides, held)


def _refined(log_grid: LogGrid, points: Array, held: Sequence[int]) -> Array:
    sides = [range(-(COARSE[kind] // 2), COARSE[kind] // 2 + 1) for kind in _kinds(log_grid)]
    return _shifted(points, sides, held)


def _shifted(points: Array, sides: Sequence[range], held: Sequence[int]) -> Array:
    """Every point (n, axes) moved by every combination of shifts, those along held axes left out: (m, axes)."""
    free = [range(1) if axis in held else side for axis, side in enumerate(sides)]
    shifts = np.array(list(itertools.product(*free)), dtype=float)
    moved: Array = (points[:, None] + shifts[None]).reshape(-1, points.shape[1])
    return moved


def _candidates(model: Model, points: Array, tried: Array, best: Point) -> Array:
    """Those within the bounds whose weight decay has an effect, and the tried ones, each once, in order."""
    usable = model.log_grid.inside(points) & ~model.without_effect(points, best)
    return _each_once(np.concatenate([points[usable], tried]))


def _each_once(points: Array) -> Array:
    """Points (n, axes) of whole steps, each once, in order: as numpy.unique along an axis, but faster."""
    low = points.min(axis=0)
    spans = points.max(axis=0) - low + 1.0
    numbers = (points - low) @ np.append(np.cumprod(spans[:0:-1])[::-1], 1.0)
    found: Array = points[np.unique(numbers, return_index=True)[1]]
    return found


def flat_axes(model: Model, point: Point) -> list[int]:
    """Axes, but not the first, along which two doublings either way change no more than another seed, as runs show."""
    axes = [axis for axis in range(1, len(point)) if np.ptp(model.points[:, axis]) >= 2 * MOVE]
    steps = [(axis, side) for axis in axes for side in (-2 * MOVE, 2 * MOVE)]
    others = np.tile(np.array(point, dtype=float), (len(steps), 1))
    for row, (axis, side) in enumerate(steps):
        others[row, axis] += side
    inside = model.log_grid.inside(others)
    if not inside.any():
        return axes
    means, deviations = model.changes(point, others[inside])
    matters = np.zeros(len(steps), dtype=bool)
    matters[inside] = np.abs(means) + SURE * deviations > math.sqrt(2.0) * model.noise
    return [axis for axis, either in zip(axes, matters.reshape(-1, 2), strict=True) if not either.any()]
