"""`flatdirs slices`: a heat map over two hyperparameters, its ridge, and what it costs to leave the ridge."""

from __future__ import annotations

from typing import Any, NoReturn

from flatdirs.cli import run_command
from flatdirs.cli.tune import say


def run(settings: dict[str, Any], words: list[str]) -> int:
    """Make the runs that are missing, then draw."""
    from flatdirs.backend.trials import study_folder
    from flatdirs.config.slices import read_slices
    from flatdirs.config.values import read_integer
    from flatdirs.report.heatmap import describe, write_slice
    from flatdirs.slices.loop import run_slice
    from flatdirs.tuning.workers import Workers, require_shared

    config = read_slices(settings)
    x, y = config.grid.x, config.grid.y
    count = read_integer(settings, "workers", 1)
    require_shared(count, config.storage.kind)
    say(f"slice {config.study}: {len(config.grid.cells())} cells, {y.name} against {x.name}")
    try:
        with Workers("slices", count, say, [*words, "workers=1"]) as workers:
            workers.start()
            runs = run_slice(config, say, workers.join)
    except KeyboardInterrupt:
        say(f"interrupted; the same command continues study {config.study}")
        raise
    folder = study_folder(config.output, config.study)
    files = write_slice(folder, config.grid, runs, config.objective.unit, config.maximize, config.floor)
    say(describe(config.grid, runs, config.objective.unit, config.maximize))
    say(f"drawn: {', '.join(str(file) for file in files)}")
    return 0


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("slices", run, arguments)
