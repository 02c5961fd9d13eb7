"""The first runs of the Bayesian search: strides along the first axis until the best run has a worse one on each side.

    start ──► a stride ──► better: go on, wider ──► worse: the other side ──► bracketed: the model decides

A bound counts as a worse run. Moving along the first axis of a chart moves the learning rate alone. The less is known,
the wider the stride: while runs do no better than guessing, or values do not change. The first stride follows what is
usual: one or two weight-decay timescales in a run (T·lr·wd/(1−momentum)) and lr/(1−momentum) near 1 (AdamW: lr near
0.001); where both are far off to the same side, it goes as far as the nearer of them.

All of this is ours; lengths of strides were chosen on our own lattices (benchmarks/lattice) with earlier searches, the
list of `untried` with the prototype of the model on the development surfaces of benchmarks/search.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from flatdirs.search.candidates import sobol
from flatdirs.search.explain import describe_move
from flatdirs.search.structure import family, structure_of
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.chart import Point
from flatdirs.space.grid import Grid
from flatdirs.space.log_grid import Array, LogGrid, among

MOVE = 2  # steps of the search's grid in one move of the chart: it works on half moves (√2)
STRIDE, LONG_STRIDE, LONGEST_STRIDE = 2 * MOVE, 4 * MOVE, 8 * MOVE
FAR = 3 * MOVE  # steps off what is usual, from which on that decides the first stride
HIGHEST = 20 * MOVE  # steps above the start at which the line turns round if nothing has changed
NEAR, FARTHER = (-2, 2, -1, 1, -4, 4), (-4, -8, -12, 4, 8, -16, 2, -2)  # octaves of the first hyperparameter
OTHERS, EVERYWHERE = (-3, 3, -6, 6), 8.0  # octaves of the others, and of all at once
UNCHANGED = 1.05  # losses within this factor of each other: nothing has changed yet
USUAL_SPEED, USUAL_LR = 1.0, 1e-3  # lr/(1−momentum) of SGD, lr of AdamW
USUAL_TIMESCALES = 1.5  # weight-decay timescales in a run


def next_on_first_axis(grid: Grid, runs: Sequence[Run], pending: Sequence[Point], limit: int) -> Suggestion | None:
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
    decayed = _usual_decay(grid, best)
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


def _usual_decay(grid: Grid, best: Run) -> Point | None:
    """The best point of the line with a usual weight decay, at the same lr/(1−momentum), where its own is far from
    that.

    None where the timescales are not known or a bound is in the way.
    """
    chart = grid.chart
    if "wd" not in chart.free or not best.timescales or best.value == -math.inf:
        return None
    powers = [Fraction(power) for power in chart.matrix[:, chart.free.index("wd")]]  # of wd in each axis
    parts = math.lcm(*(power.denominator for power in powers))
    off = parts * round(math.log2(USUAL_TIMESCALES / best.timescales) / math.log2(chart.step) / parts)
    steps = [int(step) + int(power * off) for step, power in zip(best.point, powers, strict=False)]
    moved = (*steps, *best.point[len(steps) :])
    return moved if abs(off) >= FAR and grid.out_of_bounds(moved) is None else None


def next_on_line(grid: Grid, plateau_limit: int, line: Sequence[Run]) -> tuple[int, str] | None:
    """The next step along the first axis and why; None once the best is bracketed or a bound is in the way.

    `line`: one run a point of the first axis, the start's first.
    """
    if len(line) > plateau_limit:
        return None
    told, why = _first(grid, line[0]) if len(line) == 1 else _further(line)
    step = _within(grid, line, told) if why else None
    if why is None or step is None:
        return None
    return step, f"along {grid.chart.axes[0].name}: {why}"


def canonical_step(grid: Grid, step: int) -> int:
    """The step along the first axis that stands for all with its rounded value."""
    return round(grid.rounded_step(0, step)) if _is_further(grid) else step


def _is_further(grid: Grid) -> bool:
    """Whether the first axis is a further hyperparameter, whose range the strides must stay within."""
    return bool(set(grid.chart.axes[0].exponents) & set(grid.chart.scales))


def _within(grid: Grid, line: Sequence[Run], step: int) -> int | None:
    """The stride, shortened to the bounds, and to a value that was not run; at a bound to the other side of the start,
    where no run has been.
    """
    known = [int(run.point[0]) for run in line]
    wanted = [range(step, _end(known, step), -1 if step > _end(known, step) else 1)]
    if not any(side * step < 0 for side in known):
        wanted.append(range(-_sized(step), 0, 1 if step > 0 else -1))
    for one in itertools.chain(*wanted):
        found = canonical_step(grid, one)
        if found not in known and grid.out_of_bounds((found, *grid.origin[1:])) is None:
            return found
    return None


def _sized(step: int) -> int:
    """A first stride to that side."""
    return max(-LONG_STRIDE, min(LONG_STRIDE, step))


def _end(known: Sequence[int], step: int) -> int:
    """The run nearest to a step."""
    return min(known, key=lambda one: abs(one - step))


def _first(grid: Grid, start: Run) -> tuple[int, str]:
    """Away from the start."""
    if start.value == -math.inf:
        return -LONG_STRIDE, f"the start {'was pruned' if start.state == 'pruned' else 'diverged'}"
    off = _steps_to_usual(grid, start)
    if abs(off) >= FAR:
        low = "below" if off > 0 else "above"
        return int(math.copysign(_stride(STRIDE, abs(off)), off)), f"the start is far {low} usual settings"
    return (LONG_STRIDE if start.guesses else STRIDE), "find the better direction"


def _steps_to_usual(grid: Grid, run: Run) -> int:
    """Steps from the start to usual settings, by the nearer of timescales and lr; 0 where they disagree."""
    chart, start = grid.chart, grid.start
    offs = []
    if run.timescales is not None and 0 < run.timescales < math.inf:
        offs.append(math.log2(USUAL_TIMESCALES / run.timescales))
    if "lr" not in start:
        return 0
    if family(chart) == "muon":  # its usual lr depends on how updates are scaled
        pass
    elif "momentum" in start:
        offs.append(math.log2(USUAL_SPEED * (1.0 - start["momentum"]) / start["lr"]))
    elif "beta1" in start:
        offs.append(math.log2(USUAL_LR / start["lr"]))
    if not offs or min(offs) < 0 < max(offs):
        return 0
    return round(min(offs, key=abs) / math.log2(chart.step))


def _further(line: Sequence[Run]) -> tuple[int, str | None]:
    """Into a gap, beyond one end of the line, or nowhere (no reason) where its best is bracketed."""
    line = sorted(line, key=lambda run: run.point[0])
    middle = _in_the_gap(line)
    return _outwards(line) if middle is None else (middle, "between the runs that diverged and those that did not")


def _outwards(line: Sequence[Run]) -> tuple[int, str | None]:
    """Beyond one end of the line, sorted along it, or nowhere."""
    steps = [int(run.point[0]) for run in line]
    up, down = steps[-1] - steps[-2], steps[1] - steps[0]
    best = max(range(len(line)), key=lambda number: line[number].value)
    if line[best].value == -math.inf:
        return steps[0] - _stride(LONG_STRIDE, 2 * down), "no run has a value yet"
    if line[-1].value > -math.inf and (_unchanged(line) or line[best].guesses):
        if steps[-1] < HIGHEST:
            return steps[-1] + _stride(STRIDE, 2 * up), "nothing has changed yet"
        return steps[0] - _stride(STRIDE, 2 * down), "nothing changes upwards"
    if best == len(line) - 1:
        return steps[-1] + _stride(STRIDE, _widened(line, up) if steps[-1] > 0 else 0), "the last stride was better"
    if best == 0:
        return steps[0] - _stride(STRIDE, min(down, LONG_STRIDE)), "the best is at this end so far"
    return 0, None


def _in_the_gap(line: Sequence[Run]) -> int | None:
    """The middle between the last run that finished and the first that diverged, where the best may lie in between.

    The way down from a start that diverges is long and may lead past the best onto a plateau where nothing is learnt.
    """
    ended = [run for run in line if run.value > -math.inf]
    beyond = [run for run in line[line.index(ended[-1]) + 1 :] if run.state == "diverged"] if ended else []
    if not ended or not beyond or max(run.value for run in ended) > ended[-1].value:
        return None
    low, high = int(ended[-1].point[0]), int(beyond[0].point[0])
    level = ended[-1].at_chance is None and len(ended) > 1 and len({run.value for run in ended}) == 1
    return (low + high) // 2 if high - low > (STRIDE if level else LONG_STRIDE) else None


def _stride(least: int, wanted: int) -> int:
    return max(least, min(LONGEST_STRIDE, wanted))


def _widened(line: Sequence[Run], stride: int) -> int:
    """The next stride up: wider after two gains in a row, where it is not known what guessing gives."""
    gains = len(line) > 2 and line[-3].value < line[-2].value < line[-1].value
    return 3 * stride // 2 if gains and line[-1].at_chance is None else min(stride, LONG_STRIDE)


def _unchanged(line: Sequence[Run]) -> bool:
    """Whether all values are equal, or all runs have about the same loss and none is known to have learnt."""
    losses = [run.loss for run in line]
    known = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    learnt = any(run.at_chance is False for run in line)
    same = not learnt and len(known) == len(losses) and 0 < max(known) < UNCHANGED * min(known)
    return same or len({run.value for run in line}) == 1


def untried(log_grid: LogGrid, places: Array, pending: Array, centre: Array, valued: bool) -> tuple[Array, str]:
    """A place (free,) and why, while runs have no values that differ and the line along the first axis is at its end.

    Around the run that has a value (`centre`), or usual settings; the first hyperparameter down and up, then the
    others, then anywhere: what diverges or fails says only where not to be. `places`, `pending` (n, free).
    """
    usual, axes = structure_of(log_grid).usual, np.eye(len(log_grid.names))
    near = [centre + axes[0] * off for off in (NEAR if valued else FARTHER)]
    told = near if valued else [usual, *near, *(usual + axes[0] * off for off in (-4.0, 4.0, -8.0))]
    told += [centre + axis * off for off in OTHERS for axis in axes[1:]]
    listed = log_grid.snapped(np.array([*told, *(centre + EVERYWHERE * sobol(len(axes), 128))]))
    known = np.concatenate([places, pending])
    new = listed[~among(listed, known)]
    why = "only one run has finished yet" if valued else "no run has finished yet"
    return (new[0], why) if len(new) else (centre, f"replicate: {why}")
