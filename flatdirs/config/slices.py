"""From the settings of `flatdirs slices` to a SliceConfig; every error names its key.

In: the plain mapping that cli/compose.py made of conf/slices.yaml. Out: the grid around the start, the objective and
what identifies the study. The corners of the grid are checked here, before the first run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flatdirs.config.tune import read_objective, read_storage, read_task
from flatdirs.config.values import (
    read_choice,
    read_dataclass,
    read_folder,
    read_integer,
    read_study_name,
    read_value,
)
from flatdirs.errors import ConfigError
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.evaluation import AnyObjective
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.setting_checks import require_number, wrong
from flatdirs.slices.cells import SliceAxis, SliceGrid
from flatdirs.slices.loop import SliceConfig
from flatdirs.space.names import ONE_MINUS, canonical, canonical_keys, enters_as_one_minus
from flatdirs.training.task import DataConfig, Task

WHOLE = ("batch_size",)


def read_slices(settings: Mapping[str, Any]) -> SliceConfig:
    """All settings of `slices`."""
    task = read_task(settings["task"])
    data = read_dataclass(DataConfig, settings["data"], "data.")
    objective = read_objective(task, data, settings)
    x, y = canonical(str(settings["x"])), canonical(str(settings["y"]))
    _refuse_scaled_rate(objective, {x, y})
    maximize = read_choice("direction", settings["direction"], ("maximize", "minimize")) == "maximize"
    if isinstance(task, Task) and not maximize:
        raise wrong(
            "direction", "minimize", f"contradicts task={task.name}, whose value is an accuracy", remedy="remove it"
        )
    if x.removeprefix(ONE_MINUS) == y.removeprefix(ONE_MINUS):
        raise wrong("y", y, f"must be another hyperparameter than x={x}")
    center = _center(canonical_keys(settings["start"]), objective, (x, y))
    grid = SliceGrid(
        _axis("x", x, settings, center),
        _axis("y", y, settings, center),
        read_integer(settings, "seeds", 1),
        read_integer(settings, "near", 0),
    )
    _try_corners(grid, center, objective)
    floor = read_value(float | None, settings["floor"], "floor")
    if floor is not None and objective.unit == "%" and not 0 <= floor < 100:
        raise wrong("floor", f"{floor:g}", "must be a percentage below 100")
    budget, seed = settings["budget"], read_integer(settings, "seed", 0)
    return SliceConfig(
        study=read_study_name(settings["study"] or f"{task.name}-{y}-against-{x}"),
        output=read_folder(settings["output"], "output"),
        storage=read_storage(settings["storage"]),
        grid=grid,
        center=center,
        objective=objective,
        seed=seed,
        maximize=maximize,
        budget=None if budget is None else read_integer(settings, "budget", 0),
        floor=floor,
        identity={
            "slice": {"x": x, "y": y, "step": grid.x.factor},
            "task": asdict(task),
            **(objective.recipe() if isinstance(objective, ImageObjective) else {}),
            "data": {"evaluate": data.evaluate},
            "start": center,
            "seed": seed,
            "direction": "maximize" if maximize else "minimize",
        },
    )


def _refuse_scaled_rate(objective: AnyObjective, axes: set[str]) -> None:
    """Raise ConfigError if the optimizer scales lr with the batch size, which would hide the ridge."""
    images = objective.optimizer.rate_per_images if isinstance(objective, ImageObjective) else None
    if images and "batch_size" in axes:
        key, problem = "optimizer.rate_per_images", "scales lr with the batch size, which the slice is to show"
        raise wrong(key, images, problem, remedy=f"set {key}=null")


def _center(start: Mapping[str, Any], objective: AnyObjective, axes: tuple[str, str]) -> dict[str, float]:
    """The hyperparameters of the start that the task's runs take, and those of the axes."""
    wanted = {name.removeprefix(ONE_MINUS) for name in axes}
    center: dict[str, float] = {}
    for name, given in start.items():
        value = given
        if isinstance(objective, ImageObjective):
            taken = name in (*objective.hyperparameters, *WHOLE)
            value = objective.task.batch_size if given is None and name == "batch_size" else given
        else:
            taken = name not in ("beta1", "sigma") or name in wanted
        if taken and value is not None:
            center[name] = read_value(int if name in WHOLE else float, value, f"start.{name}")
            if enters_as_one_minus(name):
                require_number(f"start.{name}", center[name], 0, 1, below=True)
    for axis, name in zip(("x", "y"), axes, strict=True):
        if name.removeprefix(ONE_MINUS) not in center:
            known = ", ".join(center)
            raise wrong(axis, name, f"must be a hyperparameter of the start ({known})")
    return center


def _axis(key: str, name: str, settings: Mapping[str, Any], center: Mapping[str, float]) -> SliceAxis:
    """One axis of the grid around the centre."""
    hyperparameter = name.removeprefix(ONE_MINUS)
    value = 1.0 - center[hyperparameter] if hyperparameter != name else center[hyperparameter]
    if not (math.isfinite(value) and value > 0):
        start = f"start.{hyperparameter}"
        raise wrong(start, f"{center[hyperparameter]:g}", f"makes {name}={value:g}, which must be above 0")
    factor = read_value(float, settings["step"], "step")
    if factor <= 1:
        raise wrong("step", f"{factor:g}", "must be above 1")
    steps_key = f"{key}_steps"
    first, last = _steps(settings[steps_key], steps_key)
    told = f"[{first},{last}]"
    axis = SliceAxis(name, value, factor, first, last, hyperparameter in WHOLE)
    try:
        values = axis.values()
    except OverflowError:
        values = [math.inf]
    if not all(0 < value < math.inf for value in values):
        raise wrong(steps_key, told, f"with step={factor:g} exceeds the range of floats")
    if name != hyperparameter and values[-1] > 1:
        raise wrong(steps_key, told, f"takes {name} to {values[-1]:g}, above 1")
    if enters_as_one_minus(name) and values[-1] >= 1:
        problem = f"takes values up to {values[-1]:g} with {steps_key}={told}, and must stay below 1"
        raise wrong(key, name, problem, remedy=f"set {key}={ONE_MINUS}{name}")
    if len(set(values)) < len(values):
        raise wrong(steps_key, told, f"rounds to the same {name} twice", remedy=f"change {steps_key} or step")
    return axis


def _steps(steps: Any, key: str) -> tuple[int, int]:
    """The first and last step of an axis."""
    if not isinstance(steps, list) or len(steps) != 2:
        raise wrong(key, steps, "must be two whole numbers such as [-3,3]")
    first, last = (read_value(int, step, key) for step in steps)
    if first > 0 or last < 0 or first == last:
        raise wrong(key, steps, "must run from at most 0 to at least 0")
    return first, last


def _try_corners(grid: SliceGrid, center: Mapping[str, float], objective: AnyObjective) -> None:
    """Refuse a grid whose corners no run could use."""
    if isinstance(objective, CommandObjective):
        raise wrong("task", "command", "cannot be sliced", remedy="choose task=callable or an image task")
    if isinstance(objective, CallableObjective):
        objective.check(list(center), list(grid.hyperparameters((0, 0))))
        return
    for corner in [(x, y) for x in (grid.x.first, grid.x.last) for y in (grid.y.first, grid.y.last)]:
        try:
            objective.config({**center, **grid.hyperparameters(corner)}, 0)
        except ConfigError as error:
            raise ConfigError(
                f"at a corner of the grid, {error}; or change x_steps and y_steps", key=error.key
            ) from error
