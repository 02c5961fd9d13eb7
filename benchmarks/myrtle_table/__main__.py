"""Write the raw files of the searches that run.sh made, then draw the page: python -m benchmarks.myrtle_table."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from benchmarks import pages
from benchmarks.myrtle_table.page import HERE, STUDIES
from benchmarks.rows import LONG
from flatdirs.backend.storages import open_storage
from flatdirs.backend.study import Study, view_study
from flatdirs.backend.table_rows import axis_lines, rows, winner
from flatdirs.backend.trials import CURVE, PROVENANCE
from flatdirs.tuning.formatting import assignments

FIELDS = ["run", "axis", "move", "learning_rate", "momentum", "weight_decay", "c1", "accuracy", "seconds", "verdict"]


def export(name: str) -> None:
    """Write one study's rows and facts."""
    study = view_study(open_storage("journal", HERE / "studies" / name), name)
    table = pd.DataFrame(map(vars, rows(study)))
    table["c1"] = [f"{next(iter(place.values())):.6g}" for place in table["coordinates"]]
    table["accuracy"], table["seconds"] = table["value"].map("{:.2f}".format), table["seconds"].round(1)
    table = table.join(pd.json_normalize(table["hyperparameters"]).map(repr).rename(columns=LONG))
    table.to_csv(HERE / f"{name}.csv", columns=FIELDS, index=False)
    trials = [trial for trial, _ in study.runs()]
    provenance = trials[-1].user_attrs[PROVENANCE]
    facts = {
        "axes": [{"runs": line.runs, "axis": line.axis, "row": line.row.run} for line in axis_lines(study)],
        "runs": len(trials),
        "over": bool((trace := study.trace()) and trace.over),
        "steps": provenance["steps"],
        "curves": [trial.user_attrs[CURVE] for trial in trials],
        "accuracies": [trial.user_attrs[PROVENANCE]["accuracies"] for trial in trials],
        "confirmed": winner_and_start(study),
        "provenance": {key: value for key, value in provenance.items() if key not in ("accuracies", "seconds")},
    }
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def winner_and_start(study: Study) -> dict[str, Any]:
    """The fresh runs of the search's winner, then those of its start; the runner-up of the race has no line on the page."""
    found, known = winner(study), study.confirmations()
    points = [*([] if found is None else [found.hyperparameters]), study.plan.grid.start]
    heads = [f"{assignments(point).replace(' ', ',')};" for point in points]
    return {key: known[key] for head in heads for key in known if key.startswith(head)}


if __name__ == "__main__":
    for study_name in STUDIES:
        if (HERE / "studies" / study_name / "journal.log").exists():
            export(study_name)
    pages.write("myrtle_table")
