"""Myrtle's search: cyclic coordinate descent, one doubling or halving at a time. On flat coordinates `myrtle`, else
`raw`.

The descent is a generator: it yields a Question, is sent the Run that answers it, and yields its Verdict. It keeps
nothing outside its own frame, so it is resumed, explained and speculated about by running it again on the recorded
answers: `trace` replays it, `suggestions` looks ahead by answering the open question both ways.

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
from flatdirs.space.chart import SIGN, Direction, Point
from flatdirs.space.grid import Grid

Judgement = Literal["better", "tie", "worse"]
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
class Question:
    """A point to run. `visit` counts the axes searched so far, so that the runs of one line search share it."""

    suggestion: Suggestion
    visit: int


@dataclass(frozen=True)
class Guess:
    """An answer that is assumed while looking ahead."""

    judgement: Judgement


@dataclass(frozen=True)
class Verdict:
    """What the descent made of the last answer, and its incumbent."""

    judgement: Judgement
    incumbent: Point


Answer = Run | Guess
Descent = Generator[Question | Verdict, Answer, Point]


def judge(candidate: Answer, incumbent: Answer, settings: DescentSettings) -> Judgement:
    """Compare two runs; by their losses where both accuracies are no better than guessing."""
    if isinstance(candidate, Guess):
        return candidate.judgement
    if isinstance(incumbent, Guess):
        return "worse"
    if candidate.guesses and incumbent.guesses:
        if candidate.loss is None or incumbent.loss is None:
            return "tie"
        return _compare(incumbent.loss - candidate.loss, 0.0)
    new, old = settings.value(candidate), settings.value(incumbent)
    return "tie" if new == old else _compare(new - old, settings.min_gain)


def _compare(gain: float, margin: float) -> Judgement:
    if gain > margin:
        return "better"
    return "worse" if gain < -margin else "tie"


def descend(grid: Grid, settings: DescentSettings) -> Descent:
    """Yield the Question to answer next, be sent its answer, yield a Verdict; return the best point.

    Axes are taken in the chart's order. On each, the direction that last succeeded there comes first and the other only
    if that one fails at once; a full cycle of axes without a gain ends the search.
    """
    answer = yield Question(Suggestion(grid.origin, 0, "the start", "start", None), 0)
    yield Verdict("better", grid.origin)
    walker = _Walker(grid, settings, answer)
    idle = 0
    while idle < len(grid.chart.axes):
        axis = walker.visit % len(grid.chart.axes)
        walker.visit += 1
        gained = yield from walker.search_axis(axis)
        idle = 0 if gained else idle + 1
    return walker.incumbent


class _Walker:
    """Where one descent stands, and the direction that last succeeded on each axis."""

    def __init__(self, grid: Grid, settings: DescentSettings, start: Answer) -> None:
        self.grid, self.settings = grid, settings
        self.incumbent, self.best = grid.origin, start
        self.toward: list[Direction] = [axis.first for axis in grid.chart.axes]
        self.visit, self.gains = 0, 0

    def search_axis(self, axis: int) -> Generator[Question | Verdict, Answer, bool]:
        """One line search; True after a gain."""
        first = self.toward[axis]
        for direction in (first, OTHER[first]):
            gained = yield from self._walk(axis, direction)
            if gained:
                self.toward[axis] = direction
                return True
        return False

    def _walk(self, axis: int, direction: Direction) -> Generator[Question | Verdict, Answer, bool]:
        """Step in one direction until things get worse; True if the incumbent moved."""
        here, gained, level = self.incumbent, False, 0
        while True:
            here = self.grid.move(here, axis, direction)
            if self.grid.out_of_bounds(here):
                return gained
            reason = self._reason(axis, direction, gained, level)
            answer = yield Question(Suggestion(here, 0, reason, direction, self.incumbent, axis), self.visit)
            judgement = judge(answer, self.best, self.settings)
            if judgement == "better":
                self.incumbent, self.best, self.gains = here, answer, self.gains + 1
                gained, level = True, 0
            elif judgement == "tie" and level + 1 < self.settings.plateau_limit and self._plateau(axis, direction):
                level += 1
            else:
                level = -1
            yield Verdict(judgement, self.incumbent)
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
    """One answered question. `recalled`: an earlier step had asked for the same run."""

    question: Question
    answer: Answer
    verdict: Verdict
    recalled: bool


@dataclass(frozen=True)
class Trace:
    """A descent as far as its answers carry it: the steps, then the open question, or None once it is over."""

    steps: tuple[Step, ...]
    pending: Question | None
    incumbent: Point | None

    @property
    def over(self) -> bool:
        """Whether the descent has ended."""
        return self.pending is None


def trace(grid: Grid, settings: DescentSettings, answers: Mapping[RunId, Answer]) -> Trace:
    """Run a descent on recorded answers up to the first question that they leave open."""
    descent, steps, seen = descend(grid, settings), list[Step](), set[RunId]()
    try:
        while True:
            question = next(descent)
            assert isinstance(question, Question)
            where = question.suggestion.id
            if where not in answers:
                descent.close()
                return Trace(tuple(steps), question, steps[-1].verdict.incumbent if steps else None)
            verdict = descent.send(answers[where])
            assert isinstance(verdict, Verdict)
            steps.append(Step(question, answers[where], verdict, where in seen))
            seen.add(where)
    except StopIteration as end:
        return Trace(tuple(steps), None, end.value)


def suggestions(
    grid: Grid, settings: DescentSettings, runs: Collection[Run], pending: Collection[RunId] = ()
) -> Iterator[Suggestion]:
    """The open question, then those most likely to follow it; never a run that is finished or pending."""
    answers: dict[RunId, Answer] = {run.id: run for run in reversed(list(runs))}
    order = itertools.count()
    histories: list[tuple[float, int, dict[RunId, Answer]]] = [(-1.0, next(order), {})]
    given = set(pending)
    for _ in range(MOST_HISTORIES):
        if not histories:
            return
        weight, _, guesses = heapq.heappop(histories)
        run = trace(grid, settings, {**guesses, **answers})
        if (question := run.pending) is None:
            continue
        where = question.suggestion.id
        if where not in given:
            given.add(where)
            yield question.suggestion
        for likelihood, guess in _guesses(run, question):
            heapq.heappush(histories, (weight * likelihood, next(order), {**guesses, where: guess}))


def _guesses(run: Trace, question: Question) -> list[tuple[float, Guess]]:
    """Both answers to a question with their likelihoods; the start has only one."""
    if question.suggestion.incumbent is None:
        return [(1.0, Guess("better"))]
    last = run.steps[-1]
    goes_on = last.question.visit == question.visit and last.verdict.judgement == "better"
    better = GAINS_AGAIN if goes_on else 1 - GAINS_AGAIN
    return [(better, Guess("better")), (1 - better, Guess("worse"))]
