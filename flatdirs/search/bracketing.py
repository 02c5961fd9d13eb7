"""The line at the beginning of flatdirs' own search: strides along the steep axis, until its best run is bracketed.

The less has been learnt, the wider the stride: while nothing beats guessing, while losses or scores do not move.
The first stride is set by what is usual: runs whose weights relax about once or twice (T·lr·wd/(1−momentum), where an outcome
says so) and a speed lr/(1−momentum) about 1 (AdamW: lr about 0.001); where both are far off to the same side, it goes as far as
the nearer of them. Moving the first axis of a chart moves the learning rate alone. Ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flatdirs.search.gp import RELAXED
from flatdirs.search.judging import Outcome, Rules, guessing
from flatdirs.search.question import Told
from flatdirs.space.grid import Grid

MOVE = 2  # steps of the walked grid in one move of the chart: it is refined to the square root
STRIDE, LONG_STRIDE, LONGEST_STRIDE = 2 * MOVE, 4 * MOVE, 8 * MOVE
FAR = 3 * MOVE  # steps off what is usual, from which on that decides the first stride
HIGHEST = 20 * MOVE  # steps above the start at which the line turns round, if nothing has begun to change
UNMOVED = 1.05  # losses within this factor of each other: nothing has begun to change
USUAL_SPEED, USUAL_RATE = 1.0, 1e-3  # lr/(1−momentum) of SGD, lr of AdamW


def next_on_line(grid: Grid, rules: Rules, told: Sequence[Told]) -> tuple[int, str] | None:
    """The next step along the first axis, and why; None once the best is bracketed, or a wall is in the way.

    `told`: runs on the line alone, the start first.
    """
    if len(told) > rules.plateau_limit:
        return None
    step, why = _first(grid, told[0], rules) if len(told) == 1 else _further(rules, told)
    if why is None or grid.wall((step, *grid.origin[1:])) is not None:
        return None
    return step, f"along {grid.chart.axes[0].name}: {why}"


def _first(grid: Grid, start: Told, rules: Rules) -> tuple[int, str]:
    """Away from the start."""
    if start.score == -math.inf:
        return -LONG_STRIDE, "the start diverged"
    off = _off(grid, start.outcome)
    if abs(off) >= FAR:
        low = "less" if off > 0 else "more"
        return int(math.copysign(_stride(STRIDE, abs(off)), off)), f"the start has far {low} of it than is usual"
    return (LONG_STRIDE if guessing(start.outcome, rules) else STRIDE), "which way is better?"


def _off(grid: Grid, outcome: Outcome) -> int:
    """Steps from the start to what is usual, by the nearer of relaxation and speed; 0 where they disagree."""
    chart, start = grid.chart, grid.start
    offs = []
    if outcome.relaxation is not None and 0 < outcome.relaxation < math.inf:
        offs.append(math.log2(RELAXED / outcome.relaxation))
    if "lr" not in start:
        return 0
    if "momentum" in start:
        offs.append(math.log2(USUAL_SPEED * (1.0 - start["momentum"]) / start["lr"]))
    elif "beta1" in start:
        offs.append(math.log2(USUAL_RATE / start["lr"]))
    if not offs or min(offs) < 0 < max(offs):
        return 0
    return round(min(offs, key=abs) / math.log2(chart.step))


def _further(rules: Rules, told: Sequence[Told]) -> tuple[int, str | None]:
    """Into a gap, beyond one end of the line, or nowhere (no reason) where its best lies between two others."""
    line = sorted(told, key=lambda one: one.question.point[0])
    middle = _in_the_gap(line)
    return _outwards(rules, line) if middle is None else (middle, "between what diverged and what did not")


def _outwards(rules: Rules, line: Sequence[Told]) -> tuple[int, str | None]:
    """Beyond one end of the line, sorted along it, or nowhere."""
    steps = [one.question.point[0] for one in line]
    up, down = steps[-1] - steps[-2], steps[1] - steps[0]
    best = max(range(len(line)), key=lambda number: line[number].score)
    if line[best].score == -math.inf:
        return steps[0] - _stride(LONG_STRIDE, 2 * down), "every run has diverged"
    if line[-1].score > -math.inf and (_same(line) or guessing(line[best].outcome, rules)):
        if steps[-1] < HIGHEST:
            return steps[-1] + _stride(STRIDE, 2 * up), "nothing has begun to change"
        return steps[0] - _stride(STRIDE, 2 * down), "nothing changes upwards"
    if best == len(line) - 1:
        return steps[-1] + _stride(STRIDE, _widened(line, up) if steps[-1] > 0 else 0), "the last stride was better"
    if best == 0:
        return steps[0] - _stride(STRIDE, min(down, LONG_STRIDE)), "the best is at this end so far"
    return 0, None


def _in_the_gap(line: Sequence[Told]) -> int | None:
    """The middle between the last run that ended and the first that diverged, where the best may hide in there.

    The way down from a start that diverges is long and may lead past it: onto a plateau, where nothing is learnt.
    """
    ended = [one for one in line if one.score > -math.inf]
    beyond = [one for one in line[line.index(ended[-1]) + 1 :] if one.outcome.state == "diverged"] if ended else []
    if not ended or not beyond or max(ended, key=lambda one: one.score).score > ended[-1].score:
        return None
    low, high = ended[-1].question.point[0], beyond[0].question.point[0]
    level = ended[-1].outcome.at_chance is None and len(ended) > 1 and len({one.score for one in ended}) == 1
    return (low + high) // 2 if high - low > (STRIDE if level else LONG_STRIDE) else None


def _stride(least: int, wanted: int) -> int:
    return max(least, min(LONGEST_STRIDE, wanted))


def _widened(line: Sequence[Told], stride: int) -> int:
    """The next stride up: wider after two gains in a row, where nobody knows what guessing would give."""
    gains = len(line) > 2 and line[-3].score < line[-2].score < line[-1].score
    return 3 * stride // 2 if gains and line[-1].outcome.at_chance is None else min(stride, LONG_STRIDE)


def _same(line: Sequence[Told]) -> bool:
    """Whether all scores are equal, or all runs have a loss and about the same, and none is known to have learnt."""
    losses = [one.outcome.loss for one in line]
    known = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    learnt = any(one.outcome.at_chance is False for one in line)
    same = not learnt and len(known) == len(losses) and 0 < max(known) < UNMOVED * min(known)
    return same or len({one.score for one in line}) == 1
