"""The default search: `suggest`, a pure function from runs to the next point.

    runs, pending ──► all runs on the first axis, best not bracketed? ──► bracketing.py: one more stride
                 └──► otherwise ──► gp.py: the candidate with the largest expected improvement

Candidates (candidates.py) lie around the two best points; tried points are candidates too, as replicates with a new
seed. An axis along which two doublings change no more than another seed is left alone. There is no end: a search with
budget left has something to learn. The same runs give the same suggestion, in whatever order they were made and by
whomever, on the grid or off it. Pending runs lower the variance around them; while the first axis is bracketed they
count as a little worse than the best. Choices are those of the grid's start (choices.py). Ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean

import numpy as np

from flatdirs.search.bracketing import FAR, MOVE, STRIDE, canonical_step, next_on_line
from flatdirs.search.candidates import Candidates, ranked
from flatdirs.search.explain import describe_move, reason
from flatdirs.search.gp import SURE, USUAL_TIMESCALES, Model
from flatdirs.search.kernels import one_thread
from flatdirs.search.score_warping import ROUNDING
from flatdirs.search.types import Run, RunId, Suggestion, check_settings, usable_value
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import Array, LogGrid

CENTRES = 2  # best points around which there are candidates
DIGITS = 4  # that two values of one point must share before the objective counts as deterministic
AGREEING = 2  # replicates without a difference, after which points are not replicated any more


@dataclass(frozen=True)
class BayesSettings:
    """`diverged`: "worst" ranks such a run below every finished one, "value" takes the number it left.
    `plateau_limit`: runs along the first axis after which the model decides in any case. `deterministic`: a run of one
    point always gives the same value, so none is made twice and the best observed is the best; None: the runs show
    whether it does, and the incumbent is run once more to see.
    """

    diverged: str = "worst"
    plateau_limit: int = 12
    deterministic: bool | None = False

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
    settings = resolved(settings, runs)
    known = usable_runs(runs, settings)
    taken = [point for point, _ in pending]
    found = _on_first_axis(grid, known, taken, settings.plateau_limit)
    if found is None:
        with one_thread():
            found = _by_model(LogGrid(grid), known, taken, settings.deterministic)
    ids = {*pending, *(run.id for run in known)}
    free = next(number for number in itertools.count() if (found.point, number) not in ids)
    values = [run.value for run in known if run.point == found.incumbent and math.isfinite(run.value)]
    return replace(found, replicate=free, incumbent_value=fmean(values) if values else None)


def incumbent(grid: Grid, runs: Collection[Run], settings: BayesSettings | None = None) -> Point | None:
    """The best point by these runs: the best observed while bracketing, then the highest posterior mean; None: no
    run.
    """
    settings = resolved(settings, runs)
    known = usable_runs(runs, settings)
    if not known or (found := _on_first_axis(grid, known, (), settings.plateau_limit)) is not None:
        return found.incumbent if known and found is not None else None
    with one_thread():
        return Model(LogGrid(grid), known, deterministic=settings.deterministic is True).best


def resolved(settings: BayesSettings | None, runs: Collection[Run]) -> BayesSettings:
    """The settings as these runs show them: whether the objective is deterministic, where nobody told.

    It is where points were run more than once and gave the same value each time, in at least four of the digits in
    which the objective is known.
    """
    settings = settings or BayesSettings()
    if settings.deterministic is not None:
        return settings
    found = _values_by_point(runs)
    again = [values for values in found.values() if len(values) > 1]
    if not again:
        return settings
    decimals = max(_decimals(values[0]) for values in found.values())
    digits = max(math.floor(math.log10(abs(values[0]) or 1.0)) + 1 + decimals for values in again)
    return replace(settings, deterministic=digits >= DIGITS and all(len(set(values)) == 1 for values in again))


def _values_by_point(runs: Collection[Run]) -> dict[Point, list[float]]:
    """The values of the runs that have one, by point."""
    values: dict[Point, list[float]] = {}
    for run in runs:
        if math.isfinite(run.value) and run.state == "finished":
            values.setdefault(run.point, []).append(run.value)
    return values


def _decimals(value: float) -> int:
    """The decimals in which a value is written: 2 for 94.25."""
    places = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -int(places))


def brackets(grid: Grid, runs: Collection[Run], pending: Collection[RunId], settings: BayesSettings) -> bool:
    """Whether the next run brackets the best along the first axis, and the model has not taken over."""
    taken = [point for point, _ in pending]
    return _on_first_axis(grid, usable_runs(runs, settings), taken, settings.plateau_limit) is not None


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
    settings = resolved(settings, runs)
    return Model(LogGrid(grid), usable_runs(runs, settings), deterministic=settings.deterministic is True)


def _on_first_axis(grid: Grid, runs: Sequence[Run], pending: Sequence[Point], limit: int) -> Suggestion | None:
    """The next stride, while all runs lie on the first axis and their best is not bracketed."""
    if not runs:
        return _before_any_result(grid, pending)
    if not _moves_lr(grid) or not all(_on_line(run.point) for run in runs) or runs[0].point != grid.origin:
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


def _on_line(point: Point) -> bool:
    """Whether a point is a whole number of steps along the first axis."""
    return not any(point[1:]) and point[0] == int(point[0])


def _before_any_result(grid: Grid, pending: Sequence[Point]) -> Suggestion:
    """The start; while that runs, strides to both sides of it."""
    if grid.origin not in pending:
        return Suggestion(grid.origin, 0, "the start", "start", None)
    steps = (side * STRIDE * count for count in range(1, len(pending) + 1) for side in (1, -1))
    for step in steps if _moves_lr(grid) else ():
        point = (canonical_step(grid, step), *grid.origin[1:])
        if point not in pending and grid.out_of_bounds(point) is None and point != grid.origin:
            why = f"along {grid.chart.axes[0].name}, while the start is running"
            return Suggestion(point, 0, why, describe_move(grid, grid.origin, point), grid.origin)
    return Suggestion(grid.origin, 0, "replicate: no run has finished yet", "replicate", grid.origin)


def _assumed(line: Sequence[Run], best: Run, pending: Sequence[Point]) -> list[Run]:
    """Pending runs on the line as if they came out a little worse than the best."""
    known = {run.point for run in line}
    fresh = dict.fromkeys(point for point in pending if _on_line(point) and point not in known)
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


def _by_model(
    log_grid: LogGrid, runs: Sequence[Run], pending: Sequence[Point], deterministic: bool | None
) -> Suggestion:
    """The candidate with the largest acquisition, by all runs."""
    model = Model(log_grid, runs, pending, deterministic is True)
    best = model.best
    if deterministic is None and pending.count(best) == 0 and _values_by_point(runs).get(best):
        return Suggestion(best, 0, "replicate: do two runs of the same settings agree?", "replicate", best)
    tried = np.array(sorted({*(run.point for run in runs), *pending}), dtype=float)
    held = flat_axes(model, best)
    candidates = Candidates(model, tried, held)
    found = candidates.best(_centres(model))
    if deterministic or replicates_agree(runs):
        new = candidates.new(found)
        new = candidates.new(candidates.wide(best)) if deterministic and not len(new) else new
        found = new if len(new) else found
    point = _first_inside(log_grid.grid, found[ranked(model.acquisition(found))], best)
    count = sum(tried == point for tried in (*(run.point for run in runs), *pending))
    return Suggestion(point, 0, reason(model, held, point, count), describe_move(log_grid.grid, best, point), best)


def _first_inside(grid: Grid, ranked: Array, best: Point) -> Point:
    """The first of these points (n, axes) within the bounds, rounding of whole hyperparameters included."""
    points = (tuple(int(step) if step.is_integer() else step for step in row) for row in ranked.tolist())
    return next((point for point in points if grid.out_of_bounds(point) is None), best)


def replicates_agree(runs: Sequence[Run]) -> bool:
    """Whether finished points were replicated, AGREEING times or more in all, and always gave the same value."""
    values = _values_by_point(runs)
    again = sum(len(found) - 1 for found in values.values())
    return again >= AGREEING and all(len(set(found)) == 1 for found in values.values())


def _centres(model: Model) -> list[Point]:
    """The points with the highest posterior means."""
    expected = np.round(model.expected, 9)
    ranked = dict.fromkeys(model.runs[number].point for number in np.argsort(-expected, kind="stable"))
    return list(ranked)[:CENTRES]


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
