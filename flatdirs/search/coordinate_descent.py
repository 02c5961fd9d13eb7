"""Myrtle's search: cyclic coordinate descent, one doubling or halving at a time. On flat coordinates `myrtle`, else
`raw`.

The descent is a generator: it yields a Proposal, is sent the Run made there, and yields its Decision. It keeps
nothing outside its own frame, so it is resumed, explained and speculated about by running it again on the recorded
results: `trace` replays it, `suggestions` looks ahead by evaluating the open proposal both ways.

Source: https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/. The direction rule is the one that
reproduces the article's run counts (derived); the walk across plateaus is ours.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from flatdirs.errors import ConfigError
from flatdirs.search.types import Run, RunId, Suggestion, check_settings, usable_value
from flatdirs.setting_checks import wrong
from flatdirs.space.chart import SIGN, Chart, Direction, Point
from flatdirs.space.grid import Grid

Comparison = Literal["better", "tie", "worse"]
OTHER: dict[Direction, Direction] = {"double": "halve", "halve": "double"}
GAINS_AGAIN = 0.6  # how often a line search that just gained gains again; it only orders the guesses (ours)
MOST_HISTORIES = 64  # guessed histories that are tried before the look-ahead gives up


@dataclass(frozen=True)
class DescentSettings:
    """`min_gain`: a gain of at most this is a tie, in units of the objective. `diverged`: "worst" ranks such a run
    below every finished one, "value" takes the number it left. `plateau_limit`: steps to walk on while nothing changes.
    """

    min_gain: float = 0.0
    diverged: str = "worst"
    plateau_limit: int = 12

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_gain) and self.min_gain >= 0):
            raise ConfigError(f"search.min_gain={self.min_gain} must be 0 or more; change it", key="search.min_gain")
        check_settings(self.diverged, self.plateau_limit)

    def value(self, run: Run) -> float:
        """The value of a run as these settings count it."""
        return usable_value(run, self.diverged)


@dataclass(frozen=True)
class Proposal:
    """A point to run. `line` counts the axes searched so far, so that the runs of one line search share it."""

    suggestion: Suggestion
    line: int


@dataclass(frozen=True)
class Guess:
    """A result that is assumed while looking ahead."""

    comparison: Comparison


@dataclass(frozen=True)
class Decision:
    """What the descent made of the last result, and its incumbent."""

    comparison: Comparison
    incumbent: Point


Result = Run | Guess
Descent = Generator[Proposal | Decision, Result, Point]


def refuse_choices(chart: Chart) -> None:
    """Raise ConfigError where a chart has choices: a line search needs an axis."""
    if chart.open_choices:
        problem = f"cannot search choices such as {chart.open_choices[0]}"
        raise wrong("search", "myrtle or raw", problem, remedy="use search=flatdirs")


def compare(candidate: Result, incumbent: Result, settings: DescentSettings) -> Comparison:
    """Compare two runs; by their losses where both accuracies are no better than guessing."""
    if isinstance(candidate, Guess):
        return candidate.comparison
    if isinstance(incumbent, Guess):
        return "worse"
    if candidate.guesses and incumbent.guesses:
        if candidate.loss is None or incumbent.loss is None:
            return "tie"
        return _by_margin(incumbent.loss - candidate.loss, 0.0)
    new, old = settings.value(candidate), settings.value(incumbent)
    return "tie" if new == old else _by_margin(new - old, settings.min_gain)


def _by_margin(gain: float, margin: float) -> Comparison:
    if gain > margin:
        return "better"
    return "worse" if gain < -margin else "tie"


def descend(grid: Grid, settings: DescentSettings) -> Descent:
    """Yield the next Proposal, be sent its result, yield a Decision; return the best point.

    Axes are taken in the chart's order. On each, the direction that last succeeded there comes first and the other only
    if that one fails at once; a full cycle of axes without a gain ends the search.
    """
    result = yield Proposal(Suggestion(grid.origin, 0, "the start", "start", None), 0)
    yield Decision("better", grid.origin)
    walker = _Walker(grid, settings, result)
    idle = 0
    while idle < len(grid.chart.axes):
        axis = walker.line % len(grid.chart.axes)
        walker.line += 1
        gained = yield from walker.search_axis(axis)
        idle = 0 if gained else idle + 1
    return walker.incumbent


class _Walker:
    """Where one descent stands, and the direction that last succeeded on each axis."""

    def __init__(self, grid: Grid, settings: DescentSettings, start: Result) -> None:
        self.grid, self.settings = grid, settings
        self.incumbent, self.best = grid.origin, start
        self.toward: list[Direction] = [axis.first for axis in grid.chart.axes]
        self.line, self.gains = 0, 0

    def search_axis(self, axis: int) -> Generator[Proposal | Decision, Result, bool]:
        """One line search; True after a gain."""
        first = self.toward[axis]
        for direction in (first, OTHER[first]):
            gained = yield from self._walk(axis, direction)
            if gained:
                self.toward[axis] = direction
                return True
        return False

    def _walk(self, axis: int, direction: Direction) -> Generator[Proposal | Decision, Result, bool]:
        """Step in one direction until things get worse; True if the incumbent moved."""
        here, gained, level = self.incumbent, False, 0
        while True:
            here = self.grid.move(here, axis, direction)
            if self.grid.out_of_bounds(here):
                return gained
            reason = self._reason(axis, direction, gained, level)
            result = yield Proposal(Suggestion(here, 0, reason, direction, self.incumbent, axis), self.line)
            comparison = compare(result, self.best, self.settings)
            if comparison == "better":
                self.incumbent, self.best, self.gains = here, result, self.gains + 1
                gained, level = True, 0
            elif comparison == "tie" and level + 1 < self.settings.plateau_limit and self._plateau(axis, direction):
                level += 1
            else:
                level = -1
            yield Decision(comparison, self.incumbent)
            if level < 0:
                return gained

    def _plateau(self, axis: int, direction: Direction) -> bool:
        """Whether a tie only says that nothing has begun to change, so that the next step is worth a run.

        That is so while both runs guess and have no loss; while it is not known what guessing gives and no run has yet
        been better than the start; and while runs diverge, in the direction that lowers the learning rate.
        """
        if isinstance(self.best, Guess):
            return False
        if self.settings.value(self.best) == -math.inf:
            chart = self.grid.chart
            return SIGN[direction] * chart.response(axis).get(chart.follows or "lr", 0) < 0
        return self.best.guesses or (self.best.at_chance is None and self.gains == 0)

    def _reason(self, axis: int, direction: Direction, gained: bool, level: int) -> str:
        name = self.grid.chart.axes[axis].name
        if gained:
            return f"{direction} {name} again: the last step was better"
        if level:
            return f"{direction} {name} again: nothing has changed in {level} steps"
        return f"{direction} {name} from the incumbent"


@dataclass(frozen=True)
class Step:
    """One evaluated proposal. `recalled`: an earlier step had made the same run."""

    proposal: Proposal
    result: Result
    decision: Decision
    recalled: bool


@dataclass(frozen=True)
class Trace:
    """A descent as far as its results carry it: the steps, then the open proposal, or None once it is over."""

    steps: tuple[Step, ...]
    pending: Proposal | None
    incumbent: Point | None

    @property
    def over(self) -> bool:
        """Whether the descent has ended."""
        return self.pending is None


def trace(grid: Grid, settings: DescentSettings, results: Mapping[RunId, Result]) -> Trace:
    """Run a descent on recorded results up to the first proposal that they leave open."""
    descent, steps, seen = descend(grid, settings), list[Step](), set[RunId]()
    try:
        while True:
            proposal = next(descent)
            assert isinstance(proposal, Proposal)
            where = proposal.suggestion.id
            if where not in results:
                descent.close()
                return Trace(tuple(steps), proposal, steps[-1].decision.incumbent if steps else None)
            decision = descent.send(results[where])
            assert isinstance(decision, Decision)
            steps.append(Step(proposal, results[where], decision, where in seen))
            seen.add(where)
    except StopIteration as end:
        return Trace(tuple(steps), None, end.value)


def suggestions(
    grid: Grid, settings: DescentSettings, runs: Collection[Run], pending: Collection[RunId] = ()
) -> Iterator[Suggestion]:
    """The open proposal, then those most likely to follow it; never a run that is finished or pending."""
    results: dict[RunId, Result] = {run.id: run for run in reversed(list(runs))}
    order = itertools.count()
    histories: list[tuple[float, int, dict[RunId, Result]]] = [(-1.0, next(order), {})]
    given = set(pending)
    for _ in range(MOST_HISTORIES):
        if not histories:
            return
        weight, _, guesses = heapq.heappop(histories)
        run = trace(grid, settings, {**guesses, **results})
        if (proposal := run.pending) is None:
            continue
        where = proposal.suggestion.id
        if where not in given:
            given.add(where)
            yield proposal.suggestion
        for likelihood, guess in _guesses(run, proposal):
            heapq.heappush(histories, (weight * likelihood, next(order), {**guesses, where: guess}))


def _guesses(run: Trace, proposal: Proposal) -> list[tuple[float, Guess]]:
    """Both results of a proposal with their likelihoods; the start has only one."""
    if proposal.suggestion.incumbent is None:
        return [(1.0, Guess("better"))]
    last = run.steps[-1]
    goes_on = last.proposal.line == proposal.line and last.decision.comparison == "better"
    better = GAINS_AGAIN if goes_on else 1 - GAINS_AGAIN
    return [(better, Guess("better")), (1 - better, Guess("worse"))]
