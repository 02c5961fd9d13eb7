"""Write the raw files of the slices that run.sh made, then draw them.

python -m benchmarks.flat_directions          # studies → raw files (where there are studies) → README.md and pictures
python -m benchmarks.flat_directions --draw   # raw files → README.md and pictures
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from benchmarks import pages
from benchmarks.flat_directions.page import HERE, SLICES
from flatdirs.report.heatmap import write_cells
from flatdirs.slices.cells import SliceAxis, SliceGrid

WHERE = {"weight_decay": ((-5, 4), (-3, 3)), "one_minus_momentum": ((-5, 4), (-3, 3)), "batch_size": ((-4, 5), (-2, 4))}
NOT_TOLD = ("accuracies", "seeds", "seconds", "steps", "host")  # of one run only


def export(name: str) -> None:
    """One study's cells and facts."""
    import optuna

    from flatdirs.backend.storages import open_storage
    from flatdirs.backend.trials import IDENTITY, PROVENANCE, Trials
    from flatdirs.slices.sampler import read_runs

    storage = open_storage("journal", HERE / "studies" / name)
    study = optuna.load_study(study_name=name, storage=storage)
    stored, center = Trials(study, True, 60.0).trials(), study.user_attrs[IDENTITY]["start"]
    x, y = WHERE[name]
    middle = 1 - center["momentum"] if name == "one_minus_momentum" else center[name]
    grid = SliceGrid(
        SliceAxis("learning_rate", center["learning_rate"], 2.0, *x),
        SliceAxis(name, middle, 2.0, *y, name == "batch_size"),
    )
    write_cells(HERE / f"{name}.csv", grid, read_runs(stored))
    provenance = next(trial.user_attrs[PROVENANCE] for trial in reversed(stored) if PROVENANCE in trial.user_attrs)
    facts = {
        "x": asdict(grid.x),
        "y": asdict(grid.y),
        "seeds": grid.seeds,
        "near": grid.near,
        "center": center,
        "steps": provenance["steps"],
        "provenance": {key: value for key, value in provenance.items() if key not in NOT_TOLD},
    }
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Export what there is, unless told only to draw; then draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flat_directions")
    parser.add_argument("--draw", action="store_true", help="draw from the raw files here, read no study")
    if not parser.parse_args().draw:
        for name in SLICES:
            if (HERE / "studies" / name / "journal.log").is_file():
                export(name)
    pages.write("flat_directions")


if __name__ == "__main__":
    main()
