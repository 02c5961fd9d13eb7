"""From plain settings (what Hydra composed) to frozen domain objects: the one place where that happens.

Every reader raises ConfigError (or the domain's own error) with one sentence that names the key; keys.py reads single
values. Nothing beyond this module sees a mapping of settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flatdirs.chart import Chart, Lattice, read_chart
from flatdirs.errors import ConfigError
from flatdirs.keys import (
    check_writable,
    read_choice,
    read_dataclass,
    read_integer,
    read_named,
    read_study_name,
    read_value,
)
from flatdirs.objective import ImageObjective, Objective
from flatdirs.plan import ANYWHERE, BASELINES, SearchPlan, plan_identity
from flatdirs.search import SEARCHES, Rules, chart_of
from flatdirs.training.optimizer import OPTIMIZERS, Optimizer, Sgd
from flatdirs.training.records import ProbeConfig, TrainConfig
from flatdirs.training.schedule import SCHEDULES, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask
from flatdirs.training.tuners import TUNERS
from flatdirs.user_function import CallableObjective, CallableTask

USUAL_MOMENTUM = 0.9  # of `train`, ρ or β₁
USUAL_STRENGTH = {"learning_rate": 0.4, "sigma": 1.0}  # of `train`
ALL_SCHEDULES: Mapping[str, type[Schedule]] = {**SCHEDULES, **TUNERS}


@dataclass(frozen=True)
class Limits:
    """When a search ends. `target` is in the study's unit; all of these may change between two calls."""

    budget: int = 60
    target: float | None = None
    minutes: float | None = None
    confirm: int = 3


@dataclass(frozen=True)
class StorageConfig:
    """Where the study is kept."""

    kind: str
    url: str | None = None
    stale_minutes: float = 30.0


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
    maximize = read_choice("direction", settings["direction"], ("maximize", "minimize")) == "maximize"
    objective = read_objective(task, data, settings)
    seed = read_integer(settings, "seed", 0)
    if seed >= 2**31:
        raise ConfigError(f"seed={seed} must be below {2**31}; change seed")
    plan = _plan(settings, task, seed)
    _check_fit(objective, plan.lattice.chart, maximize)
    name = settings["study"] or f"{task.name}-{plan.name}"
    repeats = read_integer(settings, "repeats", 1)
    return TuneConfig(
        study=read_study_name(name),
        output=Path(read_value(str, settings["output"], "output")),
        storage=read_storage(settings["storage"]),
        plan=plan,
        objective=objective,
        limits=_limits(settings, objective.unit),
        maximize=maximize,
        repeats=repeats,
        live=None if settings["live"] == "auto" else read_value(bool, settings["live"], "live"),
        identity=_identity(objective, data, plan, maximize, repeats),
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
        "learning_rate": float | None,
        "sigma": float | None,
        "weight_decay": float,
        "seed": int,
        "batch_size": int | None,
    }
    hints |= {"device": str, "precision": str, "threads": int | None, "compile": bool}
    hints |= {"momentum": float | None, "beta1": float | None}
    plain = {key: read_value(hint, settings[key], key) for key, hint in hints.items()}
    if plain[optimizer.momentum_name] is None:
        plain[optimizer.momentum_name] = USUAL_MOMENTUM
    if schedule.strength_name is not None and plain[schedule.strength_name] is None:
        plain[schedule.strength_name] = USUAL_STRENGTH[schedule.strength_name]
    return TrainConfig(task=task, data=data, schedule=schedule, optimizer=optimizer, **plain)


def read_find_lr(settings: Mapping[str, Any]) -> FindConfig:
    """A whole `find_lr` configuration. Raises ConfigError naming the key."""
    unused = {"learning_rate": 1.0, "sigma": None, "schedule": {"name": "constant"}, "compile": False}
    probing = {field.name: settings[field.name] for field in fields(ProbeConfig)}
    figure = read_value(str | None, settings["figure"], "figure")
    path = None if figure is None else Path(figure)
    if path is not None:
        check_writable(path, "figure", "curve.png")
        _check_picture(path)
    return FindConfig(read_train({**settings, **unused}), read_dataclass(ProbeConfig, probing, ""), path)


def _check_picture(path: Path) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise ConfigError(f"figure={path} must end in one of .{', .'.join(kinds)}; change figure")


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
    )


def _check_fit(objective: ImageObjective | CallableObjective, chart: Chart, maximize: bool) -> None:
    """Raise ConfigError unless the objective takes what the chart moves, in the direction asked for."""
    if isinstance(objective, CallableObjective):
        return objective.check(chart.hyperparameters, chart.free)
    objective.check(chart.hyperparameters)
    if not maximize:
        raise ConfigError(
            f"direction=minimize does not suit task={objective.task.name}, whose accuracy is to rise; drop direction"
        )
    tied = any({"learning_rate", "batch_size"} <= set(axis.exponents) for axis in chart.axes)
    if tied and objective.optimizer.rate_per_images is not None:
        raise ConfigError(
            f"optimizer.rate_per_images={objective.optimizer.rate_per_images} scales the rate with the batch, which "
            f"chart {chart.name} does already; set optimizer.rate_per_images=null"
        )
    return None


def _plan(settings: Mapping[str, Any], task: ImageTask | CallableTask, seed: int) -> SearchPlan:
    search = dict(settings["search"])
    name = read_choice("search", search.pop("name", None), (*SEARCHES, *BASELINES))
    chart = read_chart(settings["chart"])
    if isinstance(task, ImageTask) and "batch_size" in chart.hyperparameters:  # what the trainer can take
        chart = chart.within({"batch_size": (2.0, float(task.train_images))})
    fixed = settings["fixed"] or []
    if not (isinstance(fixed, list) and all(isinstance(name, str) for name in fixed)):
        raise ConfigError(f"fixed={fixed} must be a list such as [momentum]; change fixed")
    chart = chart.fix(fixed) if fixed else chart
    walked = chart_of(name, chart) if name in SEARCHES else chart
    walked = walked.within({key: ANYWHERE for key in walked.free if key not in walked.one_minus})
    lattice = Lattice(walked, read_start(settings["start"], chart, task))
    rules = read_dataclass(Rules, search, "search.") if name in SEARCHES else Rules()
    box = _read_box(settings["box"])
    if isinstance(task, ImageTask) and "batch_size" in chart.free and "batch_size" in box:
        box["batch_size"] = _within_data(box["batch_size"], task.train_images)
    return SearchPlan(name, lattice, rules, seed, box)


def _within_data(pair: tuple[float, float], images: int) -> tuple[float, float]:
    """The batch sizes of a box that an image task can take: from 2 to its training images."""
    low, high = max(2.0, pair[0]), min(float(images), pair[1])
    if low >= high:
        raise ConfigError(
            f"box.batch_size={list(pair)} leaves nothing between 2 and task.train_images={images}; change it"
        )
    return low, high


def read_start(settings: Mapping[str, Any], chart: Chart, task: ImageTask | CallableTask) -> dict[str, float]:
    """The start's hyperparameters, those of the chart only; a missing batch size is the task's."""
    start: dict[str, float] = {}
    for name in chart.hyperparameters:
        value = settings.get(name)
        if value is None and name == "batch_size" and isinstance(task, ImageTask):
            value = task.batch_size
        if value is None:
            raise ConfigError(f"the start has no {name}, which chart {chart.name} needs; set start.{name}=…")
        start[name] = read_value(int if name in chart.whole else float, value, f"start.{name}")
    if settings.get("batch_size") is not None and "batch_size" not in start:
        raise ConfigError(
            f"start.batch_size={settings['batch_size']} is not searched by chart {chart.name}; set task.batch_size, or "
            f"change chart to sgd_batch"
        )
    return start


def _read_box(settings: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"box={settings} must hold ranges such as box.learning_rate=[0.001,1]; change box")
    box = {}
    for name, pair in settings.items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigError(f"box.{name}={pair} must be two numbers such as [0.001,1]; change box.{name}")
        low, high = (read_value(float, value, f"box.{name}") for value in pair)
        if not 0 < low < high:
            raise ConfigError(f"box.{name}={pair} must have 0 < low < high; change box.{name}")
        box[name] = (low, high)
    return box


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
    objective: ImageObjective | CallableObjective, data: DataConfig, plan: SearchPlan, maximize: bool, repeats: int
) -> dict[str, Any]:
    """What must not change while a study goes on; the keys read like the command line's."""
    return {
        "task": asdict(objective.task),
        **(objective.recipe() if isinstance(objective, ImageObjective) else {}),
        "data": {"evaluate": data.evaluate},
        **plan_identity(plan),
        "direction": "maximize" if maximize else "minimize",
        "repeats": repeats,
    }
