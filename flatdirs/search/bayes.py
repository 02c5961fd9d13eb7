"""flatdirs' own search: a line along the steep axis, then wherever a model of all runs expects the largest gain.

1. The line (line.py). Along the chart's first axis the result has one peak: stride over it until the best run has a
   worse one on each side.
2. The model (model.py). Every further run goes where the expected gain is largest, in steps of half a move (√2),
   along one axis or several; a point may be run again with another seed. There is no end: a search with budget left
   has something to learn. An axis whose two doublings change no more than another seed does is left alone.

Needs no box and nothing but a score; the loss beside it and T·lr·wd/(1−momentum) are used where an outcome has them. A generator
like the source's search (descent.py), so it resumes, replays and explains itself alike; and as the model is one of all
runs, whoever asked for them, it takes those that others made, too. Ours.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from flatdirs.search.bracketing import FAR, MOVE, next_on_line
from flatdirs.search.explain import describe_move, reason
from flatdirs.search.gp import RELAXED, SURE, Model, Run
from flatdirs.search.judging import Judgement, Outcome, Rules
from flatdirs.search.kernel import one_thread
from flatdirs.search.question import Descent, Others, Question, Told, Verdict, Verdicts
from flatdirs.search.score_warping import ROUNDING, TINY
from flatdirs.space.coordinates import Point
from flatdirs.space.grid import Grid
from flatdirs.space.library import describe_chart
from flatdirs.space.log_grid import Array, LogGrid

REACH = {"first": 8, "averaging": 4, "other": 6}  # steps around the best points in which the model looks
GRID = {"first": 2, "averaging": 4, "other": 2}  # the coarse grid there, refined around its best
CENTRES = 2  # points that the model looks around
PROMISING = 5  # of the coarse grid's points, refined
AGREEING = 2  # repeats without a difference, after which points are not run again
MEMORY = 20_000  # turns remembered, so that replaying a search costs next to nothing

_remembered: OrderedDict[bytes, Turn] = OrderedDict()


@dataclass(frozen=True)
class Proposal:
    """Where to go next, why, the best point so far, and the standard deviation of a point's runs (0: not known)."""

    point: Point
    repeat: int
    reason: str
    best: Point
    noise: float = 0.0


@dataclass(frozen=True)
class Turn:
    """What a search makes of an answer: the runs with their scores, a verdict on each, and what it asks next."""

    told: tuple[Told, ...]
    found: tuple[tuple[Question, Verdict], ...]
    question: Question


def search_flat(grid: Grid, rules: Rules) -> Descent:
    """Yield the Question to answer next, be sent its Outcome or Others; goes on for as long as it is asked."""
    log_grid, told = LogGrid(grid), list[Told]()
    question = Question(grid.origin, None, "start", None, 0, "the start")
    history = blake2b(repr((describe_chart(grid.chart), grid.start, rules)).encode())
    while True:
        reply = yield question
        assert reply is not None
        news = _news(grid, question, reply)
        history.update(repr([(asked.key, asked.asked, outcome) for asked, outcome in news]).encode())
        turn = _recall(history.digest(), partial(_turn, log_grid, rules, told, news))
        told += turn.told
        yield Verdicts(turn.found) if isinstance(reply, Others) else turn.found[0][1]
        question = turn.question


def _turn(log_grid: LogGrid, rules: Rules, before: Sequence[Told], news: Sequence[tuple[Question, Outcome]]) -> Turn:
    """What comes of these answers after those before."""
    told = scored(news, rules, before)
    latest, proposal = told[len(before) :], propose(log_grid, rules, told)
    found = [(one.question, Verdict(_judgement(told, one, proposal), proposal.best)) for one in latest]
    best, point, repeat = proposal.best, proposal.point, proposal.repeat
    move = "repeat" if repeat else describe_move(log_grid.grid, best, point)
    question = Question(point, None, move, best, len(told), proposal.reason, repeat, takes_others=True)
    return Turn(tuple(latest), tuple(found), question)


def _news(grid: Grid, question: Question, reply: Outcome | Others) -> list[tuple[Question, Outcome]]:
    """What was answered: the question, or runs that it did not ask for, each with a question that stands for it."""
    if isinstance(reply, Outcome):
        return [(question, reply)]
    found, best = [], question.incumbent
    for key, outcome in reply.answers:
        point, repeat = key[: len(grid.origin)], sum(key[len(grid.origin) :])
        move = "repeat" if repeat or best is None else describe_move(grid, best, point)
        reason = "made beside the search, which takes it in"
        found.append((Question(point, None, move, best, question.visit, reason, repeat, asked=False), outcome))
    return found


def propose(log_grid: LogGrid, rules: Rules, told: Sequence[Told]) -> Proposal:
    """The next run: along the line until its best is bracketed, then by the model."""
    if _moves_rate(log_grid.grid) and not any(any(one.question.point[1:]) for one in told if one.question.asked):
        line = [one for one in told if not any(one.question.point[1:]) and not one.question.repeat]
        best = max(line, key=lambda one: one.score)
        if (found := next_on_line(log_grid.grid, rules, line)) is not None:
            return Proposal((found[0], *log_grid.grid.origin[1:]), 0, found[1], best.question.point)
        if (point := _usual_decay(log_grid, best)) is not None and all(one.question.point != point for one in told):
            relaxes = "T·lr·wd" if "beta1" in log_grid.grid.start else "T·lr·wd/(1−momentum)"
            found_there = f"{relaxes} = {best.outcome.relaxation:.2g} at the line's best"
            reason = f"{found_there}: the usual weight decay, at the same speed"
            return Proposal(point, 0, reason, best.question.point)
    with one_thread():
        return _by_model(log_grid, told)


def _moves_rate(grid: Grid) -> bool:
    """Whether the first axis is what the line supposes: the learning rate alone, where there is one to move."""
    chart = grid.chart
    return "lr" not in chart.hyperparameters or "lr" in chart.free


def _usual_decay(log_grid: LogGrid, best: Told) -> Point | None:
    """The line's best with a weight decay under which the weights relax as often as usual, where theirs is far from it.

    At the same lr/(1−momentum), which the line has found. None where nobody knows the relaxation, or a wall is in the way.
    """
    relaxation, point = best.outcome.relaxation, best.question.point
    if log_grid.decay is None or not relaxation or best.score == -math.inf:
        return None
    axis, power = log_grid.decay
    off = round(math.log2(RELAXED / relaxation) / log_grid.octaves)
    moved = (point[0] + power * off, *point[1:axis], point[axis] + off, *point[axis + 1 :])
    return moved if abs(off) >= FAR and log_grid.grid.wall(moved) is None else None


def _by_model(log_grid: LogGrid, told: Sequence[Told]) -> Proposal:
    """The point that is worth most, by everything so far."""
    model = model_of(log_grid, told)
    best = model.best
    tried = np.array(sorted({one.question.point for one in told}), dtype=float)
    held = flat_axes(model, log_grid, best)
    coarse = _allowed(model, _around(log_grid, _centres(model), held), tried, best)
    promising = coarse[_ranked(model.worth(coarse))[:PROMISING]]
    fine = _allowed(model, _refined(log_grid, promising, held), tried, best)
    if repeats_agree(told) and (new := ~(fine[:, None] == tried[None]).all(axis=2).any(axis=1)).any():
        fine = fine[new]
    point = _first_inside(log_grid.grid, fine[_ranked(model.worth(fine))], best)
    repeat = sum(one.question.point == point for one in told)
    return Proposal(point, repeat, reason(model, held, point, repeat), best, model.spread)


def _first_inside(grid: Grid, ranked: Array, best: Point) -> Point:
    """The first of these points (n, axes) that no wall keeps out, rounding of whole hyperparameters included."""
    points = (tuple(int(step) for step in row) for row in ranked)
    return next((point for point in points if grid.wall(point) is None), best)


def repeats_agree(told: Sequence[Told]) -> bool:
    """Whether points that finished were run again, twice or more, and always gave the same as before."""
    first = {one.question.point: one.score for one in told if not one.question.repeat}
    again = [one for one in told if one.question.repeat and one.score > -math.inf]
    return len(again) >= AGREEING and all(one.score == first.get(one.question.point) for one in again)


def _ranked(worth: Array) -> NDArray[np.intp]:
    """Places by falling worth; what differs in the last digits only, as it may between machines, keeps its order."""
    return np.argsort(-np.round(worth / (worth.max() or 1.0), 9), kind="stable")


def model_of(log_grid: LogGrid, told: Sequence[Told]) -> Model:
    """The model of these runs."""
    return Model(log_grid, runs_of(told))


def runs_of(told: Sequence[Told]) -> list[Run]:
    """The same runs as the model takes them: one that diverged fell off a cliff, a pruned one was only bad."""
    return [
        Run(
            one.question.point,
            one.score,
            one.outcome.relaxation,
            diverged=one.outcome.state == "diverged" and one.score == -math.inf,
        )
        for one in told
    ]


def _centres(model: Model) -> list[Point]:
    expected = np.round(model.expected, 9)
    ranked = dict.fromkeys(model.runs[number].point for number in np.argsort(-expected, kind="stable"))
    return list(ranked)[:CENTRES]


def _kinds(log_grid: LogGrid) -> list[str]:
    """What sort of axis each is: the steep first one, an average over steps (1−momentum, 1−beta1), or another."""
    chart = log_grid.grid.chart
    kinds = ["averaging" if set(axis.exponents) <= chart.one_minus else "other" for axis in chart.axes]
    return ["first", *kinds[1:]]


def _around(log_grid: LogGrid, centres: Sequence[Point], held: Sequence[int]) -> Array:
    sides = [range(-REACH[kind], REACH[kind] + 1, GRID[kind]) for kind in _kinds(log_grid)]
    return _shifted(np.array(centres, dtype=float), sides, held)


def _refined(log_grid: LogGrid, points: Array, held: Sequence[int]) -> Array:
    sides = [range(-(GRID[kind] // 2), GRID[kind] // 2 + 1) for kind in _kinds(log_grid)]
    return _shifted(points, sides, held)


def _shifted(points: Array, sides: Sequence[range], held: Sequence[int]) -> Array:
    """Every point (n, axes) moved by every combination of shifts, those along held axes left out: (m, axes)."""
    free = [range(1) if axis in held else side for axis, side in enumerate(sides)]
    shifts = np.array(list(itertools.product(*free)), dtype=float)
    moved: Array = (points[:, None] + shifts[None]).reshape(-1, points.shape[1])
    return moved


def _allowed(model: Model, points: Array, tried: Array, best: Point) -> Array:
    """Those inside the walls that do not idle, and the tried ones, each once, in order."""
    usable = model.log_grid.inside(points) & ~model.idle(points, best)
    return _each_once(np.concatenate([points[usable], tried]))


def _each_once(points: Array) -> Array:
    """Points (n, axes) of whole steps, each once, in order: numpy's unique by axis takes five times as long."""
    low = points.min(axis=0)
    spans = points.max(axis=0) - low + 1.0
    numbers = (points - low) @ np.append(np.cumprod(spans[:0:-1])[::-1], 1.0)
    found: Array = points[np.unique(numbers, return_index=True)[1]]
    return found


def flat_axes(model: Model, log_grid: LogGrid, point: Point) -> list[int]:
    """Axes, but not the first, along which two doublings either way change no more than another seed, as runs show."""
    axes = [axis for axis in range(1, len(point)) if np.ptp(model.points[:, axis]) >= 2 * MOVE]
    steps = [(axis, side) for axis in axes for side in (-2 * MOVE, 2 * MOVE)]
    others = np.tile(np.array(point, dtype=float), (len(steps), 1))
    for row, (axis, side) in enumerate(steps):
        others[row, axis] += side
    inside = log_grid.inside(others)
    if not inside.any():
        return axes
    means, deviations = model.changes(point, others[inside])
    matters = np.zeros(len(steps), dtype=bool)
    matters[inside] = np.abs(means) + SURE * deviations > math.sqrt(2.0) * model.noise
    return [axis for axis, either in zip(axes, matters.reshape(-1, 2), strict=True) if not either.any()]


def scored(answers: Iterable[tuple[Question, Outcome]], rules: Rules, before: Sequence[Told] = ()) -> list[Told]:
    """Answered questions, oldest first, each with its score beside those before it."""
    told = list(before)
    for question, outcome in answers:
        told.append(Told(question, outcome, _score(outcome, told, rules)))
    return told


def _score(outcome: Outcome, told: Sequence[Told], rules: Rules) -> float:
    """The score by the rules, rounding forgotten; a guess is just above the best, or as good as the middle run."""
    if outcome.guess is None:
        score = rules.score(outcome)
        return next((one.score for one in told if math.isclose(one.score, score, rel_tol=ROUNDING)), score)
    better, scores = outcome.guess == "better", sorted(one.score for one in told)
    finite = [score for score in scores if score > -math.inf]
    if not finite:
        return 0.0 if better else -math.inf
    top = finite[-1]
    little = max(top / 100 - finite[0] / 100, abs(top) / 1000, TINY)
    return top + little if better else min(scores[len(scores) // 2], top - little)


def _judgement(told: Sequence[Told], one: Told, proposal: Proposal) -> Judgement:
    """Better where the run's point became the best; a tie where its score is within one run's noise of the best's."""
    question = one.question
    if question.incumbent is None or (proposal.best == question.point != question.incumbent):
        return "better"
    best = max((other.score for other in told if other.question.point == proposal.best), default=-math.inf)
    return "tie" if one.score >= best - proposal.noise else "worse"


def _recall(key: bytes, make: Callable[[], Turn]) -> Turn:
    """What came of the same history before, or something new."""
    found = _remembered.pop(key, None) or make()
    _remembered[key] = found
    while len(_remembered) > MEMORY:
        _remembered.popitem(last=False)
    return found
