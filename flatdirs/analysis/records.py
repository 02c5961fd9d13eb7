"""A finished or running sweep as plain frozen records: what every analysis here is a pure function of.

reading.py makes them from an Optuna study, ours or anybody's. Losses are lower-is-better throughout; where a study
kept none, its value takes their place with its sign turned, and `Sweep.judged_by` says so. Evaluations are counted,
not iterated: rung 25 is the 25th evaluation, whatever a study calls its steps (the source's own mistake).

An analysis that has too little to go on returns `Missing`, one sentence, in the place of its result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from flatdirs.curvature.record import CurvatureRecord
from flatdirs.space.coordinates import Chart
from flatdirs.space.names import enters_as_one_minus, label

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Points = tuple[tuple[int, float], ...]  # (step as the study counts it, value), in the order of steps
State = Literal["finished", "pruned", "diverged"]
VARIES = 1e-9  # a coordinate that spans less than this (in octaves) is held, not searched


@dataclass(frozen=True)
class Missing:
    """Why an analysis has no result, as one sentence."""

    sentence: str


@dataclass(frozen=True)
class Range:
    """What a hyperparameter was searched in, as the study calls it; `log`: log-uniformly."""

    name: str
    low: float
    high: float
    log: bool


@dataclass(frozen=True)
class Run:
    """One run that counts. `number`: the trial's, from 0.

    `hyperparameters` under flatdirs' names, momentum as momentum. `value` in the study's own unit and direction,
    `loss` lower-is-better, both None where the run did not finish. `losses` and `metrics`: the evaluations.
    `learning_rates` and `gradient_norms`: one a step, empty where nobody recorded them. `curvature`: the first seed's
    records, and `train_losses` its mean training loss between evaluations, against the step half-way between.
    """

    number: int
    state: State
    hyperparameters: Mapping[str, float]
    value: float | None = None
    loss: float | None = None
    losses: Points = ()
    metrics: Points = ()
    learning_rates: tuple[float, ...] = ()
    gradient_norms: tuple[float, ...] = ()
    curvature: tuple[CurvatureRecord, ...] = ()
    train_losses: tuple[tuple[float, float], ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run came to its end with a loss: a survivor."""
        return self.state == "finished" and self.loss is not None


@dataclass(frozen=True)
class Sweep:
    """A study as records.

    `judged_by`: what `loss` is, in words. `metric`: the name of what `metrics` hold, None without any. `chart`: the
    flat coordinates that fit the hyperparameters searched, None where no chart has them. `identity` and `command` (the
    overrides of `tune`): what flatdirs keeps with its studies, empty for others'. `warmup`: the share of a run in which
    the learning rate rises, None where nobody knows.
    """

    name: str
    maximize: bool
    judged_by: str
    runs: tuple[Run, ...]
    ranges: tuple[Range, ...] = ()
    chart: Chart | None = None
    metric: str | None = None
    warmup: float | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()

    @cached_property
    def survivors(self) -> tuple[Run, ...]:
        """The runs that came to their end, in the order of the study."""
        return tuple(run for run in self.runs if run.finished)

    @cached_property
    def best(self) -> Run | None:
        """The survivor with the best value, the study's own judgement."""
        scored = [run for run in self.survivors if run.value is not None]
        sign = 1.0 if self.maximize else -1.0
        return max(scored, key=lambda run: sign * (run.value or 0.0), default=None)

    @cached_property
    def evaluations(self) -> tuple[int, ...]:
        """The steps at which anything was reported; the nth of them is evaluation n."""
        return tuple(sorted({step for run in self.runs for step, _ in (*run.losses, *run.metrics)}))


@dataclass(frozen=True)
class Coordinates:
    """A sweep's runs in logarithms: `logs` is (runs, names), in octaves, with the same names for a user to read.

    `left_out`: hyperparameters without a logarithm (zero, or not set in every run), by name.
    """

    names: tuple[str, ...]
    logs: Numbers
    left_out: tuple[str, ...] = ()


def raw_coordinates(runs: Sequence[Run]) -> Coordinates:
    """Each hyperparameter that was varied, momentum and beta1 as one minus, log2: (runs, hyperparameters).

    What some run lacks, or has at zero, has no place in logarithms and is left out by name.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.hyperparameters))
    columns, kept, left_out = [], [], []
    for name in names:
        values = [inner(name, run.hyperparameters.get(name, math.nan)) for run in runs]
        if not all(value > 0 and math.isfinite(value) for value in values):
            left_out.append(name)
        elif np.ptp(logs := np.log2(values)) > VARIES:
            columns.append(logs)
            kept.append(label(name, enters_as_one_minus(name)))
    return Coordinates(tuple(kept), _columns(columns, len(runs)), tuple(left_out))


def flat_coordinates(chart: Chart, runs: Sequence[Run]) -> Coordinates:
    """The chart's coordinates that vary, log2: (runs, axes). Runs that lack a hyperparameter have nan."""
    columns, kept = [], []
    for axis in chart.axes:
        column = np.zeros(len(runs))
        for name, power in axis.exponents.items():
            values = [inner(name, run.hyperparameters.get(name, math.nan)) for run in runs]
            column += power * np.log2([value if value > 0 else math.nan for value in values])
        if np.isfinite(column).all() and np.ptp(column) > VARIES:
            columns.append(column)
            kept.append(axis.name)
    return Coordinates(tuple(kept), _columns(columns, len(runs)))


def _columns(columns: Sequence[Numbers], runs: int) -> Numbers:
    return np.stack(columns, axis=1) if columns else np.zeros((runs, 0))


def inner(name: str, value: float) -> float:
    """A hyperparameter as it enters the products."""
    return 1.0 - value if enters_as_one_minus(name) else float(value)


def value_at(points: Points, step: int) -> float | None:
    """The last value reported up to `step`, None where the run had none yet or had ended before."""
    if not points or points[-1][0] < step:
        return None
    return next((value for at, value in reversed(points) if at <= step), None)


def geometric_centre(runs: Iterable[Run]) -> dict[str, float]:
    """The mean of runs in logarithms, back in user's units (momentum as momentum)."""
    runs = list(runs)
    centre = {}
    for name in dict.fromkeys(name for run in runs for name in run.hyperparameters):
        values = [inner(name, run.hyperparameters.get(name, math.nan)) for run in runs]
        if all(value > 0 and math.isfinite(value) for value in values):
            mean = math.exp(float(np.mean(np.log(values))))
            centre[name] = 1.0 - mean if enters_as_one_minus(name) else mean
    return centre
