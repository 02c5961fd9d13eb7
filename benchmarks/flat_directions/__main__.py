"""Write the raw files of the slices that run.sh trained, then draw the page: python -m benchmarks.flat_directions."""

from __future__ import annotations

import json
from dataclasses import asdict

import optuna

from benchmarks import pages
from benchmarks.flat_directions.page import HERE, SLICES
from flatdirs.backend.storages import open_storage
from flatdirs.backend.trials import IDENTITY, PROVENANCE, Trials
from flatdirs.report.heatmap import write_cells
from flatdirs.slices.cells import SliceAxis, SliceGrid
from flatdirs.slices.sampler import read_runs
from flatdirs.space.names import canonical

STEPS = {"weight_decay": ((-5, 4), (-3, 3)), "one_minus_momentum": ((-5, 4), (-3, 3)), "batch_size": ((-4, 5), (-2, 4))}
ONE_RUN = ("accuracies", "seeds", "seconds", "steps", "host")  # provenance of one run only


def export(name: str) -> None:
    """Write one study's cells and facts."""
    study = optuna.load_study(study_name=name, storage=open_storage("journal", HERE / "studies" / name))
    stored, center = Trials(study, True, 60.0).trials(), study.user_attrs[IDENTITY]["start"]
    x, y = STEPS[name]
    y_name = canonical(name)
    middle = 1 - center["momentum"] if name == "one_minus_momentum" else center[y_name]
    grid = SliceGrid(SliceAxis("lr", center["lr"], 2.0, *x), SliceAxis(y_name, middle, 2.0, *y, name == "batch_size"))
    write_cells(HERE / f"{name}.csv", grid, read_runs(stored))
    provenance = next(trial.user_attrs[PROVENANCE] for trial in reversed(stored) if PROVENANCE in trial.user_attrs)
    kept = {key: value for key, value in provenance.items() if key not in ONE_RUN}
    facts = {**asdict(grid), "center": center, "steps": provenance["steps"], "provenance": kept}
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for slice_name in SLICES:
        if (HERE / "studies" / slice_name / "journal.log").is_file():
            export(slice_name)
    pages.write("flat_directions")
