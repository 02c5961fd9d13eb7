"""The closing lines of a search: the best run, what the race says of it, what is handed over, and what to type next.

The search takes the point with the best expected value, which need not be the best observed; the lines say both. What
is handed over may be the start; all commands are for that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from flatdirs.backend.table_rows import DIGITS, axis_lines, digits_of_mean, significant
from flatdirs.backend.trials import PROVENANCE
from flatdirs.errors import masked
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.report.failures import failure_line
from flatdirs.report.findings import finding_lines
from flatdirs.report.tables import axes_table, print_whole
from flatdirs.search.known import values_by_point
from flatdirs.search.race import START, still_racing
from flatdirs.search.score_warping import ROUNDING
from flatdirs.training.task import TextTask
from flatdirs.tuning.best_text import best_setting, lead_text, verdict_lines
from flatdirs.tuning.commands import SECRET, command_line, python_call, search_from, train_command, train_from
from flatdirs.tuning.confirm import seeds_text
from flatdirs.tuning.formatting import assignments, value_text

if TYPE_CHECKING:
    from pathlib import Path

    from flatdirs.backend.study import Study
    from flatdirs.backend.verdict import Verdict
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
        replicated = any(len(values) > 1 for values in values_by_point(study.grid_runs()).values())
        for line in finding_lines(findings, unit, replicated):
            console.print(escape(line), soft_wrap=True)


def print_result(console: Console, config: TuneConfig, study: Study, result: Result) -> None:
    """The race, what is handed over, and what to type next."""
    lines = [*_race_lines(config, result), *verdict_lines(result.verdict)]
    if any(trial.user_attrs.get(PROVENANCE, {}).get("test_set") for trial, _ in study.runs()):
        lines.append("the metric is of the test set: tuned on it, its values are no estimate for new data")
    if result.verdict is not None and result.best_file is not None:
        lines += [*_commands(config, result.verdict, result.best_file), f"the study is stored in {place(config)}"]
    for line in lines:
        console.print(escape(line), soft_wrap=True)


def _race_lines(config: TuneConfig, result: Result) -> list[str]:
    """A line for each that raced: mean and standard deviation of its values, and its paired lead."""
    unit, verdict = config.objective.unit, result.verdict
    text = isinstance(config.task, TextTask)
    part = " on the test text" if text else " on test images" if hasattr(config.task, "test_images") else ""
    most = significant((value for told in result.confirmed.values() for value in told), _digits(result))
    lines = []
    for name, outcomes in result.confirmed.items():
        told = mean_text(outcomes, unit, most)
        if verdict is not None and name in verdict.leads:
            told += f", {lead_text(verdict.leads[name], unit)}"
            told += ", dropped" if _dropped(config, result, name) else ""
        lines.append(f"confirmed{part}, {seeds_text(config, len(outcomes))}: {name} {told}")
    return lines


def _dropped(config: TuneConfig, result: Result, name: str) -> bool:
    """Whether a candidate was dropped after its last seed, though it might have had more."""
    made = len(result.confirmed[name])
    then = {one: values[:made] for one, values in result.confirmed.items() if len(values) >= made}
    racing = still_racing(then, [one for one in then if one != START], config.maximize)
    return made < config.limits.confirm and name not in racing


def _digits(result: Result) -> int:
    return DIGITS if result.winner is None else result.winner.digits


def mean_text(outcomes: Sequence[float | None], unit: str, most: int) -> str:
    """The mean of some runs, with their standard deviation and how many diverged. `most`: significant digits."""
    values = [value for value in outcomes if value is not None]
    lost = f" ({len(outcomes) - len(values)} diverged)" if len(values) < len(outcomes) else ""
    if not values:
        return f"no value{lost}"
    mean = math.fsum(value / len(values) for value in values)  # their sum may overflow
    even = max(values) - min(values) <= ROUNDING * max(map(abs, values))
    deviation = 0.0 if even else statistics.stdev(values)
    spread = f" ± {value_text(deviation, unit, 2)} (standard deviation)" if len(values) > 1 else ""
    digits = digits_of_mean(mean, deviation / math.sqrt(len(values)), most)
    return f"{value_text(mean, unit, digits)}{spread}{lost}"


def _commands(config: TuneConfig, verdict: Verdict, file: Path) -> list[str]:
    """What to type next with what is handed over."""
    train = _train_line(config, verdict.hyperparameters)
    if config.in_python:
        return [f"call it: {train}"]
    again = f"start from it: {search_from(config, file, verdict.hyperparameters)}"
    if isinstance(config.objective, ImageObjective):
        return [f"train with it: {train_from(file)}", again, f"or: {train}"]
    return [f"run it: {train}", again] if isinstance(config.objective, CommandObjective) else [again]


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
