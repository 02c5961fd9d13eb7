"""What a search asks and what it makes of an answer: the two things that its generator yields in turn."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from flatdirs.chart import Point
from flatdirs.search.outcome import Judgement, Outcome

Key = tuple[int, ...]  # of a run: its point, and behind it the number of the repeat where it is not the first


@dataclass(frozen=True)
class Question:
    """A point the search wants judged, and why.

    `axis` is None for the start and for moves along several axes. `visit` counts the axes searched so far, so that runs
    of one line search share it. `repeat` counts the runs of the same point, each with seeds of its own; 0 is the first.
    """

    point: Point
    axis: int | None
    move: str
    incumbent: Point | None
    visit: int
    reason: str
    repeat: int = 0

    @property
    def key(self) -> Key:
        """What tells this run from all others."""
        return (*self.point, self.repeat) if self.repeat else self.point


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


Descent = Generator[Question | Verdict, Outcome | None, Point]
