"""The grid of a study: the sampler's chart and start, bounded by the ranges that the study's trials suggested.

Bounds are the ranges suggested last. The start is moved into the ranges suggested first (and into the last, where these
leave it out), so that the first run is exactly on it. A hyperparameter that no trial suggests as a number is held at
the start. Parameters outside the chart get axes of their own (further_parameters.py). What a user should know of this
is a sentence in `warnings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import claims
from flatdirs.backend.further_parameters import FurtherParameters
from flatdirs.backend.parameter_names import ParameterNames
from flatdirs.backend.ranges import NUMERIC, Range
from flatdirs.errors import ChartError
from flatdirs.space.chart import Chart
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid

SHOWN = 4  # parameters that a sentence names
WANTED = {"positive": "above 0", "average": "from 0 to below 1", "fraction": "between 0 and 1", "any": "at all"}


class StudyGrid:
    """Reads the ranges of one study, trial by trial, and makes the grid of them."""

    def __init__(
        self, chart: Chart, start: Mapping[str, float], names: ParameterNames, further: FurtherParameters | None
    ) -> None:
        self._chart, self._start, self._names, self._further = chart, start, names, further
        self._first: dict[str, tuple[int, Range]] = {}
        self._last: dict[str, tuple[int, Range]] = {}
        self._tried = False  # whether any trial that could have suggested something of the chart has ended
        self._others: dict[str, None] = {}  # parameters outside the chart
        self._grid: tuple[Any, Grid | None] = ((), None)
        self._notes: dict[str, str] = {}

    @property
    def warnings(self) -> list[str]:
        """What a user should know, a sentence each."""
        return list(self._notes.values())

    @property
    def last(self) -> dict[str, Range]:
        """The ranges suggested last, by hyperparameter."""
        return {name: space for name, (_, space) in self._last.items()}

    def read(self, trial: FrozenTrial) -> None:
        """Take in the ranges of one trial."""
        if self._further is not None:
            self._further.read(trial)
        ended, seen = trial.state in (TrialState.COMPLETE, TrialState.PRUNED), dict[str, str]()
        for parameter, space in trial.distributions.items():
            known = self._names.find(parameter)
            if known is None:
                self._others.setdefault(parameter)
                continue
            self._tried = self._tried or ended
            if known[0] in seen:
                self._note_two(known[0], seen[known[0]], parameter)
            seen[known[0]] = parameter
            if isinstance(space, NUMERIC):
                self._keep(trial.number, known[0], Range.of(self._chart, known[0], space, known[1]))
            elif isinstance(space, CategoricalDistribution):
                self._note_categorical(parameter, space)
        if trial.state.is_finished() and trial.state != TrialState.FAIL and claims.read(trial) is not None:
            self._tried = True

    def current(self) -> Grid | None:
        """The grid as the ranges bound it; None where the study has no parameter that the chart could use."""
        first, further = {name: space for name, (_, space) in self._first.items()}, self._chosen()
        key = (first, self.last, further, self._tried)
        if key != self._grid[0]:
            self._grid = (key, self._new(first, self.last, further))
        return self._grid[1]

    def _keep(self, number: int, name: str, space: Range) -> None:
        if name not in self._first or number < self._first[name][0]:
            self._first[name] = (number, space)
        if name not in self._last or number > self._last[name][0]:
            self._last[name] = (number, space)

    def _chosen(self) -> tuple[Further, ...]:
        return () if self._further is None else tuple(self._further.chosen.values())

    def _new(self, first: Mapping[str, Range], last: Mapping[str, Range], further: tuple[Further, ...]) -> Grid | None:
        start = dict(self._start)
        usable = {name: space for name, space in last.items() if self._is_usable(name, space, start)}
        missing = set(self._chart.free) - set(usable) if self._tried or len(usable) < len(last) else set()
        if missing == set(self._chart.free):
            self._note_nothing(last)
            return None
        for name in set(start) - (set(last) - set(usable)):
            start[name] = self._moved(name, [space for space in (first.get(name), last.get(name)) if space is not None])
        try:
            chart = self._chart.fix(missing) if missing else self._chart
            chart, more = with_further(chart.within({name: space.bounds for name, space in usable.items()}), further)
            return Grid(chart, {**start, **more})
        except ChartError as error:
            self._notes["chart"] = f"all parameters of this study are drawn at random, because {error}"
            return None

    def _is_usable(self, name: str, space: Range, start: dict[str, float]) -> bool:
        """Whether the chart can use a range; one with a single value, such as 0, becomes the start and is held."""
        if space.ends is not None:
            return True
        if space.constant is not None and space.constant >= 0 and space.kind == "positive":
            start[name] = space.constant
        else:
            wanted = WANTED[space.kind]
            self._notes[name] = (
                f"{name} has no value {wanted} in the study's range {space}, so it is drawn at random; change the range"
            )
        return False

    def _moved(self, name: str, spaces: list[Range]) -> float:
        """The start of a hyperparameter inside these ranges."""
        value = self._start[name]
        for space in spaces:
            here = space.inside(value) if space.ends is not None else value
            if here != value and name in self._chart.free and not space.holds(value):
                self._notes[name] = (
                    f"the start {name}={value:g} would be {1 if space.kind == 'average' else 0} in the study's range "
                    f"{space}: the search starts at {name}={here:g}; give another start, as in "
                    f"start={{'{name}': {here:g}}}, or suggest a range without steps"
                )
            value = here
        return value

    def _note_two(self, name: str, one: str, other: str) -> None:
        self._notes[f"{name} twice"] = (
            f"{one} and {other} both look like {name} and get the same values; say which is meant, as in "
            f"names={{'{name}': '{one}'}}"
        )

    def _note_categorical(self, parameter: str, space: CategoricalDistribution) -> None:
        numbers = [choice for choice in space.choices if isinstance(choice, (int, float)) and choice > 0]
        ends = f"{min(numbers):g}, {max(numbers):g}" if numbers else "low, high"
        self._notes[parameter] = (
            f"{parameter} is categorical, so it is drawn at random; suggest a number, as in "
            f"trial.suggest_float('{parameter}', {ends})"
        )

    def _note_nothing(self, last: Mapping[str, Range]) -> None:
        if last or any(self._names.find(parameter) for parameter in self._notes):
            return  # each has a sentence of its own
        others = list(self._others)
        told = f" ({', '.join(others[:SHOWN])}{', …' if len(others) > SHOWN else ''})" if others else ""
        example = others[0] if others else "eta"
        self._notes["nothing"] = (
            f"no parameter of this study{told} is one of {', '.join(self._chart.free)}, so all are drawn at random; "
            f"say which is which, as in names={{'{self._chart.free[0]}': '{example}'}}, or use another sampler"
        )
