"""History of outcomes → the next points to run. Pure: the same answers always give the same questions.

A search is a generator, and a generator cannot be copied; but it can be run again from the start with the recorded
answers, which costs microseconds. So `trace` resumes, `Trace.steps` explains every run, and `proposals` speculates:
it answers the pending question both ways and collects what would be asked next, most likely first.

Workers run ahead of a search, so there are answers to questions it has not come to. The source's search passes them
over until it asks. A search whose question takes others is told of them all where its own path ends, and of the runs in
progress as if they had come out no better, so that a team does not crowd around one point.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from flatdirs.search import Descent, Key, Others, Outcome, Question, Verdict, Verdicts
from flatdirs.space.coordinates import Point

GOES_ON = 0.6  # how often a line search that just gained gains again; else 1 − GOES_ON (ours; it only orders guesses)
EFFORT = 64  # how many guessed histories are tried before speculation gives up


WORSE = Outcome(guess="worse")


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


def trace(
    search: Callable[[], Descent],
    answers: Mapping[Key, Outcome],
    guesses: Mapping[Key, Outcome] | None = None,
    busy: Collection[Key] = (),
) -> Trace:
    """Run a search on recorded answers up to the first question that they leave open.

    `guesses` answer further questions, as if they had been asked once all `answers` were known. Runs in progress,
    `busy`, count as worse ones for a search that takes others, once it asks for a run that is not one of them.
    """
    asking, guesses = search(), guesses or {}
    told: dict[Key, None] = {}
    steps: list[Step] = []
    while True:
        try:
            question = next(asking)
        except StopIteration as end:
            return Trace(tuple(steps), None, end.value)
        if not isinstance(question, Question):
            raise TypeError(f"a search must yield a Question here, not {question!r}")
        reply = _reply(question, told, answers, guesses, busy)
        if reply is None:
            asking.close()
            return Trace(tuple(steps), question, steps[-1].verdict.incumbent if steps else None)
        verdict = asking.send(reply)
        if isinstance(reply, Others) and isinstance(verdict, Verdicts):
            found = [(*one, outcome) for one, (_, outcome) in zip(verdict.each, reply.answers, strict=True)]
        elif isinstance(reply, Outcome) and isinstance(verdict, Verdict):
            found = [(question, verdict, reply)]
        else:
            raise TypeError(f"a search must yield a verdict after each answer, not {verdict!r}")
        for one, judged, outcome in found:
            steps.append(Step(one, outcome, judged, one.key in told))
            told[one.key] = None


def _reply(
    question: Question,
    told: Collection[Key],
    answers: Mapping[Key, Outcome],
    guesses: Mapping[Key, Outcome],
    busy: Collection[Key],
) -> Outcome | Others | None:
    """What to tell a search that asks this, so much having been told: an answer, others, a guess; None: nothing."""
    if question.key in answers:
        return answers[question.key]
    others = [(key, outcome) for key, outcome in answers.items() if key not in told] if question.takes_others else []
    if not others and question.key in guesses:
        return guesses[question.key]
    if not others and question.takes_others and question.key not in busy:
        others = [(key, WORSE) for key in busy if key not in told]
    return Others(tuple(others)) if others else None


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
        run = trace(search, answers, guesses, busy)
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
