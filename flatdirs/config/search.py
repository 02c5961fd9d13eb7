"""Chart, start, search and box of a `tune` command, as plain settings, → a SearchPlan and what it was made from.

In: the groups `search`, `chart` and `start`, with `fixed`, `tune` and `box`. Out: SearchSettings. A start that is a
word, such as lr=auto, gets a usual value here and is kept in `open_start`; tuning/start.py measures it later. With a
command, chart and start follow its words (command.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flatdirs.backend.sampler import typical_start
from flatdirs.backend.search_plan import ANYWHERE, BASELINES, SearchPlan
from flatdirs.config.command import AUTO, read_space, require_ranges
from flatdirs.config.function import read_function_space
from flatdirs.config.values import read_choice, read_dataclass, read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.evaluation import AnyObjective, AnyTask
from flatdirs.objectives.function import CallableObjective
from flatdirs.search import SEARCHES, grid_chart
from flatdirs.search.known import BayesSettings
from flatdirs.setting_checks import wrong
from flatdirs.space.chart import Chart
from flatdirs.space.grid import Grid
from flatdirs.space.names import canonical, canonical_keys, enters_as_one_minus
from flatdirs.space.shipped_charts import read_chart
from flatdirs.training.task import batch_sizes
from flatdirs.tuning.commands import search_keys
from flatdirs.tuning.start import START_WORDS

OPTIONAL = ("beta2", "adamw_lr")  # hyperparameters of a chart that an objective may do without


@dataclass(frozen=True)
class SearchSettings:
    """A search: the chart as configured, the plan made from it, and the words of the start, such as lr=auto.

    `held`: the numbers of a command that are not searched, and why.
    """

    chart: Chart
    plan: SearchPlan
    open_start: Mapping[str, str]
    held: Mapping[str, str] = field(default_factory=dict)


def read_search(settings: Mapping[str, Any], objective: AnyObjective, seed: int) -> SearchSettings:
    """The groups `search`, `chart` and `start`, with `fixed`, `tune` and `box`. Raises ConfigError or ChartError.

    With a command the numbers in it are the start.
    """
    task = objective.task
    template = objective.template if isinstance(objective, CommandObjective) else None
    search = dict(settings["search"])
    name = read_choice("search", search.pop("name", None), (*SEARCHES, *BASELINES))
    if strange := sorted(set(search) - set(search_keys(name))):
        key = f"search.{strange[0]}"
        raise wrong(key, search[strange[0]], f"has no effect with search={name}", remedy="remove it")
    own = read_dataclass(SEARCHES[name], search, "search.") if name in SEARCHES else None
    if isinstance(own, BayesSettings):
        own = replace(own, deterministic=_deterministic(settings["deterministic"], objective))
    _check_shapes(settings["chart"])
    fixed, words, held = _read_names(settings, "fixed") or [], dict[str, str](), dict[str, str]()
    if isinstance(objective, CallableObjective) and settings["chart"].get("name") == AUTO:
        chart, start, words = read_function_space(settings, objective)
        fixed = fixed or _all_but(chart, _read_names(settings, "tune"))
        walked = chart.fix(fixed) if fixed else chart
    elif template is None:
        chart = read_chart(settings["chart"])
        walked = _fitted(chart, objective)
        start, words = _read_start(settings["start"], walked, task)
        fixed = fixed or _all_but(walked, _read_names(settings, "tune"))
        walked = walked.fix(fixed) if fixed else walked
    else:
        space = read_space(template, _read_names(settings, "tune"), settings["chart"], fixed)
        walked = space.chart
        chart = walked if settings["chart"].get("name") == AUTO else read_chart(settings["chart"])
        start, held = dict(space.start), dict(space.held)
        if own is None:
            require_ranges(chart, template)
    if (batches := batch_sizes(task)) is not None and "batch_size" in chart.hyperparameters:
        walked = walked.within({"batch_size": batches})
    walked = grid_chart(name, walked) if name in SEARCHES else walked
    walked = walked.within({key: ANYWHERE for key in walked.free if key not in {*walked.one_minus, *walked.scales}})
    box, uniform = _read_box(settings["box"])
    if batches is not None and "batch_size" in walked.free and "batch_size" in box:
        box["batch_size"] = _within_data(box["batch_size"], batches)
    return SearchSettings(chart, SearchPlan(name, Grid(walked, start), own, seed, box, uniform), words, held)


def _fitted(chart: Chart, objective: AnyObjective) -> Chart:
    """The chart without what the objective does not take (OPTIONAL), and with what our trainer needs beside it, held.

    So chart=lr_only searches lr, with momentum and wd as they start.
    """
    if isinstance(objective, CommandObjective):
        return chart
    if isinstance(objective, CallableObjective):
        needed, taken = list[str](), [name for name in OPTIONAL if objective.takes(name)]
    else:
        needed = [name for name in objective.hyperparameters if name not in ("lr", "sigma")]
        taken = needed
    if unused := [name for name in OPTIONAL if name in chart.hyperparameters and name not in taken]:
        chart = chart.restrict(name for name in chart.hyperparameters if name not in unused)
    missing = [name for name in needed if name not in chart.hyperparameters]
    one_minus = frozenset(name for name in missing if enters_as_one_minus(name))
    return replace(
        chart,
        hyperparameters=(*chart.hyperparameters, *missing),
        fixed=chart.fixed | frozenset(missing),
        one_minus=chart.one_minus | one_minus,
    )


def _check_shapes(chart: Mapping[str, Any]) -> None:
    """Raise ConfigError unless the keys of a chart hold lists, axes and a number where they are needed."""
    for key in ("axes", "hyperparameters", "one_minus", "whole", "fixed"):
        if not isinstance(chart.get(key) or [], list):
            raise wrong(f"chart.{key}", chart[key], "must be a list")
    axes = chart.get("axes") or [None]
    if not all(isinstance(axis, Mapping) and isinstance(axis.get("exponents"), Mapping) for axis in axes):
        raise wrong("chart.axes", chart.get("axes"), "must hold axes such as {name: wd, exponents: {wd: 1}}")
    read_value(float, chart.get("step", 2.0), "chart.step")


def _deterministic(given: Any, objective: AnyObjective) -> bool | None:
    """Whether two runs of a point agree; None where they are to show it, as no seed tells them apart."""
    if given != "auto":
        known: bool = read_value(bool, given, "deterministic")
        return known
    return False if objective.takes_seed else None


def _read_names(settings: Mapping[str, Any], key: str) -> list[str] | None:
    """A list of hyperparameters, by their short names; None where there is none."""
    given = settings[key]
    names = [given] if isinstance(given, str) else given
    if names is None:
        return None
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise wrong(key, given, "must be a list such as [lr,wd]")
    return [canonical(name) for name in names]


def _all_but(chart: Chart, names: list[str] | None) -> list[str]:
    """The hyperparameters of a chart that `tune` leaves out."""
    if names is None:
        return []
    if unknown := [name for name in names if name not in chart.hyperparameters]:
        problem = f"names no hyperparameter of chart {chart.name}, which has {', '.join(chart.hyperparameters)}"
        raise wrong("tune", unknown, problem)
    return [name for name in chart.hyperparameters if name not in names]


def _within_data(pair: tuple[float, float], batches: tuple[float, float]) -> tuple[float, float]:
    """The batch sizes of a range that a task can take."""
    low, high = max(batches[0], pair[0]), min(batches[1], pair[1])
    if low >= high:
        problem = f"has no batch size from {batches[0]:g} to {batches[1]:g}, the training examples of the task"
        raise wrong("box.batch_size", list(pair), problem)
    return low, high


def _read_start(settings: Mapping[str, Any], chart: Chart, task: AnyTask) -> tuple[dict[str, float], dict[str, str]]:
    """The start's values of the chart's hyperparameters, and those that are words, with usual values in their place.

    A missing batch size is the task's.
    """
    given = canonical_keys(settings)
    words = {key: str(given[key]) for key, known in START_WORDS.items() if given.get(key) in known}
    given |= {key: value for key, value in typical_start(chart).items() if key in words}
    if batch_sizes(task) is not None and given.get("batch_size") is None and "batch_size" in chart.hyperparameters:
        given["batch_size"] = getattr(task, "batch_size", None)
    start: dict[str, float] = {}
    for name in chart.hyperparameters:
        if given.get(name) is None:
            raise ConfigError(f"chart={chart.name} needs start.{name}; set it to a number", key=f"start.{name}")
        start[name] = read_value(int if name in chart.whole else float, given[name], f"start.{name}")
    return start, words


def _read_box(settings: Mapping[str, Any]) -> tuple[dict[str, tuple[float, float]], frozenset[str]]:
    """The ranges, and which of them are uniform."""
    if not isinstance(settings, Mapping):
        raise wrong("box", settings, "must hold ranges such as box.lr=[0.001,1]")
    box, uniform = {}, set()
    for name, given in canonical_keys(settings).items():
        key, pair = f"box.{name}", given
        if isinstance(given, list) and given[2:] in (["log"], ["uniform"]):
            pair = given[:2]
            uniform |= {name} if given[2] == "uniform" else set()
        if not isinstance(pair, list) or len(pair) != 2:
            raise wrong(key, given, "must be two numbers such as [0.001,1], or [0.001,0.01,uniform]")
        low, high = (read_value(float, value, key) for value in pair)
        if not 0 < low < high:
            raise wrong(key, pair, "must have 0 < low < high")
        box[name] = (low, high)
    return box, frozenset(uniform)
