"""What an earlier study is worth to a search (`prior=`), and what a wrong one costs: runs until one is among the best 1 %.

    python -m benchmarks.search.earlier_study seeds=50 workers=2

The earlier study is a search of 25 runs from the usual start on the same surface with other noise. Its runs and its incumbent are then
shifted by so many octaves along one hyperparameter, as if they had been carried over wrongly, and cut at the hard limits. A row is the
searches of one seed; 61 where none of 60 runs is among the best 1 %. Resumes; rows go to earlier_study.csv.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import rows
from benchmarks.arguments import settings_of
from benchmarks.search import simulation, split, surfaces
from benchmarks.search.ours import AVERAGING, Ours
from benchmarks.search.simulated import Absent
from benchmarks.search.split import BUDGET, HERE, SPLIT, TASKS, Condition, Hyperparameters
from flatdirs.errors import FlatdirsError
from flatdirs.search.types import EarlierRun

RUNS, OTHER = 25, 500  # of the earlier study, and how much higher its seed is
OCTAVES = (-4, -2, 2, 4)
FILE = "earlier_study.csv"
KEYS: dict[str, Any] = {"seeds": 50, "workers": 1, "folder": HERE}


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        settings = settings_of(arguments, KEYS)
        work = partial(fill, Path(settings["folder"]) / FILE, settings["seeds"])
        if settings["workers"] == 1:
            work(0)
        else:
            with ProcessPoolExecutor(settings["workers"], get_context("spawn")) as pool:
                list(pool.map(work, range(settings["workers"])))
    except (FlatdirsError, Absent) as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    return 0


def fill(path: Path, seeds: int, _: int) -> None:
    """Make the rows that are missing."""
    wanted = [(name, seed) for seed in range(seeds) for task in SPLIT["development"] for name in TASKS[task]]

    def missing(found: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
        known = {(row["surface"], int(row["seed"])) for row in found if row["source"] == split.source()}
        return [one for one in wanted if one not in known]

    rows.fill(path, missing, lambda one: row(*one), {"command": "earlier_study"})


def row(name: str, seed: int) -> dict[str, Any]:
    """Runs until the best 1 %: without an earlier study, with a right one, and with each shift. Raises Absent."""
    start = split.start(name, "usual", seed)
    _, told, best = searched(name, seed + OTHER, start, (), RUNS)
    found: dict[str, Any] = {"surface": name, "seed": seed, "source": split.source()}
    found |= {"without": searched(name, seed, start, ())[0], "right": searched(name, seed, best, told)[0]}
    for place in ("lr", "averaging", "wd", "batch_size"):
        axis = next(
            (one for one in split.names_of(name) if one == place or (place == "averaging" and one in AVERAGING)), None
        )
        for octaves in OCTAVES:
            moved = partial(shifted, name, axis, octaves)
            carried = [EarlierRun(moved(run.hyperparameters), run.value) for run in told]
            reached = "" if axis is None else searched(name, seed, moved(best), carried)[0]
            found[f"{place}{octaves:+d}"] = reached
    return found


def searched(
    name: str, seed: int, start: Hyperparameters, earlier: Sequence[EarlierRun], count: int | None = None
) -> tuple[int, list[EarlierRun], dict[str, Any]]:
    """A search of `count` runs, or until one is among the best 1 %: when, its runs, and its incumbent."""
    surface, method = surfaces.named(name), Ours(Condition(name, "flatdirs", "none", "usual"), {}, start)
    method.settings = replace(method.settings, earlier=tuple(earlier))
    run, goal, made = surface.begin(seed), simulation.threshold(surface), list[EarlierRun]()
    for number in range(1, (count or BUDGET) + 1):
        told = run(*method.ask())
        method.tell(told)
        made += [] if told.diverged else [EarlierRun(told.hyperparameters, told.value)]
        if count is None and told.true >= goal:
            return number, made, {}
    return BUDGET + 1, made, dict(method.handed_over())


def shifted(name: str, axis: str | None, octaves: int, setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting with one hyperparameter moved (1 − momentum for momentum), cut at the hard limits."""
    names = split.names_of(name)
    sides = split.to_sides(dict(setting), names)
    for one, side in split.sides(names).items():
        low, high = split.limits(name).get(side, (0.0, float("inf")))
        sides[side] = min(max(sides[side] * 2.0 ** (octaves if one == axis else 0), low), high)
    found = split.from_sides(sides, names)
    return {
        one: split.complement(sides[side]) if side != one else found[one] for one, side in split.sides(names).items()
    }


def delays(folder: Path) -> pd.DataFrame:
    """By how the earlier study is shifted: median runs, median delay over the search without, and the median by hyperparameter."""
    found = pd.DataFrame(rows.read(folder / FILE))
    if not len(found):
        return found
    found = found.drop_duplicates(["surface", "seed"], keep="last")
    without = pd.to_numeric(found["without"])
    lines = [line("without one", [found["without"]], without), line("right", [found["right"]], without)]
    for size in (2, 4):
        for place in ("lr", "averaging", "wd", "batch_size"):
            shown = {"averaging": "1 − momentum or beta1"}.get(place, place)
            columns = [found[f"{place}{octaves:+d}"] for octaves in (-size, size)]
            lines.append(line(f"{shown} off by {size} octaves", columns, without))
    return pd.DataFrame(lines)


def line(name: str, columns: Sequence[pd.Series], without: pd.Series) -> dict[str, Any]:
    """One line of the table, of the searches with either sign."""
    told = [pd.to_numeric(column[column != ""]) for column in columns]
    every = pd.concat(told)
    late = pd.concat([column - without[column.index] for column in told])
    return {
        "earlier study": name,
        "searches": len(every),
        "median runs to the best 1 %": f"{every.median():g}",
        "median delay": f"{late.median():+g}",
        "mean delay": f"{late.mean():+.1f}",
        "never, %": f"{100 * (every > BUDGET).mean():.1f}",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
