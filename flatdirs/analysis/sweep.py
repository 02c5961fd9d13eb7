"""A study as plain frozen records. Every analysis in this folder is a pure function of a `Sweep`.

read_study.py makes the records from an Optuna study, of flatdirs or not. A loss is always lower-is-better; where a
study recorded none it is the objective value, with its sign turned where the study maximises (`Sweep.loss_name`).
Evaluations are counted from 1, whatever steps a study reported at. An analysis that has too few runs returns `Missing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from flatdirs.curvature.log_record import CurvatureRecord
from flatdirs.space.chart import Chart
from flatdirs.space.names import enters_as_one_minus, label

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Points = tuple[tuple[int, float], ...]  # (step as the study counts it, value), in the order of steps
State = Literal["finished", "pruned", "diverged"]
VARIES = 1e-9  # in doublings; a coordinate that spans less was held, not searched


@dataclass(frozen=True)
class Missing:
    """Why an analysis has no result, as one sentence."""

    sentence: str


@dataclass(frozen=True)
class Range:
    """The range of a hyperparameter, under the study's own name. `log`: sampled log-uniformly."""

    name: str
    low: float
    high: float
    log: bool


@dataclass(frozen=True)
class Run:
    """One run. `number`: as tune and status count, from 1; in a study of somebody else the trial's, from 0.

    `hyperparameters` have flatdirs' names, momentum as momentum. `value` has the study's unit and direction, `loss` is
    lower-is-better; both are None where the run did not finish. `losses` and `metrics`: the evaluations. `rates` and
    `gradient_norms`: learning rate and gradient norm of every step, empty where not recorded. `curvature`: the records
    of the first seed. `train_losses`: its mean training loss between evaluations, at the step half-way between them.
    `choices`: the hyperparameters that are no numbers, which no analysis reads.
    """

    number: int
    state: State
    hyperparameters: Mapping[str, float]
    value: float | None = None
    loss: float | None = None
    losses: Points = ()
    metrics: Points = ()
    rates: tuple[float, ...] = ()
    gradient_norms: tuple[float, ...] = ()
    curvature: tuple[CurvatureRecord, ...] = ()
    train_losses: tuple[tuple[float, float], ...] = ()
    choices: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.state == "finished" and self.loss is not None


@dataclass(frozen=True)
class Sweep:
    """A study as records.

    `loss_name`: what `loss` is. `metric`: the name of what `metrics` hold, None without any. `chart`: the coordinates
    that fit the hyperparameters, None where no chart has them. `warmup`: the share of a run in which the learning rate
    rises, None where it is not known. `identity` and `command` (the overrides of `tune`): what flatdirs keeps with its
    studies, empty for others.
    """

    name: str
    maximize: bool
    loss_name: str
    runs: tuple[Run, ...]
    ranges: tuple[Range, ...] = ()
    chart: Chart | None = None
    metric: str | None = None
    warmup: float | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """What stands before the number of a run."""
        return "run" if self.identity else "trial"

    @cached_property
    def finished_runs(self) -> tuple[Run, ...]:
        """In the order of the study."""
        return tuple(run for run in self.runs if run.finished)

    @cached_property
    def best(self) -> Run | None:
        """The finished run with the best objective value."""
        scored = [run for run in self.finished_runs if run.value is not None]
        sign = 1.0 if self.maximize else -1.0
        return max(scored, key=lambda run: sign * (run.value or 0.0), default=None)

    @cached_property
    def evaluations(self) -> tuple[int, ...]:
        """The steps at which any run reported; the nth of them is evaluation n."""
        return tuple(sorted({step for run in self.runs for step, _ in (*run.losses, *run.metrics)}))


@dataclass(frozen=True)
class Coordinates:
    """Where runs lie: `logs` has shape (runs, names), log2. `left_out`: hyperparameters without a logarithm."""

    names: tuple[str, ...]
    logs: Numbers
    left_out: tuple[str, ...] = ()


def raw_coordinates(runs: Sequence[Run]) -> Coordinates:
    """The hyperparameters that were varied, momentum and beta1 as 1 − value.

    A hyperparameter that is zero or absent in some run is left out, by name.
    """
    columns = {name: _log2(runs, name) for name in _names(runs)}
    left_out = tuple(name for name, column in columns.items() if not np.isfinite(column).all())
    return _varied({label(name, enters_as_one_minus(name)): logs for name, logs in columns.items()}, runs, left_out)


def chart_coordinates(chart: Chart, runs: Sequence[Run]) -> Coordinates:
    """The coordinates of a chart that were varied. One that some run lacks is left out."""
    columns = {
        axis.name: sum(
            (float(power) * _log2(runs, name) for name, power in axis.exponents.items()), np.zeros(len(runs))
        )
        for axis in chart.axes
    }
    return _varied(columns, runs)


def _varied(columns: Mapping[str, Numbers], runs: Sequence[Run], left_out: tuple[str, ...] = ()) -> Coordinates:
    kept = {name: c for name, c in columns.items() if len(c) and np.isfinite(c).all() and np.ptp(c) > VARIES}
    logs = np.stack(list(kept.values()), axis=1) if kept else np.zeros((len(runs), 0))
    return Coordinates(tuple(kept), logs, left_out)


def _names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.hyperparameters))


def _log2(runs: Sequence[Run], name: str) -> Numbers:
    """log2 of a hyperparameter, of 1 − value for momentum and beta1; nan where there is none. Shape (runs,)."""
    values = np.array([run.hyperparameters.get(name, math.nan) for run in runs])
    values = 1.0 - values if enters_as_one_minus(name) else values
    return np.log2(np.where(values > 0, values, np.nan))


def geometric_centre(runs: Iterable[Run]) -> dict[str, float]:
    """The mean of runs in logarithms, as hyperparameters (momentum as momentum)."""
    runs, centre = list(runs), {}
    for name in _names(runs):
        mean = float(2.0 ** _log2(runs, name).mean())
        if math.isfinite(mean):
            centre[name] = 1.0 - mean if enters_as_one_minus(name) else mean
    return centre


def value_at(points: Points, step: int) -> float | None:
    """The last value reported up to `step`; None where the run had none yet or ended before."""
    if not points or points[-1][0] < step:
        return None
    return next((value for at, value in reversed(points) if at <= step), None)


def median(values: Iterable[float]) -> float:
    """The median of the finite values, nan without any."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan
