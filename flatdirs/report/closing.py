"""The closing lines of a search: the best run, how far to trust it, what new seeds say of it, and what to type next.

The search takes the point with the best expected value, which need not be the best observed; the lines say both. If
new seeds do not find the winner better than the start, the command of the start stands beside it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from flatdirs.backend.table_rows import axis_lines, digits_of_mean, significant
from flatdirs.backend.trials import PROVENANCE
from flatdirs.errors import masked
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.report.failures import failure_line
from flatdirs.report.findings import finding_lines
from flatdirs.report.tables import axes_table, print_whole
from flatdirs.training.task import ImageTask, TextTask
from flatdirs.tuning.best_text import best_setting
from flatdirs.tuning.commands import SECRET, command_line, python_call, search_from, train_command, train_from
from flatdirs.tuning.formatting import assignments, value_text

if TYPE_CHECKING:
    from flatdirs.backend.study import Study
    from flatdirs.tuning.loop import Result
    from flatdirs.tuning.settings import TuneConfig


def print_summary(console: Console, study: Study, unit: str) -> None:
    """Where each axis of a coordinate descent ended, the best run, and what the search has learnt."""
    lines = axis_lines(study)
    if lines:
        print_whole(console, axes_table(study.plan.grid.chart, lines, unit))
    if (found := best_setting(study, unit)) is None:
        console.print(escape(failure_line(study)), soft_wrap=True)
        return
    console.print(escape(f"best: {found}"), soft_wrap=True)
    if study.deterministic:
        console.print("two runs of the same settings give the same value: the best observed is the best")
    if (findings := study.findings()) is not None:
        for line in finding_lines(findings, unit):
            console.print(escape(line), soft_wrap=True)


def print_result(console: Console, config: TuneConfig, study: Study, result: Result) -> None:
    """The confirmed values, and what to type next."""
    lines = _confirmed_lines(config, result)
    if result.doubt is not None:
        lines.append(result.doubt.sentence)
    if any(trial.user_attrs.get(PROVENANCE, {}).get("test_set") for trial, _ in study.runs()):
        lines.append("the metric is of the test set: tuned on it, its values are no estimate for new data")
    if result.winner is not None and result.best_file is not None:
        lines += [*_commands(config, result), f"the study is stored in {place(config)}"]
    for line in lines:
        console.print(escape(line), soft_wrap=True)


def _confirmed_lines(config: TuneConfig, result: Result) -> list[str]:
    """The mean and standard deviation over the new seeds, of the winner and of the start."""
    unit, seeded = config.objective.unit, config.objective.takes_seed
    text = isinstance(config.task, TextTask)
    part = "the test text" if text else "test images" if isinstance(config.task, ImageTask) else "new seeds"
    known = [value for outcomes in result.confirmed.values() for value in outcomes]
    most = significant(known, 6 if result.winner is None else result.winner.digits)
    lines = []
    for what, outcomes in result.confirmed.items():
        values = [value for value in outcomes if value is not None]
        mean = math.fsum(value / len(values) for value in values) if values else None  # their sum may overflow
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        spread = f" ± {value_text(deviation, unit, 2)} (standard deviation)" if len(values) > 1 else ""
        digits = digits_of_mean(mean or 0.0, deviation / math.sqrt(len(values) or 1), most)
        shown = "no value" if mean is None else value_text(mean, unit, digits)
        lost = f", {len(outcomes) - len(values)} diverged" if len(values) < len(outcomes) else ""
        several = "s" if len(outcomes) > 1 else ""
        count = len(outcomes)
        by = f"on {part}, {count} seed{several}" if seeded else f"by {count} fresh run{several}"
        lines.append(f"confirmed {by}{lost}: {what} {shown}{spread}")
    return lines


def _commands(config: TuneConfig, result: Result) -> list[str]:
    """What to type next with the winner, and with the start if new seeds do not find the winner better."""
    assert result.winner is not None
    assert result.best_file is not None
    start_first = result.doubt is not None and result.doubt.start_is_better
    if config.in_python:
        lines = [f"call it: {_train_line(config, result.winner.hyperparameters)}"]
        start_line = f"call the start: {_train_line(config, config.plan.grid.start)}"
        return [start_line, *lines] if start_first else lines if result.doubt is None else [*lines, start_line]
    trains = isinstance(config.objective, ImageObjective)
    runs = isinstance(config.objective, CommandObjective)
    file, lines = result.best_file, list[str]()
    start = _train_line(config, config.plan.grid.start)
    if start_first:
        lines.append(f"train with the start: {start}")
    if trains:
        lines.append(f"{'or with the winner' if start_first else 'train with it'}: {train_from(file)}")
    if runs:
        label = "or with the winner" if start_first else "run it"
        lines.append(f"{label}: {_train_line(config, result.winner.hyperparameters)}")
    again = search_from(config, file, result.winner.hyperparameters)
    lines.append(f"{'start from the winner' if start_first else 'start from it'}: {again}")
    if trains and not start_first:
        lines.append(f"or: {_train_line(config, result.winner.hyperparameters)}")
    if result.doubt is not None and not start_first:
        lines.append(f"or train with the start, which is as good so far: {start}")
    return lines


def _train_line(config: TuneConfig, hyperparameters: Mapping[str, float]) -> str:
    """The command that trains with these; for a function, which only its owner can call, the hyperparameters."""
    if isinstance(config.objective, CommandObjective):
        line = command_line(config.objective, hyperparameters, config.plan.seed)
        return f"{line}  # {SECRET}" if "***" in line else line
    if isinstance(config.objective, CallableObjective) and config.in_python:
        return python_call(config.objective, hyperparameters)
    if not isinstance(config.objective, ImageObjective):
        return assignments(hyperparameters)
    return train_command(config.objective.config(hyperparameters, config.plan.seed))


def place(config: TuneConfig) -> str:
    """Where a study is stored, without passwords."""
    if config.storage.kind == "url":
        return masked(str(config.storage.url))
    return "memory" if config.storage.kind == "memory" else str(config.output / config.study)
