"""`flatdirs tune`: find good settings. Keys and groups: conf/tune.yaml, or --help."""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

from flatdirs.cli import run_command


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def run(settings: dict[str, Any], words: list[str]) -> int:
    """One search, or the rest of one, from its settings to the closing table."""
    began = time.monotonic()  # before the heavy imports, which count towards `minutes`
    from flatdirs.config.prior import told_start, with_prior
    from flatdirs.config.tune import read_tune
    from flatdirs.report.live import Report
    from flatdirs.tuning.commands import helper_overrides
    from flatdirs.tuning.loop import tune
    from flatdirs.tuning.metric_choice import with_metric
    from flatdirs.tuning.start import with_start
    from flatdirs.tuning.workers import HELPER, Workers, refuse_torchrun

    refuse_torchrun(os.environ)
    decides = os.environ.pop(HELPER, None) is None  # popped, for what runs below is no helper
    config = read_tune(settings)
    config = with_prior(config, told_start(words, config), say)
    if settings.get("dry_run"):
        from flatdirs.report.command_lines import dry_run_lines

        for line in dry_run_lines(config):
            say(line)
        return 0
    try:
        config = with_metric(with_start(config, say), say)
    except KeyboardInterrupt:
        say("interrupted; no run has ended, so the same command begins anew")
        raise
    report = Report(config.live)
    try:
        with Workers("tune", config.workers, report.say, helper_overrides(config)) as workers:
            tune(config, report, began, workers, decides)
    except KeyboardInterrupt:
        report.close()
        report.say(f"interrupted; the same command continues study {config.study} with the run that was in progress")
        raise
    finally:
        report.close()
    return 0


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("tune", run, arguments)
