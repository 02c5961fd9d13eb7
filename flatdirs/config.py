"""From plain settings (what Hydra composed) to frozen domain objects: the one place where that happens.

Every reader raises ConfigError (or the domain's own error) with one sentence that names the key. Nothing beyond this
module sees a mapping of settings.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from flatdirs.chart import Chart, Lattice, read_chart
from flatdirs.errors import ConfigError
from flatdirs.objective import CallableObjective, CallableTask, ImageObjective, Objective
from flatdirs.search import SEARCHES, Rules, chart_of
from flatdirs.study import BASELINES, SearchPlan
from flatdirs.training.task import DataConfig, ImageTask

T = TypeVar("T")
KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


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


def read_dataclass(kind: type[T], settings: Mapping[str, Any], prefix: str) -> T:
    """A frozen dataclass of plain fields from a mapping. Raises ConfigError naming `prefix`.key."""
    hints = typing.get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if strange := set(settings) - known:
        raise ConfigError(f"there is no key {prefix}{sorted(strange)[0]}; {_known_keys(prefix, known)}")
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in settings:
            values[field.name] = read_value(hints[field.name], settings[field.name], prefix + field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{prefix}{field.name} is missing; set {prefix}{field.name}=…")
    return kind(**values)


def _known_keys(prefix: str, known: set[str]) -> str:
    return f"the keys are {', '.join(prefix + key for key in sorted(known))}"


def read_value(hint: Any, value: Any, key: str) -> Any:
    """One value of a plain type (int, float, bool, str, or one of them or None). Raises ConfigError naming the key."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    wanted = next(option for option in options if option is not types.NoneType)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is float and number and math.isfinite(value):
        return float(value)
    if wanted is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    if wanted is str and number:
        return str(value)
    raise ConfigError(f"{key}={value} must be {KINDS[wanted]}; change {key}")


def read_tune(settings: Mapping[str, Any]) -> TuneConfig:
    """A whole `tune` configuration."""
    task = read_task(settings["task"])
    data = read_dataclass(DataConfig, settings["data"], "data.")
    maximize = read_choice("direction", settings["direction"], ("maximize", "minimize")) == "maximize"
    objective = _objective(task, data, settings)
    seed = _integer(settings, "seed", 0)
    plan = _plan(settings, task, seed)
    if isinstance(objective, CallableObjective):
        objective.check(plan.lattice.chart.hyperparameters, plan.lattice.chart.free)
    elif not maximize:
        raise ConfigError(
            f"direction=minimize does not suit task={task.name}, whose accuracy is to rise; drop direction"
        )
    name = settings["study"] or f"{task.name}-{plan.name}"
    repeats = _integer(settings, "repeats", 1)
    return TuneConfig(
        study=_study_name(name),
        output=Path(read_value(str, settings["output"], "output")),
        storage=read_dataclass(StorageConfig, settings["storage"], "storage."),
        plan=plan,
        objective=objective,
        limits=_limits(settings, objective.unit),
        maximize=maximize,
        repeats=repeats,
        live={"auto": None}.get(settings["live"], settings["live"]),
        identity=_identity(task, data, plan, maximize, repeats),
        task=task,
        data=data,
    )


def read_task(settings: Mapping[str, Any]) -> ImageTask | CallableTask:
    """The task group: an image task, or a user's function where there is a key `function`."""
    if "function" in settings:
        return read_dataclass(CallableTask, settings, "task.")
    return read_dataclass(ImageTask, settings, "task.")


def read_choice(key: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some words. Raises ConfigError naming the key."""
    if value not in choices:
        raise ConfigError(f"{key}={value} must be one of {', '.join(choices)}; change {key}")
    return str(value)


def _objective(task: ImageTask | CallableTask, data: DataConfig, settings: Mapping[str, Any]) -> Objective:
    if isinstance(task, CallableTask):
        return CallableObjective(task)
    threads = None if settings["threads"] is None else _integer(settings, "threads", 1)
    return ImageObjective(task, data, str(settings["device"]), str(settings["precision"]), threads)


def _plan(settings: Mapping[str, Any], task: ImageTask | CallableTask, seed: int) -> SearchPlan:
    search = dict(settings["search"])
    name = read_choice("search", search.pop("name", None), (*SEARCHES, *BASELINES))
    chart = read_chart(settings["chart"])
    fixed = settings["fixed"] or []
    if not isinstance(fixed, list):
        raise ConfigError(f"fixed={fixed} must be a list such as [momentum]; change fixed")
    chart = chart.fix(fixed) if fixed else chart
    walked = chart_of(name, chart) if name in SEARCHES else chart
    lattice = Lattice(walked, read_start(settings["start"], chart, task))
    rules = read_dataclass(Rules, search, "search.") if name in SEARCHES else Rules()
    return SearchPlan(name, lattice, rules, seed, _read_box(settings["box"]))


def read_start(settings: Mapping[str, Any], chart: Chart, task: ImageTask | CallableTask) -> dict[str, float]:
    """The start's hyperparameters, those of the chart only; a missing batch size is the task's."""
    start: dict[str, float] = {}
    for name in chart.hyperparameters:
        value = settings.get(name)
        if value is None and name == "batch_size" and isinstance(task, ImageTask):
            value = task.batch_size
        if value is None:
            raise ConfigError(f"the start has no {name}, which chart {chart.name} needs; set start.{name}=…")
        start[name] = (
            int(value) if name in chart.whole and value == int(value) else read_value(float, value, f"start.{name}")
        )
    return start


def _read_box(settings: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
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
        if 0 < target <= 1:
            raise ConfigError(
                f"target={target:g} is a fraction; accuracies are percent, did you mean target={100 * target:g}?"
            )
        if not 0 <= target <= 100:
            raise ConfigError(f"target={target:g} must lie between 0 and 100 percent; change target")
    minutes = read_value(float | None, settings["minutes"], "minutes")
    if minutes is not None and minutes <= 0:
        raise ConfigError(f"minutes={minutes:g} must be above 0; change minutes")
    return Limits(_integer(settings, "budget", 1), target, minutes, _integer(settings, "confirm", 0))


def _integer(settings: Mapping[str, Any], key: str, least: int) -> int:
    value: int = read_value(int, settings[key], key)
    if value < least:
        raise ConfigError(f"{key}={value} must be {least} or more; change {key}")
    return value


def _study_name(name: Any) -> str:
    text = str(name)
    if not text or text != text.strip() or any(c in text for c in "/\\\0") or text.startswith("."):
        raise ConfigError(f"study={text!r} must be a plain name without slashes; change study")
    return text


def _identity(
    task: ImageTask | CallableTask, data: DataConfig, plan: SearchPlan, maximize: bool, repeats: int
) -> dict[str, Any]:
    """What must not change while a study goes on; the keys read like the command line's."""
    from dataclasses import asdict

    from flatdirs.study import plan_identity

    return {
        "task": asdict(task),
        "data": {"evaluate": data.evaluate},
        **plan_identity(plan),
        "direction": "maximize" if maximize else "minimize",
        "repeats": repeats,
    }
