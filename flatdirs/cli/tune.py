"""`python -m flatdirs.tune`: find good settings. Keys and groups: conf/tune.yaml, or --help."""

from __future__ import annotations

import sys
import time
from typing import Any

from flatdirs.cli import frame as command_line


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def run(settings: dict[str, Any]) -> int:
    """One search from settings to its closing table."""
    began = time.monotonic()  # before the heavy imports, which count towards `minutes`
    from flatdirs.config.tune import read_storage, read_tune
    from flatdirs.config.values import read_integer
    from flatdirs.report.live import Report
    from flatdirs.tuning.loop import tune
    from flatdirs.tuning.start import numeric_start
    from flatdirs.tuning.workers import Workers, require_shared

    count = read_integer(settings, "workers", 1)
    require_shared(count, read_storage(settings["storage"]).kind)
    try:
        numeric = numeric_start(settings, say)
    except KeyboardInterrupt:
        say("interrupted; no run had begun")
        raise
    config = read_tune(numeric)
    report = Report(config.live, arguments=sys.argv[1:])
    start, words = numeric["start"], settings["start"]
    found = [f"start.{key}={start[key]}" for key in start if start[key] != words[key]]  # helpers probe nothing
    more = ("confirm=0", "live=false", *found)
    try:
        with Workers("tune", count, report.console.print, more) as workers:
            tune(config, report, began, workers.join)
    except KeyboardInterrupt:
        report.close()
        report.console.print(
            f"interrupted; the same command continues study {config.study} with the run that was in progress"
        )
        raise
    finally:
        report.close()
    return 0


def main() -> None:
    """The console script."""
    command_line.main("tune", run)
