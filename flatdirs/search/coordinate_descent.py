"""The source's search: cyclical coordinate descent with a crude line search, one doubling or halving at a time.

A generator that yields a Question, is sent its Outcome, and tells its Verdict in turn. It holds everything it knows
in its own frame, built from the answers alone, so a search is resumed, replayed, explained or speculated about by
running it again (replay.py). On the chart's flat coordinates it is `myrtle`, on the raw ones `raw`.

Source: reference/004 for the method; the direction rule is the one that reproduces the source's run counts exactly
(derived); the walk across plateaus is ours.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field

from flatdirs.search.judging import Outcome, Rules, guessing, judge
from flatdirs.search.question import Descent, Question, Verdict
from flatdirs.space.coordinates import SIGN, Direction, Point
from flatdirs.space.grid import Grid

OTHER: dict[Direction, Direction] = {"double": "halve", "halve": "double"}


@dataclass
class _State:
    """The frame of one descent: where it stands, and what it last learnt on each axis."""

    incumbent: Point
    best: Outcome
    toward: list[Direction]
    visit: int = 0
    gains: int = field(default=0)


def descend(grid: Grid, rules: Rules) -> Descent:
    """Yield the Question to answer next, be sent its Outcome; return the winner's point.

    Axes are taken in the chart's order. On each, the direction that last succeeded there comes first and the other
    only if that one fails at once; a full cycle of axes without a gain ends the search.
    """
    start = grid.origin
    outcome = yield Question(start, None, "start", None, 0, "the start")
    assert isinstance(outcome, Outcome)  # it never says that it takes others
    yield Verdict("better", start)
    axes = grid.chart.axes
    state = _State(start, outcome, [axis.first for axis in axes])
    idle = 0
    while idle < len(axes):
        axis = state.visit % len(axes)
        state.visit += 1
        gained = yield from _search_axis(grid, rules, state, axis)
        idle = 0 if gained else idle + 1
    return state.incumbent


def _search_axis(
    grid: Grid, rules: Rules, state: _State, axis: int
) -> Generator[Question | Verdict, Outcome | None, bool]:
    """One line search: the direction that last succeeded first, the other only if it fails. True after a gain."""
    first = state.toward[axis]
    for direction in (first, OTHER[first]):
        gained = yield from _walk(grid, rules, state, axis, direction)
        if gained:
            state.toward[axis] = direction
            return True
    return False


def _walk(
    grid: Grid, rules: Rules, state: _State, axis: int, direction: Direction
) -> Generator[Question | Verdict, Outcome | None, bool]:
    """Step in one direction until things get worse; True if the incumbent moved."""
    here, gained, level = state.incumbent, False, 0
    while True:
        here = grid.move(here, axis, direction)
        if grid.wall(here):
            return gained
        outcome = yield Question(
            here, axis, direction, state.incumbent, state.visit, _reason(grid, axis, direction, gained, level)
        )
        assert outcome is not None
        judgement = judge(outcome, state.best, rules)
        if judgement == "better":
            state.incumbent, state.best = here, outcome
            state.gains += 1
            gained, level = True, 0
        elif judgement == "tie" and level + 1 < rules.plateau_limit and _plateau(grid, rules, state, axis, direction):
            level += 1
        else:
            level = -1
        yield Verdict(judgement, state.incumbent)
        if level < 0:
            return gained


def _plateau(grid: Grid, rules: Rules, state: _State, axis: int, direction: Direction) -> bool:
    """Whether a tie says only that nothing has begun to change, so that the next step is worth asking for.

    So while both runs guess and carry no loss; while nobody knows what guessing gives and no run has yet been better
    than the start; and while runs diverge, in the direction that lowers the learning rate.
    """
    if state.best.guess is not None:
        return False
    if rules.score(state.best) == -math.inf:
        return SIGN[direction] * grid.chart.response(axis).get(grid.chart.follows or "lr", 0) < 0
    return guessing(state.best, rules) or (state.best.at_chance is None and state.gains == 0)


def _reason(grid: Grid, axis: int, direction: Direction, gained: bool, level: int) -> str:
    name = grid.chart.axes[axis].name
    if gained:
        return f"{direction} {name} again: the last step was better"
    if level:
        return f"{direction} {name} again: nothing has changed yet ({level} steps)"
    return f"{direction} {name} from the best so far"
