"""Draw benchmarks/myrtle_table/README.md from the studies that run.sh made, by way of small raw files.

python -m benchmarks.myrtle_table            # studies → raw files (where there are studies), raw files → README.md
"""

from __future__ import annotations

import csv
import json

from benchmarks import pages
from benchmarks.myrtle_table.page import HERE, STUDIES

FIELDS = ("run", "axis", "move", "learning_rate", "momentum", "weight_decay", "c1", "accuracy", "seconds", "verdict")


def export(name: str) -> None:
    """Write one study's rows and facts beside this file."""
    from flatdirs.backend.rows import axis_lines, rows
    from flatdirs.backend.storages import open_storage
    from flatdirs.backend.study import view_study

    study = view_study(open_storage("journal", HERE / "studies" / name), name)
    with (HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(FIELDS)
        for row in rows(study):
            settings = [repr(row.hyperparameters[key]) for key in ("learning_rate", "momentum", "weight_decay")]
            c1, seconds = next(iter(row.coordinates.values())), row.seconds
            told = [f"{row.value:.2f}", "" if seconds is None else f"{seconds:.1f}", row.verdict]
            table.writerow([row.run, row.axis, row.move, *settings, f"{c1:.6g}", *told])
    trials = [trial for trial, _ in study.runs()]
    provenance = trials[-1].user_attrs["provenance"]
    facts = {
        "axes": [{"runs": line.runs, "axis": line.axis, "row": line.row.run} for line in axis_lines(study)],
        "runs": len(trials),
        "over": bool((trace := study.trace()) and trace.over),
        "steps": provenance["steps"],
        "curves": [trial.user_attrs["curve"] for trial in trials],
        "accuracies": [trial.user_attrs["provenance"]["accuracies"] for trial in trials],
        "confirmed": study.confirmations(),
        "provenance": {key: value for key, value in provenance.items() if key not in ("accuracies", "seconds")},
    }
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for study_name in STUDIES:
        if (HERE / "studies" / study_name / "journal.log").exists():
            export(study_name)
    pages.write("myrtle_table")
