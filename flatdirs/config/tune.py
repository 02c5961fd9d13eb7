"""From the plain settings that Hydra composed to the frozen settings of a command.

Every reader raises ConfigError with one sentence and the key it is about. Nothing below config/ sees a mapping of
settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flatdirs.backend.pruner_settings import PRUNERS
from flatdirs.backend.storages import StorageConfig
from flatdirs.config.command import AUTO, read_command, read_direction
from flatdirs.config.curvature import read_curvature
from flatdirs.config.search import read_search
from flatdirs.config.values import (
    check_picture,
    check_writable,
    read_choice,
    read_dataclass,
    read_folder,
    read_integer,
    read_named,
    read_study_name,
    read_value,
)
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.evaluation import AnyObjective, AnyTask, evaluations_without_value, with_evaluations
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.image import ImageObjective
from flatdirs.setting_checks import require_choice, wrong
from flatdirs.space.chart import Chart
from flatdirs.space.names import canonical_keys
from flatdirs.training.metrics import METRICS, Accuracy
from flatdirs.training.optimizer import OPTIMIZERS, Optimizer
from flatdirs.training.run_config import FURTHER, ProbeConfig, TrainConfig
from flatdirs.training.schedule import SCHEDULES, Schedule
from flatdirs.training.self_tuning import TUNERS, USUAL_SIGMA
from flatdirs.training.task import DataConfig, ImageTask, Task, TextTask
from flatdirs.tuning.settings import UNTIL, Limits, TuneConfig
from flatdirs.tuning.workers import require_shared

ALL_SCHEDULES: Mapping[str, type[Schedule]] = {**SCHEDULES, **TUNERS}
LORA: Mapping[str, Any] = {"base": str | None, "lora_rank": int | None, "lora_alpha": float | None}
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class FindConfig:
    """The settings of a `find-lr` command. `training` has a constant schedule; its lr has no meaning."""

    training: TrainConfig
    probing: ProbeConfig
    figure: Path | None


def read_schedule(settings: Mapping[str, Any]) -> Schedule:
    """The group `schedule`."""
    return read_named(ALL_SCHEDULES, "schedule", settings)


def read_optimizer(settings: Mapping[str, Any]) -> Optimizer:
    """The group `optimizer`."""
    return read_named(OPTIMIZERS, "optimizer", settings)


def read_tune(settings: Mapping[str, Any]) -> TuneConfig:
    """All settings of `tune`. Words in the start, such as lr=auto, are kept for `start.with_start` to resolve."""
    data = read_dataclass(DataConfig, settings["data"], "data.")
    seed = read_integer(settings, "seed", 0, LARGEST_SEED)
    objective: AnyObjective
    if "command" in settings["task"]:
        objective = read_command(settings)
        task: AnyTask = objective.task
    else:
        task = read_task(settings["task"])
        objective = read_objective(task, data, settings)
    search = read_search(settings, objective, seed)
    _check_fit(objective, search.plan.grid.chart)
    storage, workers = read_storage(settings["storage"]), read_integer(settings, "workers", 1)
    require_shared(workers, storage.kind)
    config = TuneConfig(
        study=read_study_name(settings["study"] or f"{task.name}-{search.plan.name}"),
        output=read_folder(settings["output"], "output"),
        storage=storage,
        chart=search.chart,
        plan=search.plan,
        open_start=search.open_start,
        held=search.held,
        auto_chart=settings["chart"].get("name") == AUTO,
        anyway=read_value(bool, settings["anyway"], "anyway"),
        objective=with_evaluations(objective, search.plan.grid.start),
        task=task,
        data=data,
        limits=_limits(settings, objective.unit),
        maximize=_maximize(objective, settings),
        direction=_direction(objective, settings),
        repeats=read_integer(settings, "repeats", 1),
        pruning=read_named(PRUNERS, "pruner", settings["pruner"]),
        live=None if settings["live"] == "auto" else read_value(bool, settings["live"], "live"),
        workers=workers,
        prior=read_value(str | None, settings["prior"], "prior"),
    )
    config.pruning.check(config.evaluations, evaluations_without_value(config.objective))
    return config


def read_train(settings: Mapping[str, Any]) -> TrainConfig:
    """All settings of `train`."""
    settings = canonical_keys(settings)
    task = read_task(settings["task"])
    if isinstance(task, CallableTask):
        raise wrong("task", task.name, "has a function and no model", remedy="choose a task with one")
    optimizer, schedule = read_optimizer(settings["optimizer"]), read_schedule(settings["schedule"])
    hints: dict[str, Any] = {"wd": float, "seed": int, "device": str, "precision": str, "compile": bool}
    hints |= dict.fromkeys(("lr", "sigma", "momentum", "beta1", "clip_gradient", "ema", *FURTHER), float | None)
    hints |= {**dict.fromkeys(("batch_size", "threads", "evaluate_every"), int | None), **LORA}
    plain = {key: read_value(hint, settings.get(key), key) for key, hint in hints.items()}
    if plain[optimizer.momentum_name] is None:
        plain[optimizer.momentum_name] = optimizer.usual_momentum
    if schedule.rate_name is not None and plain[schedule.rate_name] is None:
        plain[schedule.rate_name] = {"lr": optimizer.usual_lr, "sigma": USUAL_SIGMA}[schedule.rate_name]
    return TrainConfig(
        task=task,
        data=read_dataclass(DataConfig, settings["data"], "data."),
        schedule=schedule,
        optimizer=optimizer,
        curvature=read_curvature(settings),
        **plain,
    )


def read_find_lr(settings: Mapping[str, Any]) -> FindConfig:
    """All settings of `find-lr`."""
    unused = {"lr": 1.0, "sigma": None, "schedule": {"name": "constant"}, "compile": False}
    probing = {field.name: settings[field.name] for field in fields(ProbeConfig)}
    figure = read_value(str | None, settings["figure"], "figure")
    path = None if figure is None else Path(figure)
    if path is not None:
        check_writable(path, "figure", "curve.png")
        check_picture(path, "figure")
    training = read_train({**settings, **unused})
    if training.optimizer.finds_rate:
        raise wrong("optimizer", training.optimizer.name, "finds lr itself", remedy="choose another, or flatdirs train")
    return FindConfig(training, read_dataclass(ProbeConfig, probing, ""), path)


def read_storage(settings: Mapping[str, Any]) -> StorageConfig:
    """The group `storage`."""
    config = read_dataclass(StorageConfig, settings, "storage.")
    read_choice("storage.kind", config.kind, ("journal", "sqlite", "memory", "url"))
    if config.stale_minutes <= 0:
        raise wrong("storage.stale_minutes", f"{config.stale_minutes:g}", "must be above 0")
    return config


def read_task(settings: Mapping[str, Any]) -> Task | CallableTask:
    """The group `task`: a function if there is a key `function`, a text with `context`, else images."""
    if "function" in settings:
        return read_dataclass(CallableTask, settings, "task.")
    if "context" in settings:
        return read_dataclass(TextTask, settings, "task.")
    return read_dataclass(ImageTask, settings, "task.")


def read_objective(
    task: Task | CallableTask, data: DataConfig, settings: Mapping[str, Any]
) -> ImageObjective | CallableObjective:
    """The objective of a task that is no command."""
    if isinstance(task, CallableTask):
        return CallableObjective(task)
    schedule, optimizer = read_schedule(settings["schedule"]), read_optimizer(settings["optimizer"])
    hints = {"evaluate_every": int | None, "clip_gradient": float | None, "ema": float | None, "compile": bool, **LORA}
    own = {key: read_value(hint, settings.get(key), key) for key, hint in hints.items()}
    metric = read_named(METRICS, "metric", settings.get("metric", {"name": Accuracy.name}))
    own |= {"metric": metric, "curvature": read_curvature(settings)}
    threads = None if settings["threads"] is None else read_integer(settings, "threads", 1)
    machine = (str(settings["device"]), str(settings["precision"]), threads)
    return ImageObjective(task, data, *machine, schedule, optimizer, **own)


def _maximize(objective: AnyObjective, settings: Mapping[str, Any]) -> bool:
    """Whether higher is better: as the metric has it, or as `direction` says for a function."""
    if isinstance(objective, CommandObjective):
        return _direction(objective, settings) != "minimize"
    said = read_choice("direction", settings["direction"], ("auto", "maximize", "minimize"))
    if isinstance(objective, CallableObjective):
        return said != "minimize"
    wanted = "maximize" if isinstance(objective.metric, Accuracy) else "minimize"
    if said not in ("auto", wanted):
        raise wrong("direction", said, f"contradicts metric={objective.metric.name}", remedy="remove it")
    return wanted == "maximize"


def _direction(objective: AnyObjective, settings: Mapping[str, Any]) -> str | None:
    """maximize or minimize for a command; None where neither a key nor the metric's name says."""
    if not isinstance(objective, CommandObjective):
        return None
    return read_direction(objective.task.metric, settings["direction"])


def _check_fit(objective: AnyObjective, chart: Chart) -> None:
    """Raise ConfigError unless the objective takes the hyperparameters of the chart."""
    if isinstance(objective, CommandObjective):
        return None
    if isinstance(objective, CallableObjective):
        return objective.check((*chart.hyperparameters, *chart.choices), (*chart.free, *chart.open_choices))
    objective.check(chart.hyperparameters)
    images = objective.optimizer.rate_per_images
    if images is not None and any({"lr", "batch_size"} <= set(axis.exponents) for axis in chart.axes):
        key, problem = "optimizer.rate_per_images", f"scales lr with the batch size, as chart={chart.name} does already"
        raise wrong(key, images, problem, remedy=f"set {key}=null")
    return None


def _limits(settings: Mapping[str, Any], unit: str) -> Limits:
    target = read_value(float | None, settings["target"], "target")
    if target is not None and unit == "%":
        if 0 < target < 1:
            problem = "is a fraction, but accuracies are in percent"
            raise wrong("target", f"{target:g}", problem, remedy=f"set target={100 * target:g}")
        if not 0 <= target <= 100:
            raise wrong("target", f"{target:g}", "must be between 0 and 100 percent")
    minutes = read_value(float | None, settings["minutes"], "minutes")
    if minutes is not None and minutes <= 0:
        raise wrong("minutes", f"{minutes:g}", "must be above 0")
    until = read_value(str, settings["until"], "until")
    require_choice("until", until, UNTIL)
    return Limits(read_integer(settings, "budget", 1), target, minutes, read_integer(settings, "confirm", 0), until)
