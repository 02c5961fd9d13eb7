"""History of outcomes → the next points to run. Pure: the same answers always give the same questions.

A search is a generator, and a generator cannot be copied; but it can be run again from the start with the recorded
answers, which costs microseconds. So `trace` resumes, `Trace.steps` explains every run, and `proposals` speculates:
it answers the pending question both ways and collects what would be asked next, most likely first.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from flatdirs.chart import Point
from flatdirs.search import Descent, Key, Outcome, Question, Verdict

GOES_ON = 0.6  # how often a line search that just gained gains again; else 1 − GOES_ON (ours; it only orders guesses)
EFFORT = 64  # how many guessed histories are tried before speculation gives up


@dataclass(frozen=True)
class Step:
    """One answered question. `recalled` marks a run that an earlier step had asked for already."""

    question: Question
    outcome: Outcome
    verdict: Verdict
    recalled: bool


@dataclass(frozen=True)
class Trace:
    """A search as far as its answers carry it: the steps, then the open question, or None once it is over."""

    steps: tuple[Step, ...]
    pending: Question | None
    incumbent: Point | None

    @property
    def over(self) -> bool:
        """True once the search has nothing left to ask."""
        return self.pending is None


def trace(search: Callable[[], Descent], answers: Mapping[Key, Outcome]) -> Trace:
    """Run a search on recorded answers up to the first question that they leave open."""
    asking, asked = search(), set[Key]()
    steps: list[Step] = []
    reply: Outcome | None = None
    incumbent: Point | None = None
    while True:
        try:
            question = asking.send(reply)
        except StopIteration as end:
            return Trace(tuple(steps), None, end.value)
        if not isinstance(question, Question):
            raise TypeError(f"a search must yield a Question here, not {question!r}")
        if question.key not in answers:
            asking.close()
            return Trace(tuple(steps), question, incumbent)
        outcome = answers[question.key]
        verdict = asking.send(outcome)
        if not isinstance(verdict, Verdict):
            raise TypeError(f"a search must yield a Verdict after each answer, not {verdict!r}")
        steps.append(Step(question, outcome, verdict, question.key in asked))
        asked.add(question.key)
        incumbent, reply = verdict.incumbent, None


def proposals(
    search: Callable[[], Descent], answers: Mapping[Key, Outcome], busy: Collection[Key] = ()
) -> Iterator[Question]:
    """The open question, then the ones most likely to follow it; never a run that is answered or `busy`."""
    order = itertools.count()
    histories: list[tuple[float, int, dict[Key, Outcome]]] = [(-1.0, next(order), {})]
    given = set(busy)
    for _ in range(EFFORT):
        if not histories:
            return
        weight, _, guesses = heapq.heappop(histories)
        run = trace(search, {**answers, **guesses})
        question = run.pending
        if question is None:
            continue
        if question.key not in given:
            given.add(question.key)
            yield question
        for likelihood, guess in _guesses(run, question):
            heapq.heappush(histories, (weight * likelihood, next(order), {**guesses, question.key: guess}))


def _guesses(run: Trace, question: Question) -> list[tuple[float, Outcome]]:
    """Both answers to a question with their likelihoods; the start has only one."""
    if question.incumbent is None:
        return [(1.0, Outcome(guess="better"))]
    last = run.steps[-1]
    goes_on = last.question.visit == question.visit and last.verdict.judgement == "better"
    better = GOES_ON if goes_on else 1 - GOES_ON
    return [(better, Outcome(guess="better")), (1 - better, Outcome(guess="worse"))]
