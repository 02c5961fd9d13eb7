"""The closing words: the best run and how much to trust it, what fresh seeds say of it, and what to type next.

The search holds for best what all runs together expect most of, which need not be the highest value seen; the words
say both. Where fresh seeds do not find the winner better than the start, the start's command stands beside it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from flatdirs.backend.table_rows import axis_lines, significant, winner
from flatdirs.report.failures import failure_line
from flatdirs.report.findings import finding_lines
from flatdirs.report.tables import axes_table, overrides, value_text
from flatdirs.tuning.best_file import next_commands, train_overrides, winner_value

if TYPE_CHECKING:
    from flatdirs.backend.study import Study
    from flatdirs.config.tune import TuneConfig
    from flatdirs.tuning.loop import Result


def print_summary(console: Console, study: Study, unit: str) -> None:
    """The source's table, the best run, and what the search has learnt."""
    lines = axis_lines(study)
    if lines:
        console.print(axes_table(study.plan.grid.chart, lines, unit))
    best = winner(study)
    found = best_line(study, unit)
    if best is None or found is None:
        console.print(escape(failure_line(study)), soft_wrap=True)
        return
    console.print(escape(f"{found}, {overrides(best.hyperparameters)}"), soft_wrap=True)
    if (findings := study.findings()) is not None:
        for line in finding_lines(findings, unit, 1 if study.maximize else -1):
            console.print(escape(line), soft_wrap=True)


def best_line(study: Study, unit: str) -> str | None:
    """The best point so far, what is expected of it, and the best value seen where another point has it."""
    best = winner(study)
    if best is None:
        return None
    notes = []
    findings = study.findings()
    if findings is not None and findings.expected is not None and findings.best == best.point:
        expected = findings.expected * (1 if study.maximize else -1)
        notes.append(f"expected {value_text(expected, unit, best.digits)}, by the model of all runs")
    if best.seen is not None:
        most = "highest" if study.maximize else "lowest"
        notes.append(f"the {most} seen was {value_text(best.seen[1], unit, best.digits)} in run {best.seen[0]}")
    told = f" ({'; '.join(notes)})" if notes else ""
    return f"best: run {best.run} of {len(study.runs())}, {winner_value(best, unit)}{told}"


def print_result(console: Console, config: TuneConfig, result: Result) -> None:
    """Confirmed values, and what to type next."""
    unit = config.objective.unit
    known = [value for outcomes in result.confirmed.values() for value in outcomes]
    digits = significant(known, 6 if result.winner is None else result.winner.digits)
    for what, outcomes in result.confirmed.items():
        values = [value for value in outcomes if value is not None]
        spread = f" ± {statistics.stdev(values):{'.2f' if unit == '%' else '.2g'}}" if len(values) > 1 else ""
        part = "test images" if hasattr(config.task, "test_images") else "fresh seeds"
        mean = math.fsum(value / len(values) for value in values)  # of numbers whose sum may be none
        shown = value_text(mean, unit, digits) if values else "no value"
        lost = f", {len(outcomes) - len(values)} diverged" if len(values) < len(outcomes) else ""
        seeds = f"{len(outcomes)} seed{'s' if len(outcomes) > 1 else ''}{lost}"
        console.print(escape(f"confirmed on {part}, {seeds}: {what} {shown}{spread}"), soft_wrap=True)
    lines = [] if result.winner is None or result.best_file is None else _commands(config, result)
    doubt = doubt_of(config, result)
    for line in [*([] if doubt is None else [doubt[0]]), *lines]:
        console.print(escape(line), soft_wrap=True)
    if lines:
        console.print(escape(f"the study lies in {place(config)}"), soft_wrap=True)


def _commands(config: TuneConfig, result: Result) -> list[str]:
    """What to type next: the winner's commands, and the start's where fresh seeds do not set the winner above it."""
    assert result.winner is not None
    assert result.best_file is not None
    ours, doubt, lines = not hasattr(config.task, "function"), doubt_of(config, result), list[str]()
    start = _train_line(config, config.plan.grid.start) if ours else None
    start = overrides(config.plan.grid.start) if start is None else start
    if doubt is not None and doubt[1]:
        lines.append(f"train with the start: {start}")
    train = "or with the search's winner" if lines else "train with it"
    again = "start from the search's winner" if lines else "start from it"
    for command in next_commands(config, result.best_file):
        lines.append(f"{train if 'flatdirs.train' in command else again}: {command}")
    if ours and (line := _train_line(config, result.winner.hyperparameters)) and not (doubt is not None and doubt[1]):
        lines.append(f"or: {line}")
    if doubt is not None and not doubt[1]:
        lines.append(f"or train with the start, which is as good so far: {start}")
    return lines


def _train_line(config: TuneConfig, hyperparameters: Mapping[str, float]) -> str | None:
    line = train_overrides(config, hyperparameters)
    return None if line is None else f"python -m flatdirs.train {line}"


def doubt_of(config: TuneConfig, result: Result) -> tuple[str, bool] | None:
    """A sentence where fresh seeds do not bear the winner out, and whether they say that the start is better.

    It is where its mean is, by more than the standard error of the difference (by seeds, which are the same for both),
    or where winners diverge more often. A winner that diverges less often than the start is not doubted.
    """
    sign, unit = 1 if config.maximize else -1, config.objective.unit
    if len(result.confirmed) < 2:
        return None
    winners, starts = result.confirmed["winner"], result.confirmed["start"]
    fell, stood = sum(v is None for v in winners), sum(v is None for v in starts)
    pairs = [(w, s) for w, s in zip(winners, starts, strict=False) if w is not None and s is not None]
    gains = [sign * (winner - start) for winner, start in pairs]
    if fell * len(starts) > stood * len(winners):
        told = f"the winner diverged in {fell} of {len(winners)} runs, the start in {stood} of {len(starts)}"
        return f"with fresh seeds {told}: the start is safer", True
    if not gains or fell * len(starts) < stood * len(winners) or (gain := statistics.fmean(gains)) > 0:
        return None
    error = _standard_error(gains)
    if -gain > error:
        by = value_text(-gain, unit, 3)
        return f"with fresh seeds the start is better than the winner, by {by} ± {value_text(error, unit, 2)}", True
    spread = "what the search gained lies within the seeds' spread" if len(gains) > 1 else "one seed tells little"
    return f"with fresh seeds the winner is no better than the start: {spread}", False


def _standard_error(differences: Sequence[float]) -> float:
    """Of the mean of these; infinite where there are too few to tell."""
    count = len(differences)
    return statistics.stdev(differences) / math.sqrt(count) if count > 1 else math.inf


def place(config: TuneConfig) -> str:
    """Where a study lies, in words."""
    kind = config.storage.kind
    if kind == "url":
        return str(config.storage.url).rpartition("@")[2]
    return "memory" if kind == "memory" else str(config.output / config.study)
