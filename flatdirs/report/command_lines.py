"""What was recognised in a user's command, and the command with other values, as lines to print."""

from __future__ import annotations

from flatdirs.backend.trials import study_folder
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.search.suggest import suggest
from flatdirs.search.types import RunId
from flatdirs.tuning.commands import command_line
from flatdirs.tuning.formatting import shown_setting
from flatdirs.tuning.settings import TuneConfig

DRY_COMMANDS = 3


def recognised_lines(config: TuneConfig) -> list[str]:
    """Command, tuned and held numbers, chart, metric and seed; nothing for other objectives."""
    objective = config.objective
    if not isinstance(objective, CommandObjective):
        return []
    chart, template = config.plan.grid.chart, objective.template
    start = config.plan.grid.start
    tuned = ", ".join(f"{name} {shown_setting(start[name])}" for name in (*chart.free, *chart.choices))
    lines = [f"command: {objective.task.command}"]
    lines.append(f"tuned: {tuned}, along {', '.join(axis.name for axis in chart.axes)} (chart {chart.name})")
    if objective.note:
        lines.append(f"wd: {objective.note}")
    if config.held:
        every = {**template.slots, **template.held}
        held = (f"{name} {every[name].notation} ({why})" for name, why in config.held.items())
        lines.append(f"held: {', '.join(held)}")
    metric = objective.task.metric
    side = {True: "higher", False: "lower"}[config.maximize]
    lines.append(f"metric: {metric.label}, {side} is better" if metric.told else "metric: found in the first run")
    lines.append(
        "seed: given to the command, another one for each replicate"
        if template.takes_seed
        else "seed: none in the command, so every run is a fresh draw"
    )
    return lines


def dry_run_lines(config: TuneConfig) -> list[str]:
    """What was recognised, and the first commands."""
    objective, plan = config.objective, config.plan
    lines = recognised_lines(config)
    if not isinstance(objective, CommandObjective) or plan.settings is None:
        return [*lines, f"search {plan.name}, at most {config.limits.budget} runs; nothing was run"]
    pending: list[RunId] = []
    for number in range(1, DRY_COMMANDS + 1):
        if (found := suggest(plan.grid, plan.settings, [], pending)) is None:
            break
        values = plan.grid.hyperparameters(found.point)
        folder = study_folder(config.output, config.study) / "runs" / f"{number:04d}"
        lines.append(f"run {number}: {command_line(objective, values, plan.seed + found.replicate, folder)}")
        pending.append(found.id)
    return [*lines, "runs 2 and 3 are those of three workers; one worker waits for run 1. Nothing was run"]
