"""What a method is here, and flatdirs' own searches as one: ask for a point, tell the run, say what would be returned.

`Method.ask` gives hyperparameters, or None when the method has stopped. `Own` drives one of flatdirs' generators: a
question whose point and repeat were asked before is answered from the record and costs nothing; a further repeat of a
point is a run with noise of its own. Rules are those of conf/search/NAME.yaml. `make` finds a method by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol

import yaml

from benchmarks.runs_to_target.conditions import NONE, Box, Condition, Start, box
from benchmarks.runs_to_target.surface import Sample, Surface
from flatdirs.resources import conf_folder
from flatdirs.search import SEARCHES, Outcome, Question, Rules, Verdict, chart_of
from flatdirs.search import make as make_search
from flatdirs.space.coordinates import Point
from flatdirs.space.grid import Grid as Lattice

Hyperparameters = Mapping[str, float]


class Unavailable(Exception):
    """A method that is not here: a search not in SEARCHES, a package not installed."""


class Method(Protocol):
    """A search, one run at a time."""

    @property
    def returned(self) -> Hyperparameters | None:
        """What it would return now; None before the first run."""

    def ask(self) -> Hyperparameters | None:
        """The next run, or None when the search is over."""

    def tell(self, sample: Sample) -> None:
        """What the run asked for last came to."""


class Own:
    """One of flatdirs' searches from a start; its walls are the chart's, it has no box."""

    def __init__(self, name: str, surface: Surface, start: Hyperparameters) -> None:
        if name not in SEARCHES:
            raise Unavailable(f"there is no search {name}")
        self._lattice = Lattice(chart_of(name, surface.chart), start)
        self._outcome: Callable[[Sample], Outcome] = surface.outcome
        self._generator = make_search(name, self._lattice, rules(name))()
        self._answers: dict[tuple[Point, int], Outcome] = {}
        self._question: Question | None = None
        self._incumbent: Point | None = None
        self._step(lambda: next(self._generator))

    @property
    def returned(self) -> Hyperparameters | None:
        """The incumbent of the last verdict."""
        return None if self._incumbent is None else self._lattice.hyperparameters(self._incumbent)

    def ask(self) -> Hyperparameters | None:
        """The pending question's point."""
        return None if self._question is None else self._lattice.hyperparameters(self._question.point)

    @property
    def repeat(self) -> int:
        """How often the pending question's point was asked before with other seeds."""
        return 0 if self._question is None else self._question.repeat

    def tell(self, sample: Sample) -> None:
        """Record the answer and go on to the next question that has none."""
        assert self._question is not None
        self._answers[self._question.point, self._question.repeat] = self._outcome(sample)
        while self._question is not None and (answer := self._known(self._question)) is not None:
            self._step(lambda answer=answer: self._generator.send(answer))  # type: ignore[misc]

    def _known(self, question: Question) -> Outcome | None:
        return self._answers.get((question.point, question.repeat))

    def _step(self, advance: Callable[[], Question | Verdict]) -> None:
        """Advance to the next question, through verdicts; to none at the end."""
        try:
            item = advance()
            while isinstance(item, Verdict):
                self._incumbent = item.incumbent
                item = next(self._generator)
            self._question = item
        except StopIteration as end:
            self._question = None
            self._incumbent = self._incumbent if end.value is None else end.value


def rules(name: str) -> Rules:
    """The rules of conf/search/NAME.yaml, which users have by default."""
    path = conf_folder() / "search" / f"{name}.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = {field.name for field in fields(Rules)}
    return Rules(**{key: value for key, value in found.items() if key in known})


def make(condition: Condition, surface: Surface, begin: Start | None, seed: int) -> Method:
    """The method of a condition, ready for its first run. Raises Unavailable."""
    from benchmarks.runs_to_target import baselines

    if condition.box == NONE:
        assert begin is not None
        return Own(condition.method, surface, begin.hyperparameters)
    ranges: Box = box(condition.lattice, condition.box)
    point = None if begin is None else begin.hyperparameters
    return baselines.make(condition.base, surface, ranges, point, seed)
