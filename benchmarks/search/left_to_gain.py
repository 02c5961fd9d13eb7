"""How well the search knows what is left to gain (`until=converged`): does its 90 % interval hold the truth?

    python -m benchmarks.search.left_to_gain seeds=4

Searches from the usual start on the development tasks, without a box; after 10, 20 and 40 runs the interval of the gain that is left,
beside what the incumbent's value without noise lies below the surface's best. Resumes; rows go to left_to_gain.csv.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import rows
from benchmarks.arguments import settings_of
from benchmarks.search import simulation, split, surfaces
from benchmarks.search.ours import Ours
from benchmarks.search.simulated import Absent
from benchmarks.search.split import HERE, SPLIT, TASKS, Condition
from flatdirs.errors import FlatdirsError
from flatdirs.search.remaining import left_after

AFTER = (10, 20, 40)
FILE = "left_to_gain.csv"
KEYS: dict[str, Any] = {"seeds": 4, "folder": HERE}


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        settings = settings_of(arguments, KEYS)
        wanted = [
            (surface, seed)
            for task in SPLIT["development"]
            for surface in TASKS[task]
            for seed in range(settings["seeds"])
        ]

        def missing(found: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
            known = {(row["surface"], int(row["seed"])) for row in found if row["source"] == split.source()}
            return [one for one in wanted if one not in known]

        rows.fill(Path(settings["folder"]) / FILE, missing, lambda one: row(*one), {"command": "left_to_gain"})
    except (FlatdirsError, Absent) as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    return 0


def row(name: str, seed: int) -> dict[str, Any]:
    """One search: intervals, noise and truth in the surface's noises, by count of runs. Raises Absent."""
    surface, begin = surfaces.named(name), split.start(name, "usual", seed)
    method, run = Ours(Condition(name, "flatdirs", "none", "usual"), {}, begin), surface.begin(seed)
    found: dict[str, Any] = {"surface": name, "seed": seed, "source": split.source()}
    for count in range(1, AFTER[-1] + 1):
        method.tell(run(*method.ask()))
        if count in AFTER:
            left = left_after(method.grid, method.runs, method.settings)
            true = max(0.0, surface.best - simulation.handed(surface, method))
            told = dict.fromkeys(("low", "high", "noise", "true"), math.nan)
            if left is not None:
                told |= {"low": left.low, "high": left.high, "noise": left.noise, "true": true}
            found |= {f"{key}_{count}": rows.number_text(value / surface.noise) for key, value in told.items()}
            found[f"converged_{count}"] = int(left is not None and left.converged)
    return found


def coverage(folder: Path) -> pd.DataFrame:
    """By count of runs: searches with an interval (a point was run twice), whether it holds the truth, those that would stop."""
    found, lines = pd.DataFrame(rows.read(folder / FILE)), []
    if len(found):
        found = found.drop_duplicates(["surface", "seed"], keep="last")
    for count in AFTER if len(found) else ():
        told = found[found[f"high_{count}"] != ""]
        low, high, true = (pd.to_numeric(told[f"{key}_{count}"]) for key in ("low", "high", "true"))
        wrong = (true[told[f"converged_{count}"] == "1"] > 0.5).sum()
        lines.append(
            {
                "runs": count,
                "searches with an interval": f"{len(told)} of {len(found)}",
                "it holds the truth": share((low <= true) & (true <= high)),
                "truth below its upper end": share(true <= high),
                "would stop": f"{(told[f'converged_{count}'] == '1').sum()}, {wrong} of them wrongly",
            }
        )
    return pd.DataFrame(lines)


def share(held: pd.Series) -> str:
    """The percentage of truths among some; a dash for none."""
    return f"{100 * held.mean():.0f} %" if len(held) else "–"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
