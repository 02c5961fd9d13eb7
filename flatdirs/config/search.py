"""The search's part of a `tune` configuration: chart, start, rules and box, as plain settings, → a SearchPlan.

Raises as config.py does, which calls it: one sentence that names the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatdirs.backend.search_plan import ANYWHERE, BASELINES, SearchPlan
from flatdirs.config.values import read_choice, read_dataclass, read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.function import CallableTask
from flatdirs.search import SEARCHES, grid_chart
from flatdirs.space.coordinates import Chart
from flatdirs.space.grid import Grid
from flatdirs.space.library import read_chart
from flatdirs.training.task import ImageTask


def read_plan(settings: Mapping[str, Any], task: ImageTask | CallableTask, seed: int) -> SearchPlan:
    """Search, chart, start and box of a `tune` command. Raises ConfigError or ChartError naming the key."""
    search = dict(settings["search"])
    name = read_choice("search", search.pop("name", None), (*SEARCHES, *BASELINES))
    chart = read_chart(settings["chart"])
    if isinstance(task, ImageTask) and "batch_size" in chart.hyperparameters:  # what the trainer can take
        chart = chart.within({"batch_size": (2.0, float(task.train_images))})
    fixed = settings["fixed"] or []
    if not (isinstance(fixed, list) and all(isinstance(name, str) for name in fixed)):
        raise ConfigError(f"fixed={fixed} must be a list such as [momentum]; change fixed")
    chart = chart.fix(fixed) if fixed else chart
    walked = grid_chart(name, chart) if name in SEARCHES else chart
    walked = walked.within({key: ANYWHERE for key in walked.free if key not in walked.one_minus})
    grid = Grid(walked, read_start(settings["start"], chart, task))
    own = read_dataclass(SEARCHES[name], search, "search.") if name in SEARCHES else None
    box, uniform = _read_box(settings["box"])
    if isinstance(task, ImageTask) and "batch_size" in chart.free and "batch_size" in box:
        box["batch_size"] = _within_data(box["batch_size"], task.train_images)
    return SearchPlan(name, grid, own, seed, box, uniform)


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


def _read_box(settings: Mapping[str, Any]) -> tuple[dict[str, tuple[float, float]], frozenset[str]]:
    """The ranges, and which of them are uniform."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"box={settings} must hold ranges such as box.lr=[0.001,1]; change box")
    box, uniform = {}, set()
    for name, given in settings.items():
        pair = given
        if isinstance(given, list) and given[2:] in (["log"], ["uniform"]):
            pair = given[:2]
            uniform |= {name} if given[2] == "uniform" else set()
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigError(
                f"box.{name}={given} must be two numbers such as [0.001,1], or [0.001,0.01,uniform]; change box.{name}"
            )
        low, high = (read_value(float, value, f"box.{name}") for value in pair)
        if not 0 < low < high:
            raise ConfigError(f"box.{name}={pair} must have 0 < low < high; change box.{name}")
        box[name] = (low, high)
    return box, frozenset(uniform)
