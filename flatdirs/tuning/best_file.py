"""The winner as a file and as a line to type: a configuration for `train`, and a start for another search."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flatdirs.backend.table_rows import Winner
from flatdirs.objectives.image import ImageObjective
from flatdirs.report.tables import overrides, value_text
from flatdirs.resources import conf_folder
from flatdirs.settings import describe

TRAIN_KEYS = ("precision", "threads", "compile", "evaluate_every", "clip_gradient")  # as `train` has them
USUAL = {"chart": "chart=sgd", "schedule": "schedule=triangle", "optimizer": "optimizer=sgd"}
USUAL |= {"metric": "metric=accuracy", "pruner": "pruner=none"}

if TYPE_CHECKING:
    from flatdirs.config.tune import TuneConfig


def write_winner(
    path: Path, shown: Path, config: TuneConfig, found: Winner, settings: Mapping[str, Any], doubt: str | None = None
) -> None:
    """Write best.yaml whole or not at all, with the commands that use it (`shown`: as a user would type its path).

    It holds the search's own best, whatever fresh seeds say of it; where they do not bear it out, `doubt` is what to
    say. `settings`: seed, task and data, as `train` reads them.
    """
    uses = "".join(f"# {command}\n" for command in next_commands(config, shown))
    value = winner_value(found, config.objective.unit)
    said = "" if doubt is None else f"# {doubt}\n"
    head = f"# The best of study {config.study} by its own runs: run {found.run}, {value}\n{said}{uses}"
    body = yaml.safe_dump({**found.hyperparameters, **settings}, sort_keys=False, allow_unicode=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(head + body, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105  (the atomic one)
    finally:
        part.unlink(missing_ok=True)


def winner_value(found: Winner, unit: str) -> str:
    """The value of the best point: of its run, or in the mean of several."""
    value = value_text(found.mean, unit, found.digits)
    return value if found.runs == 1 else f"{value} in the mean of {found.runs} runs"


def next_commands(config: TuneConfig, path: Path) -> list[str]:
    """What to do with a winner's file: train with it, where the trainer is ours, and start another search from it."""
    file = shlex.quote(str(path))
    if function := getattr(config.task, "function", None):
        task = f"task=callable task.function={shlex.quote(function)}"
        return [f"python -m flatdirs.tune {task} start={file} study=another"]
    known = is_option("task", config.task.name)
    task_words = group_words("task", asdict(config.task)) if known else [f"task={config.task.name}"]
    words = [*task_words, *_chart_words(config), *_recipe_words(config), *_sweep_words(config)]
    words += [f"start={file}"]
    again = f"python -m flatdirs.tune {' '.join(words)} study=another"
    return [f"python -m flatdirs.train --config-file {file}", again]


def train_overrides(config: TuneConfig, hyperparameters: Mapping[str, float]) -> str | None:
    """What to type behind `flatdirs.train` for a run with these: everything that differs from what train would do.

    None for a task that is not in conf/task under its own name; best.yaml works for those too.
    """
    if not is_option("task", config.task.name):
        return None
    settings = {f"data.{key}": value for key, value in asdict(config.data).items()}
    settings |= {key: getattr(config.objective, key) for key in TRAIN_KEYS}
    usual = {"data.path": None, "data.download": False, "data.evaluate": "validation"}
    usual |= {"precision": "auto", "compile": False}
    changed = [f"{key}={_typed(value)}" for key, value in settings.items() if value != usual.get(key)]
    seed = [f"seed={config.plan.seed}"] if config.plan.seed else []
    task = group_words("task", asdict(config.task))
    line = [shlex.quote(word) for word in [*changed, *seed]]
    return " ".join([task[0], overrides(hyperparameters), *task[1:], *_recipe_words(config), *line])


def _recipe_words(config: TuneConfig) -> list[str]:
    """Schedule and optimizer as words of a command line, where they are not the usual ones."""
    if not isinstance(config.objective, ImageObjective):
        return []
    words = []
    for group, settings in config.objective.recipe().items():
        found = group_words(group, settings)
        words += found if found != [USUAL[group]] else []
    return words


def _sweep_words(config: TuneConfig) -> list[str]:
    """Metric, pruner and what they count by, where they are not the usual ones."""
    objective, words = config.objective, list[str]()
    if isinstance(objective, ImageObjective):
        for group, settings in (("metric", describe(objective.metric)), ("pruner", describe(config.pruning))):
            found = group_words(group, settings)
            words += found if found != [USUAL[group]] else []
        keys = {key: getattr(objective, key) for key in ("evaluate_every", "clip_gradient")}
        words += [f"{key}={value}" for key, value in keys.items() if value is not None]
    return words


def _chart_words(config: TuneConfig) -> list[str]:
    """The chart by its name, where it is one of conf/chart and not the usual one."""
    name = config.plan.grid.chart.name.removesuffix("-raw")
    return [f"chart={name}"] if f"chart={name}" != USUAL["chart"] and is_option("chart", name) else []


def group_words(group: str, settings: Mapping[str, Any]) -> list[str]:
    """A group's choice, then its keys that differ from the file of that choice, quoted for a shell."""
    return [shlex.quote(word) for word in unquoted_group_words(group, settings)]


def unquoted_group_words(group: str, settings: Mapping[str, Any]) -> list[str]:
    """The same as a command reads them."""
    usual = yaml.safe_load((conf_folder() / group / f"{settings['name']}.yaml").read_text(encoding="utf-8"))
    changed = [f"{group}.{key}={_typed(value)}" for key, value in settings.items() if usual.get(key) != value]
    return [f"{group}={settings['name']}", *changed]


def is_option(group: str, name: str) -> bool:
    return (conf_folder() / group / f"{name}.yaml").is_file()


def _typed(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
