"""A study as the sampler sees it: the ranges that its trials suggested, the grid these make, runs and pending points.

A `Reader` belongs to one sampler and one study. It reads each finished trial once and holds nothing that the storage
does not hold, so it may be thrown away at any moment. Bounds are the ranges suggested last. The start is clipped and
rounded into the ranges suggested first (and into the last, where these leave it out), so that the first run is exactly
on it. A hyperparameter that no trial suggests is held at the start.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from flatdirs.backend import claims, optuna_private
from flatdirs.backend.trial_runs import claimed_id, counts_as_result, run_of
from flatdirs.errors import ChartError
from flatdirs.search.types import Run, RunId
from flatdirs.space.chart import Chart
from flatdirs.space.grid import Grid

if TYPE_CHECKING:
    from optuna.study import Study

Names = Mapping[str, tuple[str, bool]]  # study parameter → (hyperparameter, whether the study holds 1 − value)
Space = tuple[FloatDistribution | IntDistribution, bool]  # and whether it is the range of 1 − value
NUMERIC = (FloatDistribution, IntDistribution)


@dataclass(frozen=True)
class View:
    """What one trial has to know. `grid` is None where the study suggests nothing of the chart; `mark` names the
    grid.
    """

    grid: Grid | None
    mark: str
    runs: tuple[Run, ...]
    pending: tuple[RunId, ...]


class Reader:
    """Reads one study for one sampler."""

    def __init__(self, study: Study, chart: Chart, start: Mapping[str, float], names: Names) -> None:
        self._lock = threading.Lock()
        self._storage = weakref.ref(optuna_private.storage_of(study))
        self._study_id = optuna_private.study_id(study)
        self._maximize = study.direction == StudyDirection.MAXIMIZE
        self._chart, self._start, self._names = chart, start, names
        self._anchor: tuple[int, int, Any] | None = None  # a finished trial that this study must still have
        self._ranges, self._points = _Progress(), _Progress()
        self._first: dict[str, tuple[int, Space]] = {}
        self._last: dict[str, tuple[int, Space]] = {}
        self._tried = False  # whether any trial that could have suggested something of the chart has ended
        self._grid: tuple[Any, Grid | None] = ((), None)
        self._mark = ""
        self._runs: dict[int, Run] = {}

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
            self._read_ranges(trial)
        grid = self._current_grid()
        if grid is None:
            return View(None, "", (), ())
        mark = fingerprint(grid)
        if mark != self._mark:
            self._mark, self._points, self._runs = mark, _Progress(), {}
        pending = []
        for trial in self._points.news(trials):
            found = self._id_of(trial, grid)
            if found is None or trial.number == number:
                continue
            run = run_of(trial, self._maximize, counts_as_result(trial, trials), *found)
            if run is not None:
                self._runs[trial.number] = run
            elif not trial.state.is_finished() and not claims.abandoned(trial, stale_seconds):
                pending.append(found)
        if self._anchor is None and (ended := next((t for t in trials if t.state.is_finished()), None)) is not None:
            self._anchor = (ended.number, optuna_private.trial_id(ended), ended.datetime_complete)
        return View(grid, mark, tuple(self._runs[n] for n in sorted(self._runs)), tuple(pending))

    def _read_ranges(self, trial: FrozenTrial) -> None:
        for parameter, space in trial.distributions.items():
            if parameter in self._names and isinstance(space, NUMERIC):
                name, one_minus = self._names[parameter]
                number = trial.number
                if name not in self._first or number < self._first[name][0]:
                    self._first[name] = (number, (space, one_minus))
                if name not in self._last or number > self._last[name][0]:
                    self._last[name] = (number, (space, one_minus))
                self._tried = self._tried or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        if trial.state.is_finished() and trial.state != TrialState.FAIL and claims.read(trial) is not None:
            self._tried = True

    def _current_grid(self) -> Grid | None:
        """The grid as the study's own parameters bound it; None where it has none of the chart's."""
        first = {name: space for name, (_, space) in self._first.items()}
        last = {name: space for name, (_, space) in self._last.items()}
        key = (first, last, self._tried)
        if key != self._grid[0]:
            self._grid = (key, self._new_grid(first, last))
        return self._grid[1]

    def _new_grid(self, first: Mapping[str, Space], last: Mapping[str, Space]) -> Grid | None:
        missing = set(self._chart.free) - set(last) if self._tried else set()
        if missing == set(self._chart.free):
            return None
        bounds = {name: _bounds(space) for name, space in last.items()}
        start = {name: _inside(_inside(value, first.get(name)), last.get(name)) for name, value in self._start.items()}
        try:
            chart = self._chart.fix(missing) if missing else self._chart
            return Grid(chart.within(bounds), start)
        except ChartError:  # ranges that the chart cannot work in, such as a momentum of 1 or a learning rate of 0
            return None

    def _id_of(self, trial: FrozenTrial, grid: Grid) -> RunId | None:
        """Where a trial is on the grid: as claimed on this very grid, else by its parameters."""
        claim = claims.read(trial) or {}
        if claim.get("grid") == self._mark:
            return None if self._suggested_nothing(trial) else claimed_id(trial)
        found = self._parameters(trial)
        if not trial.state.is_finished() and "hyperparameters" in claim:
            last = {name: space for name, (_, space) in self._last.items()}
            claimed = {name: _inside(value, last.get(name)) for name, value in claim["hyperparameters"].items()}
            found = {**claimed, **found}
        if not set(grid.chart.free) <= set(found):
            return None
        point = grid.locate({**grid.start, **found})
        return None if point is None else (point, 0)

    def _suggested_nothing(self, trial: FrozenTrial) -> bool:
        return trial.state.is_finished() and not any(parameter in self._names for parameter in trial.params)

    def _parameters(self, trial: FrozenTrial) -> dict[str, float]:
        """The chart's hyperparameters as a trial has them, or will have them once it runs."""
        found = {}
        for parameter, value in {**optuna_private.fixed_parameters(trial), **trial.params}.items():
            name, one_minus = self._names.get(parameter, (None, False))
            if name is not None and isinstance(value, (int, float)):
                found[name] = 1.0 - value if one_minus else value
        return found


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


def fit(value: float, space: FloatDistribution | IntDistribution) -> float | int:
    """The value nearest to `value` that a distribution holds."""
    value = min(max(float(value), float(space.low)), float(space.high))
    if space.step is not None and not space.log:
        value = space.low + round((value - space.low) / space.step) * space.step
        value = min(max(value, float(space.low)), float(space.high))
    return round(value) if isinstance(space, IntDistribution) else value


def fingerprint(grid: Grid) -> str:
    """Axes, step and start of a grid, without its bounds, which may change; short enough to store with every trial."""
    chart = grid.chart
    axes = "|".join(f"{axis.name}{[axis.exponents.get(name, 0) for name in chart.free]}" for axis in chart.axes)
    start = ",".join(f"{name}={value!r}" for name, value in sorted(grid.start.items()))
    return f"{axes};{chart.step!r};{start}"


def _inside(value: float, space: Space | None) -> float:
    """A hyperparameter's value as a study's range can hold it; untouched where it already can."""
    if space is None:
        return value
    distribution, one_minus = space
    wanted = 1.0 - value if one_minus else value
    held = fit(wanted, distribution)
    return value if held == wanted else (1.0 - held if one_minus else held)


def _bounds(space: Space) -> tuple[float, float]:
    distribution, one_minus = space
    low, high = float(distribution.low), float(distribution.high)
    return (1.0 - high, 1.0 - low) if one_minus else (low, high)
