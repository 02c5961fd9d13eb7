"""Searches that send scouts ahead, on the two surfaces; one row a repetition, resumable.

Scouts first: `flatdirs` on the scouts' surface, until its line ends or for a number of scouts. Then `flatdirs` anew on
the whole runs' surface, from the point the scouts would return, carried over. Everything counts in whole runs: probes of
the automatic start, a quarter for a scout, one for a run. Whole runs of repetition `seed` meet the same noise whatever
came before them, so that plans are paired; a scout's noise and its seed's luck are drawn apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import conditions, repeating
from benchmarks.runs_to_target.conditions import NONE, Condition, Start
from benchmarks.runs_to_target.methods import Own
from benchmarks.runs_to_target.repeating import TARGETS, Trace
from benchmarks.runs_to_target.surface import Surface
from benchmarks.scouts import plan
from benchmarks.scouts.grounds import Grounds
from benchmarks.scouts.plan import PLANS, Plan

SEARCH = "flatdirs"
VERSION = 1  # of the way a repetition is run; rows of another one are made anew
SEEDS = int(conditions.settings()["seeds"])
FIELDS = ("plan", "start", "seed", "key", "scouts", "cost", "begins_at", *(f"runs_{percent:g}" for percent in TARGETS))


class Line(Own):
    """The search, which knows whether its pending question still belongs to the line at its beginning."""

    @property
    def ended(self) -> bool:
        """Whether the line is over."""
        question = self._question
        return question is None or not (question.incumbent is None or question.reason.startswith("along "))


def repetition(kind: Plan, begin: Start, grounds: Grounds, seed: int) -> tuple[Trace, int]:
    """One search; its trace, whose cost is all that came before the whole runs, and how many scouts there were."""
    point, count = dict(begin.hyperparameters), 0
    if kind.transfer is not None:
        carried = plan.transfer(kind.transfer)
        first = carried.to_scout(point) if kind.back else point
        found, count = scouted(first, grounds.scout, seed, kind.most)
        point = carried.to_whole(found)
    trace = Trace(begin.cost + plan.cost(count), grounds.whole.value(point))
    return repeating.follow(Own(SEARCH, grounds.whole, point), trace, grounds.whole, seed, False), count


def scouted(
    start: Mapping[str, float], ground: Surface, seed: int, most: int | None
) -> tuple[Mapping[str, float], int]:
    """The point that scouts from a start return, and how many they were."""
    noise = np.random.default_rng([seed, 3])
    lucks = np.random.default_rng([seed, 4]).standard_normal(repeating.REPEATS).tolist()
    method, count = Line(SEARCH, ground, start), 0
    while (count < most) if most is not None else not method.ended:
        point = method.ask()
        if point is None:
            break
        method.tell(ground.observe(point, noise, lucks[method.repeat % repeating.REPEATS]))
        count += 1
    return method.returned or start, count


def row(kind: Plan, start: str, seed: int, key: str, grounds: Grounds) -> dict[str, Any]:
    """A repetition as the file has it."""
    trace, count = repetition(kind, conditions.start(grounds.whole.name, start, seed), grounds, seed)
    reached = {f"runs_{percent:g}": trace.reached(grounds.whole.target(percent)) for percent in TARGETS}
    return {
        "plan": kind.name,
        "start": start,
        "seed": seed,
        "key": key,
        "scouts": count,
        "cost": f"{round(trace.cost, 3):g}",
        "begins_at": f"{trace.start:.2f}",
        **{name: "" if value is None else f"{round(value, 3):g}" for name, value in reached.items()},
    }


def run(name: str, folder: Path, grounds: Grounds, say: Callable[[str], None]) -> None:
    """Every repetition of a lattice that is not on file with its key."""
    path = folder / f"{name}_searches.csv"
    for kind, start in asked(name):
        key = key_of(name, kind, start, grounds.key)
        known = rows.read(path)
        mine = [old for old in known if (old["plan"], old["start"]) == (kind.name, start)]
        kept = [old for old in mine if old["key"] == key]
        left = sorted(set(range(SEEDS)) - {int(old["seed"]) for old in kept})
        if left:
            began = time.perf_counter()
            made = [row(kind, start, seed, key, grounds) for seed in left]
            others = [old for old in known if (old["plan"], old["start"]) != (kind.name, start)]
            rows.write(path, FIELDS, [*others, *kept, *made])
            say(f"{name}, {kind.name}, {start}: {len(made)} in {time.perf_counter() - began:.1f} s")


def asked(name: str) -> Iterator[tuple[Plan, str]]:
    """Every plan from every start."""
    for start in conditions.settings()[conditions.named(name).optimizer]["starts"]:
        yield from ((kind, start) for kind in PLANS)


def key_of(name: str, kind: Plan, start: str, ground: str, version: int | None = None) -> str:
    """A checksum of all that rows of a plan depend on; `ground`: the surfaces' key, `version`: of the search."""
    about = f"{ground} {VERSION} {kind}"
    return conditions.key(Condition(name, SEARCH, NONE, start), about, LATTICES / "probes.csv", version)
