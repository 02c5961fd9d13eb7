"""flatdirs' search with and without the loss at the peak of the rate, on the same seeds; one row a search, resumable.

Conditions were fixed before the first row: three lattices, three starts, `SEEDS` seeds, `BUDGET` runs, in which the probes
of the automatic start count. A seed has the same start, noise and training seed whatever the search looks at, so that
searches are paired. `key` is a checksum of all that a row depends on: the lattice's rows and their fit, the start, the
version of the search, what it looks at. Rows with another key are made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICE_ROWS
from benchmarks.runs_to_target import cells, conditions, fitting, repeating
from benchmarks.runs_to_target.conditions import NONE, Condition
from benchmarks.runs_to_target.methods import Own
from benchmarks.runs_to_target.repeating import TARGETS, Trace
from benchmarks.runs_to_target.surface import Surface
from benchmarks.signals import peaks
from benchmarks.signals.correlated import looking_at_peaks

SEARCH = "flatdirs"
VERSION = 1  # of the way a search is simulated here; rows of another one are made anew
LOOKS: Mapping[str, tuple[float, ...] | None] = {  # what a search looks at: the correlations it holds possible
    "score": None,
    "evidence": (0.0, 0.7),
    "fixed": (0.5,),
}
LATTICES = ("digits", "digits_adamw", "cifar10_small")
STARTS = ("auto", "careless_low", "typical")
SEEDS, BUDGET = 100, 30
PART = 20  # seeds of a case that are on file before the next case's
AFTER = (10, 20, 30)
FILE = "searches.csv"
MEASURES = (*(f"runs_{percent:g}" for percent in TARGETS), *(f"returned_{count}" for count in AFTER))
FIELDS = ("lattice", "start", "look", "seed", "key", *MEASURES)
Case = tuple[str, str, str]  # lattice, start, look


def search(ground: Surface, start: str, look: str, seed: int, budget: float = BUDGET) -> Trace:
    """One search, to its budget."""
    begin = conditions.start(ground.name, start, seed)
    trace = Trace(begin.cost, ground.value(begin.hyperparameters))
    possible = LOOKS[look]
    with nullcontext() if possible is None else looking_at_peaks(possible):
        return repeating.follow(Own(SEARCH, ground, begin.hyperparameters), trace, ground, seed, True, budget)


def row(ground: Surface, start: str, look: str, seed: int, key: str) -> dict[str, Any]:
    """A search as the file has it: runs until a target, empty where it was not reached; accuracies without noise."""
    trace = search(ground, start, look, seed)
    runs = [trace.reached(ground.target(percent)) for percent in TARGETS]
    returned = [trace.after(count) for count in AFTER]
    numbers = [*("" if value is None else f"{round(value, 3):g}" for value in runs), *(f"{x:.3f}" for x in returned)]
    named = {"lattice": ground.name, "start": start, "look": look, "seed": seed, "key": key}
    return {**named, **dict(zip(MEASURES, numbers, strict=True))}


def run(names: Sequence[str], folder: Path, say: Callable[[str], None]) -> None:
    """Every search that is not on file with its key, some seeds of all cases before the next ones."""
    for first in range(0, SEEDS, PART):
        for case in cases(names):
            began = time.perf_counter()
            if count := _make(case, range(first, min(first + PART, SEEDS)), folder / FILE):
                say(f"{', '.join(case)}: {count} from seed {first} in {time.perf_counter() - began:.1f} s")


def _make(case: Case, seeds: range, path: Path) -> int:
    """Put those of these seeds on file that are not there with the case's key; how many they were."""
    key, (name, start, look) = key_of(case), case
    kept = [old for old in rows.read(path) if case_of(old) != case or old["key"] == key]
    left = sorted(set(seeds) - {int(old["seed"]) for old in kept if case_of(old) == case})
    if left:
        ground = peaks.named(name)
        made = [row(ground, start, look, seed, key) for seed in left]
        order = {known: number for number, known in enumerate(cases(LATTICES))}
        rows.write(
            path,
            FIELDS,
            sorted([*kept, *made], key=lambda one: (order.get(case_of(one), len(order)), int(one["seed"]))),
        )
    return len(left)


def cases(names: Sequence[str]) -> Iterator[Case]:
    """All that is compared."""
    yield from ((name, start, look) for name in names for start in STARTS for look in LOOKS)


def case_of(row: Mapping[str, str]) -> Case:
    """Which case a row belongs to."""
    return row["lattice"], row["start"], row["look"]


def key_of(case: Case) -> str:
    """A checksum of all that rows of a case depend on. No fit."""
    name, start, look = case
    about = f"{_measured(name)}-{fitting.VERSION} {VERSION} {LOOKS[look]} {BUDGET} {AFTER}"
    return conditions.key(Condition(name, SEARCH, NONE, start), about)


@lru_cache
def _measured(name: str) -> str:
    return cells.checksum(rows.read(LATTICE_ROWS / f"{name}.csv"))
