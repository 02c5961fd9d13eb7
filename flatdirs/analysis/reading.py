"""Optuna study → `Sweep`: ours, with all that our objectives keep, or anybody's that follows the usual names.

Ours: `setting` has the hyperparameters, `outcome` state, value and loss, `curve` the evaluations, `steps` the arrays of
every step. Others': parameters lr (lr), momentum, wd (wd), beta1, batch_size, or one_minus_ before
a name; intermediate values and the value are losses where the study minimises, and turned round where it maximises.
A failed trial of theirs counts as diverged, as does a pruned one whose last value is not finite.
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

from flatdirs.analysis.records import Points, Range, Run, State, Sweep
from flatdirs.backend.outcomes import SETTING, outcome_of, swallowed
from flatdirs.backend.trials import COMMAND, CURVATURE, CURVE, IDENTITY, PROVENANCE
from flatdirs.config.values import read_named
from flatdirs.curvature.record import records
from flatdirs.errors import ChartError, StudyError
from flatdirs.space.coordinates import Axis, Chart
from flatdirs.space.library import named_chart, read_chart
from flatdirs.space.names import ONE_MINUS, hyperparameter, label
from flatdirs.training.schedule import SCHEDULES
from flatdirs.training.tuners import TUNERS

STEPS = "steps"  # a trial's arrays of every step: {"lr": […], "gradient_norm": […]}
COUNTED = ("evaluation", "number", "step")  # what an entry of a curve may call its place
PLAIN_LOSS = ("loss", "accuracy", "value", "none", None)  # what a study's `metric` is called where it is none


def read_sweep(storage: BaseStorage, name: str) -> Sweep:
    """A stored study as records. Raises StudyError where there is none, or where it has several objectives."""
    names = sorted(summary.study_name for summary in optuna.get_all_study_summaries(storage, include_best_trial=False))
    if name not in names:
        raise StudyError(f"there is no study {name} here ({', '.join(names) or 'none at all'}); change study or output")
    return sweep_of(optuna.load_study(study_name=name, storage=storage))


def sweep_of(study: optuna.Study) -> Sweep:
    """Any Optuna study with one objective as records. Raises StudyError where it has several."""
    if len(study.directions) != 1:
        raise StudyError(
            f"study {study.study_name} has {len(study.directions)} objectives; analyze reads studies of one"
        )
    identity = dict(study.user_attrs.get(IDENTITY, {}))
    trials = study.get_trials(deepcopy=False)
    maximize = study.direction == StudyDirection.MAXIMIZE
    metric = _metric(identity, study)
    runs = [run for trial in trials if (run := _run(trial, trials, maximize, metric)) is not None]
    runs, judged_by = _judged(runs, maximize, bool(identity))
    return Sweep(
        name=study.study_name,
        maximize=maximize,
        judged_by=judged_by,
        runs=tuple(runs),
        ranges=_ranges(trials),
        chart=_chart(identity, runs),
        metric=(metric or "metric") if any(run.metrics for run in runs) else None,
        warmup=_warmup(identity, runs),
        identity=identity,
        command=tuple(study.user_attrs.get(COMMAND, ())),
    )


def _metric(identity: Mapping[str, Any], study: optuna.Study) -> str | None:
    """The name of a metric that takes the losses' place in the intermediate values; None for plain ones."""
    kept = identity.get("metric", study.user_attrs.get("metric"))
    name = kept.get("name") if isinstance(kept, Mapping) else kept
    return None if name in PLAIN_LOSS else str(name)


def _run(trial: FrozenTrial, trials: Sequence[FrozenTrial], maximize: bool, metric: str | None) -> Run | None:
    """One trial as a record, None where it says nothing (waiting, running, interrupted)."""
    outcome = outcome_of(trial, maximize, swallowed(trial, trials))
    if outcome is None:
        return None
    reported = tuple(sorted((step, float(value)) for step, value in trial.intermediate_values.items()))
    state: State = outcome.state
    if state == "pruned" and reported and not math.isfinite(reported[-1][1]):
        state = "diverged"
    curve = trial.user_attrs.get(CURVE) or []
    losses, metrics = _mean_curve(curve, "loss"), _mean_curve(curve, "metric")
    if metric is not None:
        metrics = metrics or _finite(reported)
    elif not losses:
        losses = _finite((step, -value if maximize else value) for step, value in reported)
    rates, norms = _steps(trial)
    value = (outcome.score if maximize else -outcome.score) if state == "finished" else None
    loss = outcome.loss if state == "finished" else None
    if state == "finished" and loss is None and metric is not None and losses:
        loss = losses[-1][1]  # the value may be the metric
    watched = records(kept[0]) if (kept := trial.user_attrs.get(CURVATURE)) else ()
    trained = _train_losses(curve) if watched else ()
    return Run(
        trial.number, state, _hyperparameters(trial), value, loss, losses, metrics, rates, norms, watched, trained
    )


def _judged(runs: Sequence[Run], maximize: bool, ours: bool) -> tuple[list[Run], str]:
    """Runs that all have the same kind of loss, and what it is: the loss our objective kept, else the value."""
    finished = [run for run in runs if run.state == "finished"]
    if finished and all(run.loss is not None for run in finished):
        return list(runs), "validation loss" if ours else "loss"
    turned = [
        run if run.value is None else replace(run, loss=-run.value if maximize else run.value) for run in runs
    ]  # fmt: skip
    return turned, "value with its sign turned" if maximize else "value"


def _finite(points: Iterable[tuple[int, float]]) -> Points:
    return tuple((step, value) for step, value in points if math.isfinite(value))


def _mean_curve(curve: Sequence[Mapping[str, Any]], key: str) -> Points:
    """One quantity of a curve against its evaluation, the mean over seeds."""
    values: defaultdict[int, list[float]] = defaultdict(list)
    for entry in curve:
        step, value = next((entry[word] for word in COUNTED if word in entry), None), entry.get(key)
        if step is not None and value is not None and math.isfinite(value):
            values[int(step)].append(float(value))
    return tuple((step, sum(several) / len(several)) for step, several in sorted(values.items()))


def _steps(trial: FrozenTrial) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Learning rate and gradient norm of every step, as long as both were kept."""
    for kept in (trial.user_attrs.get(STEPS), (trial.user_attrs.get(PROVENANCE) or {}).get(STEPS)):
        if isinstance(kept, Mapping) and kept.get("lr") and kept.get("gradient_norm"):
            pairs = list(zip(kept["lr"], kept["gradient_norm"], strict=False))
            plain = [(math.nan if r is None else float(r), math.nan if n is None else float(n)) for r, n in pairs]
            return tuple(rate for rate, _ in plain), tuple(norm for _, norm in plain)
    return (), ()


def _train_losses(curve: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, float], ...]:
    """The first seed's training losses, each against the middle of the steps it is the mean of."""
    own = [entry for entry in curve if entry.get("seed") == curve[0].get("seed") and entry.get("steps")]
    ends = accumulate(int(entry["steps"]) for entry in own)
    pairs = [(end - entry["steps"] / 2, entry.get("train_loss")) for end, entry in zip(ends, own, strict=True)]
    return tuple((step, float(loss)) for step, loss in pairs if loss is not None)


def _hyperparameters(trial: FrozenTrial) -> dict[str, float]:
    """Numbers only, under flatdirs' names."""
    setting = trial.user_attrs.get(SETTING)
    if setting is not None:
        return {name: float(value) for name, value in setting["hyperparameters"].items()}
    found = {}
    for name, value in trial.params.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[hyperparameter(name)] = 1.0 - value if name.startswith(ONE_MINUS) else float(value)
    return found


def _ranges(trials: Sequence[FrozenTrial]) -> tuple[Range, ...]:
    """What each number was last asked for in, by the study's own names."""
    last: dict[str, Range] = {}
    for trial in trials:
        for name, space in trial.distributions.items():
            if isinstance(space, (FloatDistribution, IntDistribution)):
                last[name] = Range(name, float(space.low), float(space.high), space.log)
    return tuple(last.values())


def _chart(identity: Mapping[str, Any], runs: Sequence[Run]) -> Chart | None:
    """The study's own chart, or the one that fits its hyperparameters."""
    if kept := identity.get("chart"):
        chart = read_chart(kept)
        try:
            return named_chart(chart.name.removesuffix("-raw")) if chart.name.endswith("-raw") else chart
        except ChartError:
            return chart
    names = set.intersection(*(set(run.hyperparameters) for run in runs)) if runs else set()
    return fitting_chart(names)


def fitting_chart(names: Iterable[str]) -> Chart | None:
    """The chart of flatdirs that covers most of these hyperparameters, held to those; None where none covers two.

    Without momentum a rate and a weight decay are read as AdamW's. Axes lose what is not among the names, and are
    then named after what is left.
    """
    known = set(names)
    wanted = "adamw" if not {"momentum", "batch_size"} & known else "sgd_batch" if "batch_size" in known else "sgd"
    wanted = "sgd_plain" if wanted == "sgd" and "wd" not in known else wanted
    chart = named_chart(wanted)
    absent = [name for name in chart.hyperparameters if name not in known]
    if "lr" not in known or len(absent) > len(chart.hyperparameters) - 2:
        return None
    if not absent:
        return chart
    try:
        held = chart.fix(absent)
    except ChartError:
        return None
    axes = []
    for axis in held.axes:
        exponents = {name: power for name, power in axis.exponents.items() if name not in absent}
        axes.append(Axis(_axis_name(exponents, chart.one_minus), exponents, axis.first))
    return replace(held, axes=tuple(axes))


def _axis_name(exponents: Mapping[str, int], one_minus: frozenset[str]) -> str:
    """A product of powers of ±1 as people write it."""
    above = [name for name, power in exponents.items() if power > 0]
    below = [label(name, name in one_minus) for name, power in exponents.items() if power < 0]
    below = [f"({part})" if "−" in part else part for part in below]
    top = "·".join(label(name, name in one_minus) for name in above)
    return f"{top}/({'·'.join(below)})" if len(below) > 1 else f"{top}/{below[0]}" if below else top


def _warmup(identity: Mapping[str, Any], runs: Sequence[Run]) -> float | None:
    """The share of a run in which the rate rises: as the study's schedule says, else as a finished run recorded it."""
    schedule, epochs = identity.get("schedule"), (identity.get("task") or {}).get("epochs")
    if schedule and schedule.get("name") in TUNERS:
        return None  # its rate is found step by step
    if schedule and epochs:
        return read_named(SCHEDULES, "schedule", schedule).warmup(int(epochs)) / int(epochs)
    for run in runs:
        if run.state == "finished" and len(run.learning_rates) > 1:
            rates = run.learning_rates
            return rates.index(max(rates)) / len(rates)
    return None
