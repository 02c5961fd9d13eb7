"""`python -m flatdirs.slices`: a heat map over two hyperparameters, its ridge, and what leaving it costs."""

from __future__ import annotations

import sys
from typing import Any

from flatdirs.cli import frame as command_line


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def run(settings: dict[str, Any]) -> int:
    """Make the runs that are wanted, then draw."""
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
    print(f"slice {config.study}: {len(config.grid.cells())} cells, {y.name} against {x.name}", flush=True)
    try:
        with Workers("slices", count, say, [*sys.argv[1:], "workers=1"]) as workers:
            runs = run_slice(config, say, workers.join)
    except KeyboardInterrupt:
        print(f"interrupted; the same command continues study {config.study}")
        raise
    folder = study_folder(config.output, config.study)
    files = write_slice(folder, config.grid, runs, config.objective.unit, config.maximize, config.floor)
    print(describe(config.grid, runs, config.objective.unit, config.maximize))
    print(f"drawn: {', '.join(str(file) for file in files)}")
    return 0


def main() -> None:
    """The console script."""
    command_line.main("slices", run)
