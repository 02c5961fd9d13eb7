"""What is shown while a search runs: a live table in a terminal, else one plain line a run.

`Report` is the listener that tuning/loop.py calls as runs begin, are evaluated and end, and when all is over. It only
reads the study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from flatdirs.backend.table_rows import Row, counted, rows, significant
from flatdirs.errors import ConfigError
from flatdirs.objectives.evaluation import edge_warning, evaluation_note
from flatdirs.report.closing import place, print_result, print_summary
from flatdirs.report.command_lines import recognised_lines
from flatdirs.report.console import Output
from flatdirs.report.range_edges import edge_lines, uniform_lines, unused_lines
from flatdirs.report.tables import print_runs, reasoned_line, runs_table
from flatdirs.tuning.best_text import best_text
from flatdirs.tuning.confirm import seeds_text
from flatdirs.tuning.formatting import duration, shown_setting, value_text

if TYPE_CHECKING:
    from flatdirs.backend.study import Study
    from flatdirs.tuning.loop import Result
    from flatdirs.tuning.settings import TuneConfig

CHROME = 12  # lines of a terminal that are not rows: progress, borders, prompt


class Report:
    """Prints a search while it runs. In a terminal (or with `live=True`) the table is redrawn in place."""

    def __init__(self, live: bool | None = None, console: Console | None = None) -> None:
        self.console = console or Output()
        self.live = self.console.is_terminal if live is None else live
        self._printed: set[str] = set()
        self._display: Live | None = None
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
            console=self.console,
        )  # fmt: skip
        self._bar = self._progress.add_task("", total=None, note="")
        self._left = Text("")

    def begin(self, config: TuneConfig, study: Study, expected_seconds: float | None) -> None:
        """Say what runs, where it is stored, and how long one run should take."""
        start = ", ".join(f"{name}={shown_setting(value)}" for name, value in config.plan.grid.start.items())
        for line in recognised_lines(config):
            self.say(line)
        done = len(study.runs())
        begin = f" from {start}" if config.plan.on_grid else ""
        self.say(f"study {study.name} in {place(config)}: search {config.plan.name}{begin}")
        if done:
            self.say(f"continuing after {counted(done)}")
        cost = "" if expected_seconds is None else f", each about {duration(expected_seconds)} here"
        self.say(f"at most {counted(config.limits.budget)}{cost}")
        if (often := evaluation_note(config.objective, config.plan.grid.start)) is not None:
            self.say(often)
        unrewarded = edge_warning(config.objective, config.plan.grid.start)
        for sentence in [*([] if unrewarded is None else [unrewarded]), *uniform_lines(config), *unused_lines(config)]:
            self.say(f"warning: {sentence}")
        self.config, self.study = config, study
        if self.live:
            self._display = Live(self._picture(), console=self.console, refresh_per_second=4, transient=True)
            self._display.start()
        else:
            self._print_new_rows()

    def run_started(self, run: int, why: str, hyperparameters: Mapping[str, float], left: str) -> None:
        """Reset the bar for a new run."""
        self._left = Text(f"run {run}: {why}; {left}")
        self._start_bar(f"run {run}")

    def progress(self, done: int, total: int | None, value: float) -> None:
        """Move the bar."""
        note = value_text(value, self.config.objective.unit) if math.isfinite(value) else ""
        self._progress.update(self._bar, completed=done, total=total, note=note)

    def run_ended(self, study: Study) -> None:
        """Show the new row."""
        if self._display is None:
            self._print_new_rows()
        else:
            self._display.update(self._picture(), refresh=True)

    def confirming(self, what: str, number: int, of: int) -> None:
        """Say which run of the race begins."""
        self._left = Text(f"confirming: {number} of at most {seeds_text(self.config, of)}")
        self._start_bar(f"{what} {number}/{of}")
        if self._display is None and (line := str(self._left)) not in self._printed:  # once for all that race
            self._printed.add(line)
            self.say(line)

    def say(self, line: str) -> None:
        """Print a remark, above the live display where there is one."""
        self.console.print(escape(line), soft_wrap=True)

    def end(self, config: TuneConfig, study: Study, result: Result) -> None:
        """The closing tables, and what to type next."""
        was_live = self._display is not None
        self.close()
        if not was_live:
            self._print_new_rows()  # those of other workers
        else:
            print_runs(self.console, config.plan.grid.chart, rows(study), config.objective.unit)
        print_summary(self.console, study, config.objective.unit)
        self.say(f"stopped: {result.reason}")
        if others := len(study.at_work()):
            self.say(f"other workers are still making {counted(others)}; the last worker to end decides")
        if (unreached := _never_pruned(config, study)) is not None:
            self.say(f"warning: {unreached}")
        print_result(self.console, config, study, result)
        if result.winner is not None and not config.in_python:
            for line in edge_lines(config, result.winner.hyperparameters):
                self.say(line)

    def close(self) -> None:
        """Remove the live display."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def _start_bar(self, description: str) -> None:
        self._progress.reset(self._bar, description=description, total=self.config.objective.total, note="")
        if self._display is not None:
            self._display.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        most = max(3, self.console.size.height - CHROME)
        chart, unit = self.config.plan.grid.chart, self.config.objective.unit
        table = runs_table(chart, rows(self.study), unit, most, self.console.width)
        best = best_text(self.study, unit)
        return Group(self._progress, self._left, table, *([] if best is None else [Text(f"best: {best}")]))

    def _print_new_rows(self) -> None:
        found = rows(self.study)
        digits = significant(row.value for row in found)
        for row in found:
            if (mark := _mark(row)) not in self._printed:  # runs of other workers may come in between
                self._printed.add(mark)
                self.say(reasoned_line(self.config.plan.grid.chart, row, self.config.objective.unit, digits))


def _never_pruned(config: TuneConfig, study: Study) -> str | None:
    """The pruner's sentence if no finished run reported often enough for it to stop one."""
    ended = [trial.last_step or 0 for trial, outcome in study.runs() if outcome.state == "finished"]
    if not ended or config.evaluations is not None:  # known and checked before the first run
        return None
    try:
        config.pruning.check(max(ended))
    except ConfigError as error:
        return str(error)
    return None


def _mark(row: Row) -> str:
    """What tells a row from those already printed."""
    return repr((row.run, row.axis, row.move, row.value, row.change, row.verdict))
