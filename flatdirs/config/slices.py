"""From the settings of `flatdirs.slices` to a SliceConfig; every mistake is one sentence that names the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flatdirs.config.tune import read_objective, read_storage, read_task
from flatdirs.config.values import read_choice, read_dataclass, read_integer, read_study_name, read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import Objective
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.slices.cells import SliceAxis, SliceGrid
from flatdirs.slices.loop import SliceConfig
from flatdirs.training.task import DataConfig, ImageTask

WHOLE = ("batch_size",)
AT_MOST_ONE = "one_minus_"  # 1 − momentum cannot be more than 1


def read_slices(settings: Mapping[str, Any]) -> SliceConfig:
    """A whole `slices` configuration."""
    task = read_task(settings["task"])
    data = read_dataclass(DataConfig, settings["data"], "data.")
    objective = read_objective(task, data, settings)
    x, y = str(settings["x"]), str(settings["y"])
    _refuse_scaled_rate(objective, {x, y})
    maximize = read_choice("direction", settings["direction"], ("maximize", "minimize")) == "maximize"
    if isinstance(task, ImageTask) and not maximize:
        raise ConfigError(f"direction=minimize does not suit task={task.name}, whose accuracy is to rise")
    if x.removeprefix(AT_MOST_ONE) == y.removeprefix(AT_MOST_ONE):
        raise ConfigError(f"x={x} and y={y} must be two hyperparameters; change y")
    center = _center(settings["start"], objective, (x, y))
    grid = SliceGrid(
        _axis("x", settings, center),
        _axis("y", settings, center),
        read_integer(settings, "seeds", 1),
        read_integer(settings, "near", 0),
    )
    _try_corners(grid, center, objective)
    floor = read_value(float | None, settings["floor"], "floor")
    if floor is not None and objective.unit == "%" and not 0 <= floor < 100:
        raise ConfigError(f"floor={floor:g} must be percent, below 100; change floor")
    budget, seed = settings["budget"], read_integer(settings, "seed", 0)
    name = settings["study"] or f"{task.name}-{y}-against-{x}"
    return SliceConfig(
        study=read_study_name(name),
        output=Path(read_value(str, settings["output"], "output")),
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


def _refuse_scaled_rate(objective: Objective, axes: set[str]) -> None:
    """Raise ConfigError where the optimizer would already scale the rate with the batch, which hides the ridge."""
    scaled = isinstance(objective, ImageObjective) and objective.optimizer.rate_per_images
    if scaled and "batch_size" in axes:
        raise ConfigError(
            f"optimizer.rate_per_images={scaled} scales the rate with the batch, which is what a slice of batch_size "
            f"is to show; set optimizer.rate_per_images=null"
        )


def _center(start: Mapping[str, Any], objective: Objective, axes: tuple[str, str]) -> dict[str, float]:
    """The hyperparameters of the start that the task's runs take, and those of the axes."""
    wanted = {name.removeprefix(AT_MOST_ONE) for name in axes}
    center: dict[str, float] = {}
    for name, value in start.items():
        if isinstance(objective, ImageObjective):
            taken = name in (*objective.hyperparameters, *WHOLE)
            value = objective.task.batch_size if value is None and name == "batch_size" else value  # noqa: PLW2901
        else:
            taken = name != "beta1" or name in wanted
        if taken and value is not None:
            center[name] = read_value(int if name in WHOLE else float, value, f"start.{name}")
    for axis, name in zip(("x", "y"), axes, strict=True):
        if name.removeprefix(AT_MOST_ONE) not in center:
            raise ConfigError(
                f"{axis}={name} is not a hyperparameter of the start ({', '.join(center)}); change {axis}"
            )
    return center


def _axis(key: str, settings: Mapping[str, Any], center: Mapping[str, float]) -> SliceAxis:
    """One axis of the grid around the centre."""
    name = str(settings[key])
    hyperparameter = name.removeprefix(AT_MOST_ONE)
    value = 1.0 - center[hyperparameter] if hyperparameter != name else center[hyperparameter]
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name}={value:g} in the centre has no logarithm; change start.{hyperparameter}")
    factor = read_value(float, settings["step"], "step")
    if factor <= 1:
        raise ConfigError(f"step={factor:g} must be above 1; change step")
    steps = settings[f"{key}_steps"]
    if not isinstance(steps, list) or len(steps) != 2:
        raise ConfigError(f"{key}_steps={steps} must be two whole numbers such as [-3,3]; change {key}_steps")
    first, last = (read_value(int, step, f"{key}_steps") for step in steps)
    if first > 0 or last < 0 or first == last:
        raise ConfigError(f"{key}_steps={steps} must run from at most 0 to at least 0; change {key}_steps")
    axis = SliceAxis(name, value, factor, first, last, hyperparameter in WHOLE)
    try:
        values = axis.values()
    except OverflowError as error:
        raise ConfigError(
            f"{key}_steps={steps} goes beyond all numbers at step={factor:g}; change {key}_steps"
        ) from error
    if not all(0 < value < math.inf for value in values):
        raise ConfigError(f"{key}_steps={steps} goes beyond all numbers at step={factor:g}; change {key}_steps")
    if name != hyperparameter and values[-1] > 1:
        raise ConfigError(f"{key}_steps={steps} takes {name} to {values[-1]:g}, above 1; change {key}_steps")
    if len(set(values)) < len(values):
        raise ConfigError(f"{key}_steps={steps} rounds to the same {name} twice; change {key}_steps or step")
    return axis


def _try_corners(grid: SliceGrid, center: Mapping[str, float], objective: Objective) -> None:
    """Refuse a grid whose corners no run could use."""
    corners = [(x, y) for x in (grid.x.first, grid.x.last) for y in (grid.y.first, grid.y.last)]
    settings = [{**center, **grid.hyperparameters(corner)} for corner in corners]
    if isinstance(objective, CallableObjective):
        objective.check(list(center), list(grid.hyperparameters((0, 0))))
    if isinstance(objective, ImageObjective):
        for hyperparameters in settings:
            try:
                objective.config(hyperparameters, 0)
            except ConfigError as error:
                raise ConfigError(f"the grid has {error} (x_steps and y_steps say how far it goes)") from error
