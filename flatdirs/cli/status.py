"""`python -m flatdirs.status`: a running or finished study, read from another shell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatdirs.cli import frame as command_line

if TYPE_CHECKING:
    from rich.console import Console

    from flatdirs.backend.study import Study


def run(settings: dict[str, Any]) -> int:
    """Print a study: its rows, who is running what, and the best so far."""
    from flatdirs.backend.locate import latest_study, open_existing
    from flatdirs.backend.storages import close_storage
    from flatdirs.backend.study import read_study, view_study
    from flatdirs.backend.table_rows import rows
    from flatdirs.config.tune import read_storage
    from flatdirs.report.closing import print_summary
    from flatdirs.report.console import Output
    from flatdirs.report.tables import print_runs
    from flatdirs.training.metrics import METRICS

    config = read_storage(settings["storage"])
    output = Path(str(settings["output"]))
    name = settings["study"] or latest_study(output, config)
    storage = open_existing(config, output, str(name))
    try:
        study = view_study(storage, str(name), 60 * config.stale_minutes)
        identity = read_study(storage, str(name))[1]
        task = identity["task"]
        unit = METRICS[identity["metric"]["name"]].unit if "metric" in identity else task.get("unit", "%")
        console = Output()
        console.print(f"study {study.name}: search {study.plan.name}, task {task['name']}")
        print_runs(console, study.plan.grid.chart, rows(study), unit)
        print_summary(console, study, unit)
        _print_workers(console, study)
    finally:
        close_storage(storage)
    return 0


def _print_workers(console: Console, study: Study) -> None:
    """What is running now, and who runs it."""
    from flatdirs.backend import claims
    from flatdirs.backend.liveness import describe_worker

    live = study.live()
    for trial in live:
        claim = claims.read(trial) or {}
        seconds = time.time() - float(trial.system_attrs.get(claims.ALIVE, claim.get("time", time.time())))
        steps = len(trial.intermediate_values)
        console.print(
            f"running: {describe_worker(claim)}, {steps} evaluations reported, last heard {seconds:.0f} s ago"
        )
    trace = study.trace()
    if not live:
        over = trace is not None and trace.over
        console.print("nothing is running; the search is over" if over else "nothing is running")


def main() -> None:
    """The console script."""
    command_line.main("status", run)
