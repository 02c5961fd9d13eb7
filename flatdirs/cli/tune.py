"""`flatdirs tune`: find good settings. Keys and groups: conf/tune.yaml, or --help."""

from __future__ import annotations

import time
from typing import Any, NoReturn

from flatdirs.cli import frame


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def run(settings: dict[str, Any], words: list[str]) -> int:
    """One search, or the rest of one, from its settings to the closing table."""
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
    report = Report(config.live, arguments=words)
    start, given = numeric["start"], settings["start"]
    found = [f"start.{key}={start[key]}" for key in start if start[key] != given[key]]  # so that helpers probe nothing
    try:
        with Workers("tune", count, report.console.print, [*words, "confirm=0", "live=false", *found]) as workers:
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


def main(arguments: list[str] | None = None) -> NoReturn:
    frame.main("tune", run, arguments)
