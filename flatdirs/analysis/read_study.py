"""Optuna study → `Sweep`, of flatdirs or of anybody else.

Runs of flatdirs hold hyperparameters, outcome, evaluations and steps in user attributes under `flatdirs:`. Of all other
trials only Optuna's own fields are read: parameters (lr or learning_rate, momentum, wd or weight_decay, beta1,
batch_size, or one_minus_ before a name), intermediate values and the value. These are taken to be losses, or, where the
study maximises, accuracies whose sign is turned. A failed trial counts as diverged, as does a pruned one whose last
intermediate value is not finite.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from flatdirs.analysis.chart_fit import fitting_chart
from flatdirs.analysis.sweep import Points, Range, Run, State, Sweep
from flatdirs.backend.liveness import STALE_SECONDS
from flatdirs.backend.trial_runs import SETTING, counts_as_result, run_of
from flatdirs.backend.trials import COMMAND, CURVATURE, CURVE, HANDED_OUT, IDENTITY, STEPS, Trials
from flatdirs.curvature.log_record import records
from flatdirs.errors import ChartError, StudyError
from flatdirs.space.chart import Chart
from flatdirs.space.names import ONE_MINUS, hyperparameter
from flatdirs.space.shipped_charts import named_chart, read_chart


def read_sweep(storage: BaseStorage, name: str) -> Sweep:
    """A stored study as records. Raises StudyError where there is none, or where it has several objectives."""
    names = sorted(summary.study_name for summary in optuna.get_all_study_summaries(storage, include_best_trial=False))
    if name not in names:
        known = ", ".join(names) or "no studies"
        raise StudyError(f"there is no study {name} in this storage, which has {known}; change study", key="study")
    return sweep_of(optuna.load_study(study_name=name, storage=storage))


def sweep_of(study: optuna.Study) -> Sweep:
    """Any Optuna study with one objective as records. Raises StudyError where it has several."""
    if (count := len(study.directions)) != 1:
        sentence = f"study={study.study_name} has {count} objectives, but analyze reads studies of one; change study"
        raise StudyError(sentence, key="study")
    identity = dict(study.user_attrs.get(IDENTITY, {}))
    trials = study.get_trials(deepcopy=False)
    maximize = study.direction == StudyDirection.MAXIMIZE
    metric = (identity.get("metric") or {}).get("name")
    metric = None if metric in (None, "loss", "accuracy") else str(metric)
    found = [_run(trial, not identity and counts_as_result(trial, trials), maximize, metric) for trial in trials]
    live = {trial.number for trial in Trials(study, maximize, STALE_SECONDS).live()}
    live |= {trial.number for trial in trials if HANDED_OUT in trial.user_attrs}
    counts = accumulate(int(run is not None or trial.number in live) for trial, run in zip(trials, found, strict=True))
    numbered = zip(found, counts if identity else range(len(trials)), strict=True)
    runs = [replace(run, number=number) for run, number in numbered if run is not None]
    runs, loss_name = _with_loss(runs, maximize, bool(identity))
    return Sweep(
        name=study.study_name,
        maximize=maximize,
        loss_name=loss_name,
        runs=tuple(runs),
        ranges=_ranges(trials),
        chart=_chart(identity, runs),
        metric=metric if any(run.metrics for run in runs) else None,
        warmup=_warmup(runs),
        identity=identity,
        command=tuple(study.user_attrs.get(COMMAND, ())),
    )


def _run(trial: FrozenTrial, failure_counts: bool, maximize: bool, metric: str | None) -> Run | None:
    """One trial as a record; None while it waits or runs, or after it was interrupted."""
    outcome = run_of(trial, maximize, failure_counts)
    if outcome is None:
        return None
    reported = tuple(sorted((step, float(value)) for step, value in trial.intermediate_values.items()))
    state: State = outcome.state
    if state == "pruned" and reported and not math.isfinite(reported[-1][1]):
        state = "diverged"
    finished = state == "finished"
    curve = trial.user_attrs.get(CURVE) or []
    losses, metrics = _mean_curve(curve, "loss"), _mean_curve(curve, "metric")
    if metric is not None:
        metrics = metrics or _finite(reported)
    elif not losses:
        losses = _finite((step, -value if maximize else value) for step, value in reported)
    rates, norms = _steps(trial)
    numbers, choices = _hyperparameters(trial)
    curvature = records(kept[0]) if (kept := trial.user_attrs.get(CURVATURE)) else ()
    return Run(
        number=trial.number,
        state=state,
        hyperparameters=numbers,
        choices=choices,
        value=(outcome.value if maximize else -outcome.value) if finished else None,
        loss=outcome.loss if finished else None,
        losses=losses,
        metrics=metrics,
        rates=rates,
        gradient_norms=norms,
        curvature=curvature,
        train_losses=_train_losses(curve) if curvature else (),
    )


def _with_loss(runs: list[Run], maximize: bool, ours: bool) -> tuple[list[Run], str]:
    """Runs with one kind of loss, and its name: the recorded loss if every finished run has one, else the value."""
    finished = [run for run in runs if run.state == "finished"]
    if finished and all(run.loss is not None for run in finished):
        return runs, "validation loss" if ours else "loss"
    turned = [run if run.value is None else replace(run, loss=-run.value if maximize else run.value) for run in runs]
    return turned, "value with its sign turned" if maximize else "value"


def _finite(points: Iterable[tuple[int, float]]) -> Points:
    return tuple((step, value) for step, value in points if math.isfinite(value))


def _mean_curve(curve: Sequence[Mapping[str, Any]], key: str) -> Points:
    """One quantity of a curve against the number of its evaluation, the mean over seeds."""
    values: defaultdict[int, list[float]] = defaultdict(list)
    for entry in curve:
        value = entry.get(key)
        if value is not None and math.isfinite(value):
            values[int(entry["number"])].append(float(value))
    return tuple((number, sum(several) / len(several)) for number, several in sorted(values.items()))


def _steps(trial: FrozenTrial) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Learning rate and gradient norm of the recorded steps, nan where they were not finite."""
    kept = trial.user_attrs.get(STEPS) or {}
    rates, norms = ([math.nan if x is None else float(x) for x in kept.get(key, ())] for key in ("lr", "gradient_norm"))
    return tuple(rates), tuple(norms)


def _train_losses(curve: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, float], ...]:
    """The first seed's training losses, each at the middle of the steps that it is the mean of."""
    own = [entry for entry in curve if entry.get("seed") == curve[0].get("seed") and entry.get("steps")]
    ends = accumulate(int(entry["steps"]) for entry in own)
    pairs = [(end - entry["steps"] / 2, entry.get("train_loss")) for end, entry in zip(ends, own, strict=True)]
    return tuple((step, float(loss)) for step, loss in pairs if loss is not None)


def _hyperparameters(trial: FrozenTrial) -> tuple[dict[str, float], dict[str, Any]]:
    """A trial's parameters under flatdirs' names: the numbers, and of our own studies the choices."""
    setting = trial.user_attrs.get(SETTING)
    told = trial.params if setting is None else setting["hyperparameters"]
    numbers, choices = dict[str, float](), dict[str, Any]()
    for name, value in told.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            choices[name] = value
        elif setting is not None:
            numbers[name] = float(value)
        else:
            numbers[hyperparameter(name)] = 1.0 - value if name.startswith(ONE_MINUS) else float(value)
    return numbers, {} if setting is None else choices


def _ranges(trials: Sequence[FrozenTrial]) -> tuple[Range, ...]:
    """The last range of each numeric parameter, under the study's own name."""
    last: dict[str, Range] = {}
    for trial in trials:
        for name, space in trial.distributions.items():
            if isinstance(space, (FloatDistribution, IntDistribution)):
                last[name] = Range(name, float(space.low), float(space.high), space.log)
    return tuple(last.values())


def _chart(identity: Mapping[str, Any], runs: Sequence[Run]) -> Chart | None:
    """The study's own chart (for search=raw the one that it leaves out), or the one that fits its hyperparameters."""
    if kept := identity.get("chart"):
        chart = read_chart(kept)
        try:
            return named_chart(chart.name.removesuffix("-raw")) if chart.name.endswith("-raw") else chart
        except ChartError:
            return chart
    return fitting_chart(set.intersection(*(set(run.hyperparameters) for run in runs)) if runs else ())


def _warmup(runs: Sequence[Run]) -> float | None:
    """The share of a run in which the learning rate rises, from a finished run that recorded it.

    None where no run did, or where the rate is found step by step, as CDAT does: such runs have no lr of their own.
    """
    recorded = (run.rates for run in runs if run.finished and len(run.rates) > 1 and "lr" in run.hyperparameters)
    return next((rates.index(max(rates)) / len(rates) for rates in recorded), None)
