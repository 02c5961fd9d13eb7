"""Runs to target: every search on the surfaces of the lattices, then fill in the pages; the same command resumes.

    python -m benchmarks.runs_to_target workers=2                    all but the slow methods, up to the tightest target
    python -m benchmarks.runs_to_target workers=2 full=true          all, to the end: returned values, and the Gaussian process
    python -m benchmarks.runs_to_target only=myrtle,tpe lattice=digits seeds=20 draw=false

`only` takes methods of conditions.yaml, `lattice` one lattice or several; `again=true` makes rows again that are on file; `folder` is
another folder for rows and pages. `draw=false` leaves the pages as they are. CFO needs `pip install flaml==2.7.0`.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.runs_to_target import conditions, simulation, surface
from benchmarks.runs_to_target.conditions import HERE, NONE, SETTINGS, Condition
from flatdirs.errors import FlatdirsError

SLICE = 50  # repetitions that are simulated at once; those of slow methods one by one
QUICK = ("random", "qmc", "cfo")  # with flatdirs' own: to run to the end costs little
KEYS: dict[str, Any] = {"lattice": SETTINGS["lattices"], "only": [], "seeds": 1000, "workers": 1, "full": False}
KEYS |= {"again": False, "draw": True, "folder": HERE}
Task = tuple[Condition, str, list[int], bool, Path]  # its key and seeds, whether it runs to the end, the folder


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS, {"only": conditions.NAMES, "lattice": SETTINGS["lattices"]})
        folder = Path(settings["folder"])
        tasks = [task for name in settings["lattice"] for task in tasks_of(name, folder, settings)]
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with ProcessPoolExecutor(settings["workers"], get_context("spawn")) as pool:
            made = pool.map(simulation.rows, *zip(*tasks, strict=True))
            for (condition, key, *_), found in zip(tasks, made, strict=True):
                if found:
                    keep(folder / f"{condition.lattice}.csv", condition, key, found)
                print(*condition, len(found), flush=True)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if settings["draw"]:
        pages.write("runs_to_target", folder)
    return 0


def tasks_of(name: str, folder: Path, settings: Mapping[str, Any]) -> Iterator[Task]:
    """What a lattice lacks."""
    ground = surface.named(name, folder)
    surface.keep(name, {"facts": surface.facts(ground)}, folder)
    done: dict[tuple[str, ...], dict[int, bool]] = defaultdict(dict)
    for row in rows.read(folder / f"{name}.csv"):
        done[row["method"], row["box"], row["start"], row["key"]][int(row["seed"])] = row["complete"] == "1"
    only = set(settings["only"])
    for condition in conditions.conditions(name):
        slow = condition.base in SETTINGS["methods"]["slow"]
        if only & {condition.method, condition.base} if only else settings["full"] or not slow:
            quick = condition.box == NONE or condition.base in QUICK
            whole = settings["full"] or (quick and condition.start in (NONE, "typical", "auto"))
            key = conditions.key(condition, ground.key)
            known = {} if settings["again"] else done[(*condition[1:], key)]
            seeds = range(min(settings["seeds"], condition.repetitions))
            left = [seed for seed in seeds if not known.get(seed, False) and (whole or seed not in known)]
            size = 1 if slow else SLICE
            yield from ((condition, key, left[at : at + size], whole, folder) for at in range(0, len(left), size))


def keep(path: Path, condition: Condition, key: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Put a condition's rows on file, in place of those of the same seeds and of those with another key."""

    def place(row: Mapping[str, Any]) -> tuple[str, str, str]:
        return row["method"], row["box"], row["start"]

    old, fresh = rows.read(path), {str(new["seed"]) for new in found}
    kept = [one for one in old if place(one) != condition[1:] or (one["key"] == key and one["seed"] not in fresh)]
    rows.write(path, list(found[0]), sorted([*kept, *found], key=lambda row: (place(row), int(row["seed"]))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
