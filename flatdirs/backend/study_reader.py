"""A study as the sampler sees it: the grid that its ranges make, its runs and its pending points.

A `Reader` belongs to one sampler and one study. It reads each finished trial once and holds nothing that the storage
does not hold, so it may be thrown away at any moment. A trial is where its parameters are, on the grid or off it. What
was claimed for it counts for what it has not suggested yet, and says which replicate of its point it is.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from flatdirs.backend import claims, optuna_private
from flatdirs.backend.further_parameters import FurtherParameters
from flatdirs.backend.parameter_names import ParameterNames
from flatdirs.backend.ranges import Range
from flatdirs.backend.study_grid import StudyGrid
from flatdirs.backend.trial_runs import claimed_id, counts_as_result, run_of
from flatdirs.search.types import Run, RunId
from flatdirs.space.chart import Chart
from flatdirs.space.grid import Grid
from flatdirs.space.scales import describe_scale

if TYPE_CHECKING:
    from optuna.study import Study

AS_CLAIMED = 1e-6  # relative difference up to which a parameter is the one that was claimed


@dataclass(frozen=True)
class View:
    """What one trial has to know.

    `grid` is None where the chart can use nothing of the study; `mark` names the grid. `runs` and their trials'
    `numbers`; `foreign`: how many of them our sampler did not suggest. `ranges`: those suggested last. `warnings`:
    sentences that this reader has not handed out before.
    """

    grid: Grid | None
    mark: str = ""
    runs: tuple[Run, ...] = ()
    numbers: tuple[int, ...] = ()
    pending: tuple[RunId, ...] = ()
    foreign: int = 0
    ranges: Mapping[str, Range] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Reader:
    """Reads one study for one sampler.

    `between`: whether the search can use runs between the points of its grid, and axes beyond those of the chart.
    """

    def __init__(
        self, study: Study, chart: Chart, start: Mapping[str, float], names: ParameterNames, between: bool
    ) -> None:
        self._lock = threading.Lock()
        self._storage = weakref.ref(optuna_private.storage_of(study))
        self._study_id = optuna_private.study_id(study)
        self._maximize = study.direction == StudyDirection.MAXIMIZE
        self._names, self._between, self._choices = names, between, frozenset(chart.choices)
        self._further = FurtherParameters(names, chart) if between else None
        self._space = StudyGrid(chart, start, names, self._further)
        self._anchor: tuple[int, int, Any] | None = None  # a finished trial that this study must still have
        self._ranges, self._points = _Progress(), _Progress()
        self._mark = ""
        self._runs: dict[int, Run] = {}
        self._foreign: set[int] = set()
        self._told: set[str] = set()

    def reads(self, study: Study, trials: Sequence[FrozenTrial]) -> bool:
        """Whether this reader has read this very study (a deleted study's id and memory may be used again)."""
        if self._storage() is not optuna_private.storage_of(study) or self._study_id != optuna_private.study_id(study):
            return False
        if self._anchor is None:
            return True
        number, trial_id, ended = self._anchor
        if number >= len(trials):
            return False
        return (optuna_private.trial_id(trials[number]), trials[number].datetime_complete) == (trial_id, ended)

    def view(self, trials: Sequence[FrozenTrial], number: int, stale_seconds: float) -> View:
        """What trial `number` has to know. `trials`: all of the study's, oldest first."""
        with self._lock:
            return self._view(trials, number, stale_seconds)

    def _view(self, trials: Sequence[FrozenTrial], number: int, stale_seconds: float) -> View:
        for trial in self._ranges.news(trials):
            self._space.read(trial)
        grid = self._space.current()
        warnings = tuple(sentence for sentence in self._space.warnings if sentence not in self._told)
        self._told.update(warnings)
        if grid is None:
            return View(None, warnings=warnings)
        mark = fingerprint(grid)
        if mark != self._mark:
            self._mark, self._points, self._runs, self._foreign = mark, _Progress(), {}, set()
        pending = self._read_runs(trials, grid, number, stale_seconds)
        if self._anchor is None and (ended := next((t for t in trials if t.state.is_finished()), None)) is not None:
            self._anchor = (ended.number, optuna_private.trial_id(ended), ended.datetime_complete)
        numbers = tuple(sorted(self._runs))
        runs = tuple(self._runs[n] for n in numbers)
        return View(grid, mark, runs, numbers, tuple(pending), len(self._foreign), self._space.last, warnings)

    def _read_runs(self, trials: Sequence[FrozenTrial], grid: Grid, number: int, stale_seconds: float) -> list[RunId]:
        """Keep the runs of trials that have ended; returns the points and replicates of those that have not."""
        pending = []
        for trial in self._points.news(trials):
            found = self._id_of(trial, grid)
            if found is None or trial.number == number:
                continue
            run = run_of(trial, self._maximize, counts_as_result(trial, trials), *found)
            if run is not None:
                self._runs[trial.number] = run
                if claims.read(trial) is None:
                    self._foreign.add(trial.number)
            elif not trial.state.is_finished() and not claims.abandoned(trial, stale_seconds):
                pending.append(found)
        return pending

    def _id_of(self, trial: FrozenTrial, grid: Grid) -> RunId | None:
        """Where a trial is: at the point it claimed where its parameters are that point's, else where they are."""
        claim = claims.read(trial) or {}
        ours = claim.get("grid") == self._mark and claim.get("point") is not None
        values = self._values(trial, claim, ours)
        complete = set(grid.chart.free) | set(grid.chart.open_choices) <= set(values)
        if ours and complete and self._as_claimed(grid, claim["hyperparameters"], values):
            return claimed_id(trial)
        if not set(grid.chart.free) - self._further_names <= set(values):
            return None
        values = {**grid.start, **values}
        point = grid.place(values) if self._between else grid.locate(values)
        return None if point is None else (point, 0)

    def _values(self, trial: FrozenTrial, claim: Mapping[str, Any], ours: bool) -> dict[str, Any]:
        """The chart's hyperparameters as a trial has them, or will have them once it has suggested them."""
        parameters = {**optuna_private.fixed_parameters(trial), **trial.params}
        found = self._names.values(parameters)
        found |= {name: value for name, value in parameters.items() if name in self._choices}
        found |= {} if self._further is None else self._further.values(parameters)
        finished = trial.state.is_finished()
        if (finished and not (ours and found)) or "hyperparameters" not in claim:
            return found
        ranges = self._space.last
        left_out = self._further_names if finished else set()
        claimed = {name: value for name, value in claim["hyperparameters"].items() if name not in left_out}
        return {**{n: ranges[n].inside(value) if n in ranges else value for n, value in claimed.items()}, **found}

    @property
    def _further_names(self) -> set[str]:
        """Hyperparameters outside the chart; a run that suggested one of them not counts as at its start."""
        return set() if self._further is None else {one.name for one in self._further.chosen.values()}

    def _as_claimed(self, grid: Grid, claimed: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Whether a trial ran the point it claimed. A search on whole points only lets the study's steps round it."""
        for name, value in values.items():
            wanted, space = claimed[name], self._space.last.get(name)
            if _same(grid, name, wanted, value):
                continue
            if self._between or space is None or not space.spans(wanted):
                return False
            if not _same(grid, name, space.inside(wanted), value):
                return False
        return True


class _Progress:
    """How far a list that only grows was read: up to `count`, without the trials that may still change."""

    def __init__(self) -> None:
        self.count = 0
        self.open: tuple[int, ...] = ()

    def news(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The trials that are new, or were not finished when last read."""
        fresh = [trials[index] for index in self.open if index < len(trials)]
        fresh.extend(trials[self.count :])
        still_open = [trial.number for trial in fresh if not trial.state.is_finished()]
        self.open = (*still_open, *(index for index in self.open if index >= len(trials)))
        self.count = max(self.count, len(trials))
        return fresh


def fingerprint(grid: Grid) -> str:
    """Axes, step and start of a grid, without its bounds, which may change; short enough to store with every trial."""
    chart = grid.chart
    axes = "|".join(f"{axis.name}{[axis.exponents.get(name, 0) for name in chart.free]}" for axis in chart.axes)
    start = ",".join(f"{name}={value!r}" for name, value in sorted(grid.start.items()))
    scales = "".join(f";{name}={describe_scale(scale)}" for name, scale in chart.scales.items())
    return f"{axes};{chart.step!r};{start}{scales}"


def _same(grid: Grid, name: str, one: Any, other: Any) -> bool:
    """Whether two values of a hyperparameter are one, as they enter the chart."""
    if name in grid.chart.choices:
        return bool(one == other)
    inner = grid.chart.inner
    return math.isclose(inner(name, one), inner(name, other), rel_tol=AS_CLAIMED)
