"""From plain settings (what Hydra composed) to frozen domain objects: the one place where that happens.

Every reader raises ConfigError (or the domain's own error) with one sentence that names the key; keys.py reads single
values. Nothing beyond this module sees a mapping of settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flatdirs.backend.pruner_settings import PRUNERS, NoPruning, Pruning
from flatdirs.backend.search_plan import SearchPlan, plan_identity
from flatdirs.backend.storages import StorageConfig
from flatdirs.config.curvature import read_curvature
from flatdirs.config.search import read_plan
from flatdirs.config.values import (
    check_picture,
    check_writable,
    read_choice,
    read_dataclass,
    read_integer,
    read_named,
    read_study_name,
    read_value,
)
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import Objective
from flatdirs.objectives.evaluation import evaluations_per_run, evaluations_without_value, with_evaluations
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.image import ImageObjective
from flatdirs.settings import describe
from flatdirs.space.coordinates import Chart
from flatdirs.training.lr_tuners import TUNERS, USUAL_SIGMA
from flatdirs.training.metrics import METRICS, Accuracy, Metric
from flatdirs.training.optimizer import OPTIMIZERS, Optimizer, Sgd
from flatdirs.training.records import ProbeConfig, TrainConfig
from flatdirs.training.schedule import SCHEDULES, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask

USUAL_MOMENTUM = 0.9  # of `train`, momentum or beta1
USUAL_STRENGTH = {"lr": 0.4, "sigma": USUAL_SIGMA}  # of `train`
ALL_SCHEDULES: Mapping[str, type[Schedule]] = {**SCHEDULES, **TUNERS}


@dataclass(frozen=True)
class Limits:
    """When a search ends. `target` is in the study's unit; all of these may change between two calls."""

    budget: int = 60
    target: float | None = None
    minutes: float | None = None
    confirm: int = 3


@dataclass(frozen=True)
class TuneConfig:
    """Everything one `tune` command says."""

    study: str
    output: Path
    storage: StorageConfig
    plan: SearchPlan
    objective: Objective
    limits: Limits
    maximize: bool
    repeats: int
    pruning: Pruning
    evaluations: int | None
    live: bool | None
    identity: Mapping[str, Any]
    task: ImageTask | CallableTask
    data: DataConfig


@dataclass(frozen=True)
class FindConfig:
    """Everything one `find_lr` command says. `training` has no learning rate that counts."""

    training: TrainConfig
    probing: ProbeConfig
    figure: Path | None


def read_schedule(settings: Mapping[str, Any]) -> Schedule:
    """The schedule group."""
    return read_named(ALL_SCHEDULES, "schedule", settings)


def read_optimizer(settings: Mapping[str, Any]) -> Optimizer:
    """The optimizer group."""
    return read_named(OPTIMIZERS, "optimizer", settings)


def read_tune(settings: Mapping[str, Any]) -> TuneConfig:
    """A whole `tune` configuration."""
    task = read_task(settings["task"])
    data = read_dataclass(DataConfig, settings["data"], "data.")
    objective = read_objective(task, data, settings)
    maximize = _maximize(objective, settings)
    seed = read_integer(settings, "seed", 0)
    if seed >= 2**31:
        raise ConfigError(f"seed={seed} must be below {2**31}; change seed")
    plan = read_plan(settings, task, seed)
    _check_fit(objective, plan.grid.chart)
    name = settings["study"] or f"{task.name}-{plan.name}"
    repeats = read_integer(settings, "repeats", 1)
    pruning = read_named(PRUNERS, "pruner", settings["pruner"])
    objective = with_evaluations(objective, plan.grid.start)
    evaluations = evaluations_per_run(objective, plan.grid.start)
    pruning.check(evaluations, evaluations_without_value(objective))
    return TuneConfig(
        study=read_study_name(name),
        output=Path(read_value(str, settings["output"], "output")),
        storage=read_storage(settings["storage"]),
        plan=plan,
        objective=objective,
        limits=_limits(settings, objective.unit),
        maximize=maximize,
        repeats=repeats,
        pruning=pruning,
        evaluations=evaluations,
        live=None if settings["live"] == "auto" else read_value(bool, settings["live"], "live"),
        identity=_identity(objective, data, plan, maximize, repeats, pruning),
        task=task,
        data=data,
    )


def read_train(settings: Mapping[str, Any]) -> TrainConfig:
    """A training configuration from plain settings. Raises ConfigError naming the key."""
    task = read_task(settings["task"])
    if not isinstance(task, ImageTask):
        raise ConfigError("task=callable has only your function, no model; choose an image task, such as task=digits")
    data = read_dataclass(DataConfig, settings["data"], "data.")
    optimizer = read_optimizer(settings["optimizer"])
    schedule = read_schedule(settings["schedule"])
    hints: dict[str, Any] = {
        "lr": float | None,
        "sigma": float | None,
        "wd": float,
        "seed": int,
        "batch_size": int | None,
    }
    hints |= {"device": str, "precision": str, "threads": int | None, "compile": bool}
    hints |= {"momentum": float | None, "beta1": float | None}
    plain = {key: read_value(hint, settings[key], key) for key, hint in hints.items()} | _gradient_keys(settings)
    if plain[optimizer.momentum_name] is None:
        plain[optimizer.momentum_name] = USUAL_MOMENTUM
    if schedule.rate_name is not None and plain[schedule.rate_name] is None:
        plain[schedule.rate_name] = USUAL_STRENGTH[schedule.rate_name]
    plain |= {"curvature": read_curvature(settings)}
    return TrainConfig(task=task, data=data, schedule=schedule, optimizer=optimizer, **plain)


def read_find_lr(settings: Mapping[str, Any]) -> FindConfig:
    """A whole `find_lr` configuration. Raises ConfigError naming the key."""
    unused = {"lr": 1.0, "sigma": None, "schedule": {"name": "constant"}, "compile": False}
    probing = {field.name: settings[field.name] for field in fields(ProbeConfig)}
    figure = read_value(str | None, settings["figure"], "figure")
    path = None if figure is None else Path(figure)
    if path is not None:
        check_writable(path, "figure", "curve.png")
        check_picture(path, "figure")
    return FindConfig(read_train({**settings, **unused}), read_dataclass(ProbeConfig, probing, ""), path)


def read_storage(settings: Mapping[str, Any]) -> StorageConfig:
    """The storage group. Raises ConfigError naming the key."""
    config = read_dataclass(StorageConfig, settings, "storage.")
    read_choice("storage.kind", config.kind, ("journal", "sqlite", "memory", "url"))
    if config.stale_minutes <= 0:
        raise ConfigError(f"storage.stale_minutes={config.stale_minutes:g} must be above 0; change it")
    return config


def read_task(settings: Mapping[str, Any]) -> ImageTask | CallableTask:
    """The task group: an image task, or a user's function where there is a key `function`."""
    if "function" in settings:
        return read_dataclass(CallableTask, settings, "task.")
    return read_dataclass(ImageTask, settings, "task.")


def read_objective(
    task: ImageTask | CallableTask, data: DataConfig, settings: Mapping[str, Any]
) -> ImageObjective | CallableObjective:
    schedule, optimizer = read_schedule(settings["schedule"]), read_optimizer(settings["optimizer"])
    if isinstance(task, CallableTask):
        for key, value, default in (("schedule", schedule, Triangle()), ("optimizer", optimizer, Sgd())):
            if value != default:
                raise ConfigError(
                    f"{key}={value.name} does not reach task={task.name}, whose function has its own; drop {key}"
                )
        if read_curvature(settings).every:
            raise ConfigError(f"curvature.every needs a model, and task={task.name} has none; drop it")
        _refuse_for_callable(task, settings)
        return CallableObjective(task)
    threads = None if settings["threads"] is None else read_integer(settings, "threads", 1)
    return ImageObjective(
        task,
        data,
        str(settings["device"]),
        str(settings["precision"]),
        threads,
        compile=read_value(bool, settings["compile"], "compile"),
        schedule=schedule,
        optimizer=optimizer,
        curvature=read_curvature(settings),
        metric=read_metric(settings),
        **_gradient_keys(settings),
    )


def read_metric(settings: Mapping[str, Any]) -> Metric:
    """The metric group, accuracy for a command that has none."""
    metric: Metric = read_named(METRICS, "metric", settings.get("metric", {"name": Accuracy.name}))
    return metric


def _gradient_keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How often a run is judged and how its gradients are clipped, for commands that say so."""
    hints = {"evaluate_every": int | None, "clip_gradient": float | None}
    return {key: read_value(hint, settings.get(key), key) for key, hint in hints.items()}


def _refuse_for_callable(task: CallableTask, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for what only our own trainer can do."""
    if (metric := read_metric(settings)) != Accuracy():
        raise ConfigError(
            f"metric={metric.name} does not reach task={task.name}, whose function returns its own value; drop metric, "
            f"and set direction=minimize where lower is better"
        )
    for key, value in _gradient_keys(settings).items():
        if value is not None:
            raise ConfigError(f"{key}={value} does not reach task={task.name}, whose function has its own; drop {key}")


def _maximize(objective: ImageObjective | CallableObjective, settings: Mapping[str, Any]) -> bool:
    """Which way a study goes: as the metric wants. Raises ConfigError where `direction` says otherwise."""
    said = read_choice("direction", settings["direction"], ("auto", "maximize", "minimize"))
    if isinstance(objective, CallableObjective):
        return said != "minimize"
    wanted = "maximize" if isinstance(objective.metric, Accuracy) else "minimize"
    if said not in ("auto", wanted):
        raise ConfigError(
            f"direction={said} does not suit task={objective.task.name}, whose {objective.metric.name} is to "
            f"{'rise' if wanted == 'maximize' else 'fall'}; drop direction"
        )
    return wanted == "maximize"


def _check_fit(objective: ImageObjective | CallableObjective, chart: Chart) -> None:
    """Raise ConfigError unless the objective takes what the chart moves."""
    if isinstance(objective, CallableObjective):
        return objective.check(chart.hyperparameters, chart.free)
    objective.check(chart.hyperparameters)
    tied = any({"lr", "batch_size"} <= set(axis.exponents) for axis in chart.axes)
    if tied and objective.optimizer.rate_per_images is not None:
        raise ConfigError(
            f"optimizer.rate_per_images={objective.optimizer.rate_per_images} scales the rate with the batch, which "
            f"chart {chart.name} does already; set optimizer.rate_per_images=null"
        )
    return None


def _limits(settings: Mapping[str, Any], unit: str) -> Limits:
    target = read_value(float | None, settings["target"], "target")
    if target is not None and unit == "%":
        if 0 < target < 1:
            raise ConfigError(
                f"target={target:g} is a fraction; accuracies are percent, did you mean target={100 * target:g}?"
            )
        if not 0 <= target <= 100:
            raise ConfigError(f"target={target:g} must lie between 0 and 100 percent; change target")
    minutes = read_value(float | None, settings["minutes"], "minutes")
    if minutes is not None and minutes <= 0:
        raise ConfigError(f"minutes={minutes:g} must be above 0; change minutes")
    return Limits(read_integer(settings, "budget", 1), target, minutes, read_integer(settings, "confirm", 0))


def _identity(
    objective: ImageObjective | CallableObjective,
    data: DataConfig,
    plan: SearchPlan,
    maximize: bool,
    repeats: int,
    pruning: Pruning,
) -> dict[str, Any]:
    """What must not change while a study goes on; the keys read like the command line's.

    What a study of an earlier version could not say is left out where it is as it was then.
    """
    return {
        "task": asdict(objective.task),
        **(objective.recipe() if isinstance(objective, ImageObjective) else {}),
        "data": {"evaluate": data.evaluate},
        **plan_identity(plan),
        "direction": "maximize" if maximize else "minimize",
        "repeats": repeats,
        **({} if pruning == NoPruning() else {"pruner": describe(pruning)}),
        **_sweep_identity(objective),
    }


def _sweep_identity(objective: ImageObjective | CallableObjective) -> dict[str, Any]:
    if isinstance(objective, CallableObjective):
        return {}
    metric = {} if objective.metric == Accuracy() else {"metric": describe(objective.metric)}
    keys = {key: getattr(objective, key) for key in ("evaluate_every", "clip_gradient")}
    return {**metric, **{key: value for key, value in keys.items() if value is not None}}
