"""`flatdirs status`: a running or finished study, read from another shell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flatdirs.cli import run_command

if TYPE_CHECKING:
    from rich.console import Console

    from flatdirs.backend.study import Study


def run(settings: dict[str, Any], _: list[str]) -> int:
    """Print a study: its runs, which worker runs what, the best so far, and at the end what is handed over."""
    from flatdirs.backend.locate import existing_study
    from flatdirs.backend.study import read_study, view_study
    from flatdirs.backend.table_rows import rows
    from flatdirs.config.tune import read_storage
    from flatdirs.report.closing import print_summary
    from flatdirs.report.console import Output
    from flatdirs.report.tables import print_runs
    from flatdirs.tuning.best_text import prior_lines, verdict_lines
    from flatdirs.tuning.settings import unit_of

    config, output = read_storage(settings["storage"]), Path(str(settings["output"]))
    with existing_study(config.kind, config.url, output, settings["study"], slices=False) as (storage, name):
        study = view_study(storage, name, 60 * config.stale_minutes)
        identity = read_study(storage, name)[1]
        unit, console = unit_of(identity), Output()
        console.print(f"study {name}: search {study.plan.name}, task {identity['task']['name']}", markup=False)
        for line in prior_lines(identity):
            console.print(line, markup=False, soft_wrap=True)
        print_runs(console, study.plan.grid.chart, rows(study), unit)
        print_summary(console, study, unit)
        for line in verdict_lines(study.verdict(), unit):
            console.print(line, markup=False, soft_wrap=True)
        _print_workers(console, study)
    return 0


def _print_workers(console: Console, study: Study) -> None:
    """What is running now, and who runs it."""
    from flatdirs.backend import claims
    from flatdirs.backend.liveness import describe_worker

    live = study.live()
    for trial in live:
        claim = claims.read(trial) or {}
        begun = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
        seconds = max(0.0, time.time() - float(trial.system_attrs.get(claims.ALIVE, claim.get("time", begun))))
        reported = f"{len(trial.intermediate_values)} evaluations reported"
        line = f"running: {describe_worker(claim)}, {reported}, last heard from {seconds:.0f} s ago"
        console.print(line, markup=False, soft_wrap=True)
    if not live:
        trace = study.trace()
        over = trace is not None and trace.over
        console.print("nothing is running; the search is over" if over else "nothing is running")


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("status", run, arguments)
