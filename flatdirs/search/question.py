"""What a search asks, what it may be told besides, and what it makes of that: what goes in and out of its generator.

It yields a Question and is sent the Outcome, or, where the question takes others, the runs that nobody asked it for
(Others): those made beside runs in progress, by hand, or before the ranges were changed. It yields a Verdict on each.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from flatdirs.search.judging import Judgement, Outcome
from flatdirs.space.coordinates import Point

Key = tuple[int, ...]  # of a run: its point, and behind it the number of the repeat where it is not the first


@dataclass(frozen=True)
class Question:
    """A point the search wants judged, and why.

    `axis` is None for the start and for moves along several axes. `visit` counts the axes searched so far, so that runs
    of one line search share it. `repeat` counts the runs of the same point, each with seeds of its own; 0 is the first.
    `takes_others`: whether the search wants to hear of all other runs before this one is made. `asked` is False for
    what stands for such a run in a trace.
    """

    point: Point
    axis: int | None
    move: str
    incumbent: Point | None
    visit: int
    reason: str
    repeat: int = 0
    takes_others: bool = False
    asked: bool = True

    @property
    def key(self) -> Key:
        """What tells this run from all others."""
        return (*self.point, self.repeat) if self.repeat else self.point


@dataclass(frozen=True)
class Others:
    """Runs that the search did not ask for, oldest first."""

    answers: tuple[tuple[Key, Outcome], ...]


@dataclass(frozen=True)
class Verdict:
    """What the search made of the last answer, and the best point it now holds."""

    judgement: Judgement
    incumbent: Point


@dataclass(frozen=True)
class Told:
    """One answered question; `score` is -inf where the run diverged or was pruned."""

    question: Question
    outcome: Outcome
    score: float


@dataclass(frozen=True)
class Verdicts:
    """What the search made of some Others: on each, the question that stands for it and the verdict."""

    each: tuple[tuple[Question, Verdict], ...]


Descent = Generator[Question | Verdict | Verdicts, Outcome | Others | None, Point]
