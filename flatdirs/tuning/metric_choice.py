"""Which of the numbers that a command prints is tuned, where that was not told: the start is run to see them.

    TuneConfig without a metric → one run of the start → its only usual validation name, or the question which one

The run is kept in its folder and counts as the first one of the study. Which name was taken is stored there too, with
the study, as its metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from flatdirs.backend.storages import make_folder
from flatdirs.backend.trials import study_folder
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import RunInfo
from flatdirs.objectives.command.metric import Seen
from flatdirs.objectives.command.metric_config import MetricConfig
from flatdirs.objectives.command.metric_names import direction_of, is_test_metric, usual_name
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.tuning.failures import stopping
from flatdirs.tuning.own_storage import own_identity
from flatdirs.tuning.settings import TuneConfig

MOST_SHOWN = 30
Say = Callable[[str], None]


def with_metric(config: TuneConfig, say: Say) -> TuneConfig:
    """The configuration with a metric and its direction. Raises ConfigError where a person has to tell either."""
    objective = config.objective
    if not isinstance(objective, CommandObjective):
        return config
    metric = objective.task.metric
    if metric.told:
        _require_direction(metric, config.direction)
        return config
    name = _stored(config) or _found(config, objective, say)
    chosen = replace(metric, name=name)
    direction = _require_direction(chosen, config.direction)
    task = replace(objective.task, metric=chosen)
    return replace(
        config,
        task=task,
        objective=replace(objective, task=task),
        maximize=direction == "maximize",
        direction=direction,
    )


def _require_direction(metric: MetricConfig, told: str | None) -> str:
    direction = told or direction_of(metric.label)
    if direction is None:
        raise ConfigError(
            f"whether a higher {metric.label} is better cannot be told from its name; set direction=maximize or "
            f"direction=minimize",
            key="direction",
        )
    return direction


def _stored(config: TuneConfig) -> str | None:
    """The metric that an earlier command of this study has found."""
    name: str | None = own_identity(config).get("task", {}).get("metric", {}).get("name")
    return name


def _found(config: TuneConfig, objective: CommandObjective, say: Say) -> str:
    """The only usual validation name among what the start prints."""
    say("no metric was told: the start is run to see which numbers it prints")
    folder = study_folder(config.output.absolute(), config.study)
    make_folder(folder)
    run = RunInfo(config.study, 1, "0001", folder)
    seen, found = objective.scout(config.plan.grid.start, config.plan.seed, run)
    if found.failure is not None:
        raise stopping("the first run", found)
    name = usual_name(seen)
    if name is None:
        raise ConfigError(
            f"the command does not say which of its numbers is to be tuned; set metric=NAME (the run is kept): "
            f"{_listed(seen) or 'it printed none that has a name'}",
            key="metric",
            detail="" if seen else found.log,
        )
    say(f"metric: {name}, the only {'test' if is_test_metric(name) else 'validation'} metric that it prints")
    return name


def _listed(seen: Mapping[str, Seen]) -> str:
    """The numbers seen, with how often and the last value."""
    often = sorted(seen, key=lambda name: -seen[name].count)[:MOST_SHOWN]
    return ", ".join(f"{name} ({seen[name].count}×, last {seen[name].last:g})" for name in often)
