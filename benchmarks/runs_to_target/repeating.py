"""Repetitions of conditions, each to one row; resumable, any number of processes.

A repetition ends at the budget, when its method stops, or, unless it is to be complete, once the tightest target is
reached. Repetition `seed` of every method meets the same stream of noise and has one training seed for all its points, as
`flatdirs.tune` has; repeats of a point have others. Probes of an automatic start are part of the
budget and of every count of runs. A process claims a slice of a condition's seeds by locking a byte of a file; the rows
of a slice are on disk before its claim ends. Rows whose key is not the condition's own (another surface, another box)
are no rows of it, and go when it is made again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.lattice.running import claimed, locked
from benchmarks.runs_to_target import conditions, facts, methods, surface
from benchmarks.runs_to_target.conditions import HERE, NONE, Condition
from benchmarks.runs_to_target.methods import Method
from benchmarks.runs_to_target.surface import Surface

SLICE = 50  # repetitions that a process claims at once; those of slow methods one by one
TARGETS = tuple(conditions.settings()["targets"])
AFTER = tuple(conditions.settings()["returned_after"])
FIELDS = (
    *("method", "box", "start", "seed", "key"),
    *(f"runs_{percent:g}" for percent in TARGETS),
    *(f"returned_{count}" for count in AFTER),
    *("runs", "complete", "overhead_ms"),
)
REPEATS = 1000  # lucks drawn for a repetition: one for its training seed, the others for repeats of a point
Say = Callable[[str], None]


@dataclass
class Trace:
    """One repetition as it goes: the noiseless values of what was run, and of what would be returned after each run.

    `stopped`: by its method; `cut`: at the tightest target, before its end.
    """

    cost: float
    start: float
    values: list[float] = field(default_factory=list)
    returned: list[float] = field(default_factory=list)
    stopped: bool = False
    cut: bool = False
    seconds: float = 0.0

    def reached(self, target: float) -> float | None:
        """Runs to the first point this good, the probes' cost included; None if there was none."""
        found = (number for number, value in enumerate(self.values, 1) if value >= target)
        number = next(found, None)
        return None if number is None else self.cost + number

    def after(self, count: int) -> float | None:
        """The value of what would be returned after so many runs, the probes' cost included; None where it was not run.

        A search that stopped earlier returns what it had. Before the first run there is the start.
        """
        runs = math.floor(count - self.cost + 1e-9)
        if runs < 1:
            return self.start
        if runs <= len(self.returned):
            return self.returned[runs - 1]
        return self.returned[-1] if self.stopped and self.returned else None


def repetition(condition: Condition, ground: Surface, seed: int, complete: bool, probes: Path) -> Trace:
    """Run a method once. Raises methods.Unavailable."""
    begin = None if condition.start == NONE else conditions.start(condition.lattice, condition.start, seed, probes)
    trace = Trace(*(0.0, math.nan) if begin is None else (begin.cost, ground.value(begin.hyperparameters)))
    began = time.perf_counter()
    method = methods.make(condition, ground, begin, seed)
    trace.seconds += time.perf_counter() - began
    return follow(method, trace, ground, seed, complete)


def follow(
    method: Method, trace: Trace, ground: Surface, seed: int, complete: bool, budget: float | None = None
) -> Trace:
    """Let a method run until the budget, its own end or, unless `complete`, the tightest target; the trace, filled."""
    budget = conditions.settings()["budget"] if budget is None else budget
    noise, lucks = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2]).standard_normal(REPEATS).tolist()
    tightest = max(ground.target(percent) for percent in TARGETS)
    began = time.perf_counter()
    while trace.cost + len(trace.values) + 1 <= budget + 1e-9:
        point = method.ask()
        trace.seconds += time.perf_counter() - began
        if point is None:
            trace.stopped = True
            break
        trace.values.append(ground.value(point))
        sample = ground.observe(point, noise, lucks[getattr(method, "repeat", 0) % REPEATS])
        began = time.perf_counter()
        method.tell(sample)
        trace.seconds += time.perf_counter() - began
        assert method.returned is not None
        trace.returned.append(ground.value(method.returned))
        if not complete and trace.values[-1] >= tightest:
            trace.cut = True
            break
        began = time.perf_counter()
    return trace


def row(condition: Condition, ground: Surface, seed: int, trace: Trace, key: str) -> dict[str, Any]:
    """A repetition as the file has it."""
    runs = {f"runs_{percent:g}": trace.reached(ground.target(percent)) for percent in TARGETS}
    returned = {f"returned_{count}": trace.after(count) for count in AFTER}
    return {
        "method": condition.method,
        "box": condition.box,
        "start": condition.start,
        "seed": seed,
        "key": key,
        **{name: "" if value is None else f"{round(value, 3):g}" for name, value in runs.items()},
        **{name: "" if value is None else f"{value:.2f}" for name, value in returned.items()},
        "runs": len(trace.values),
        "complete": int(not trace.cut),
        "overhead_ms": f"{1000 * trace.seconds / max(len(trace.values), 1):.2g}",
    }


@dataclass(frozen=True)
class Job:
    """What one command is asked to do to one lattice."""

    lattice: str
    folder: Path = HERE
    measured: Path = LATTICES
    only: tuple[str, ...] = ()
    slow: bool = False
    complete: bool = False
    again: bool = False
    seeds: int | None = None

    @property
    def path(self) -> Path:
        """The lattice's rows."""
        return self.folder / f"{self.lattice}.csv"

    @cached_property
    def surface(self) -> Surface:
        """The lattice's surface; learnt once, while other processes may learn others."""
        with locked(self.folder / f"{self.lattice}.surface"):
            found = surface.named(self.lattice, self.folder, self.measured)
            facts.note(found, self.folder, self.measured)
            return found

    def wanted(self) -> Iterator[tuple[int, Condition]]:
        """The conditions asked for, numbered."""
        slow = conditions.settings()["methods"]["slow"]
        for number, condition in enumerate(conditions.conditions(self.lattice)):
            named = condition.method in self.only or condition.base in self.only
            if named or (not self.only and (self.slow or condition.base not in slow)):
                yield number, condition

    def whole(self, condition: Condition) -> bool:
        """Whether repetitions run to the end: always where they cost little and it is told what they return."""
        quick = condition.box == NONE or condition.base in ("random", "qmc", "cfo")
        return self.complete or (quick and condition.start in conditions.TO_THE_END)

    def slices(self, condition: Condition) -> list[range]:
        """The seeds, as processes claim them."""
        count = conditions.repetitions(condition)
        count = count if self.seeds is None else min(count, self.seeds)
        size = 1 if condition.base in conditions.settings()["methods"]["slow"] else SLICE
        return [range(first, min(first + size, count)) for first in range(0, count, size)]

    def left(self, condition: Condition, key: str, seeds: range) -> list[int]:
        """Those of a slice that are not on file as they should be."""
        whole = self.whole(condition)
        done = {
            int(old["seed"])
            for old in on_file(self.path)
            if named(old) == (condition.method, condition.box, condition.start)
            and old["key"] == key
            and (old["complete"] == "1" or not whole)
        }
        return [seed for seed in seeds if seed not in done]


def run(job: Job, say: Say) -> None:
    """Everything the job still lacks that no other process is at."""
    try:
        ground = job.surface
    except FileNotFoundError:
        say(f"{job.lattice}: the lattice has no runs on file yet, skipped")
        return
    probes, skipped = job.measured / "probes.csv", set()
    with job.path.with_name(f"{job.path.name}.claims.lock").open("a") as claims:
        for number, condition in job.wanted():
            if condition.base in skipped:
                continue
            try:
                key = conditions.key(condition, ground.key, probes)
                for part in job.slices(condition):
                    with claimed(claims, number * 1000 + part.start) as mine:
                        if mine and (seeds := list(part) if job.again else job.left(condition, key, part)):
                            say(_made(job, ground, condition, key, seeds, probes))
            except (methods.Unavailable, LookupError) as reason:
                say(f"{condition.lattice} {condition.method}: {reason}, skipped")
                skipped |= {condition.base} if isinstance(reason, methods.Unavailable) else set()


def _made(job: Job, ground: Surface, condition: Condition, key: str, seeds: Sequence[int], probes: Path) -> str:
    """Make and write a slice; a line about it."""
    began = time.perf_counter()
    whole = job.whole(condition)
    found = [row(condition, ground, seed, repetition(condition, ground, seed, whole, probes), key) for seed in seeds]
    keep(job.path, condition, key, found)
    spent = time.perf_counter() - began
    return f"{' '.join((condition.lattice, condition.method, condition.box, condition.start))}: {len(found)} in {spent:.2f} s"


def keep(path: Path, condition: Condition, key: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Put a condition's rows on file, in place of older ones of the same seeds and of rows with another key."""
    fresh = {str(new["seed"]) for new in found}
    with locked(path):
        kept = [
            old
            for old in rows.read(path)
            if named(old) != (condition.method, condition.box, condition.start)
            or (old["key"] == key and old["seed"] not in fresh)
        ]
        order = sorted([*kept, *found], key=lambda row: (*named(row), int(row["seed"])))
        rows.write(path, FIELDS, order)


def on_file(path: Path) -> list[dict[str, str]]:
    """The rows, read again only when the file is another one: thousands of rows are looked at hundreds of times."""
    return _rows(path, path.stat().st_mtime_ns) if path.exists() else []


@lru_cache(maxsize=1)
def _rows(path: Path, written: int) -> list[dict[str, str]]:
    del written  # part of the cache's key only
    return rows.read(path)


def named(row: Mapping[str, str]) -> tuple[str, str, str]:
    """Method, box and start of a row."""
    return row["method"], row["box"], row["start"]
