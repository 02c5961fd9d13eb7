"""Record whole runs, each once: RUNS random points of every subject, then the best of them with two more seeds.

Any number of processes share the work by the lattices' claims; a row is on disk before its claim ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import rows
from benchmarks.edge_sweep import setting
from benchmarks.edge_sweep.curves import Curve, curve_of, row
from benchmarks.lattice.running import claimed, locked, noted
from flatdirs.objectives.provenance import provenance

if TYPE_CHECKING:
    from benchmarks.edge_sweep.subjects import Subject

WAIT_SECONDS = 1.0
MORE_SEEDS = (1, 2)
REPEATED = 8  # points with more seeds: the best ones
Wanted = tuple[str, int, int]  # subject, number of the draw, seed
Say = Callable[[str], None]


def recorded(folder: Path, subject: str, seed: int | None = 0) -> dict[int, Curve]:
    """The recorded runs of a subject with one seed (None: any but 0, keyed by 1000·seed + number), by their numbers."""
    found = {}
    for old in rows.read(folder / f"recorded_{subject}.csv"):
        if seed is None and old["seed"] != "0":
            found[1000 * int(old["seed"]) + int(old["number"])] = curve_of(old)
        elif seed is not None and old["seed"] == str(seed):
            found[int(old["number"])] = curve_of(old)
    return found


def wanted(folder: Path, subjects: Sequence[str], runs: int) -> list[Wanted]:
    """What is not on file: all subjects' first draws before their later ones, then the seeds of the best."""
    have = {(name, number, 0) for name in subjects for number in recorded(folder, name)}
    first = [(name, number, 0) for number in range(runs) for name in subjects]
    left = [run for run in first if run not in have]
    if left:
        return left
    again = [(name, number, seed) for name in subjects for number in best(folder, name) for seed in MORE_SEEDS]
    known = {(name, key % 1000, key // 1000) for name in subjects for key in recorded(folder, name, None)}
    return [run for run in again if run not in known]


def best(folder: Path, subject: str) -> list[int]:
    """The numbers of the points with the lowest final losses."""
    found = recorded(folder, subject)
    return sorted(found, key=lambda number: found[number].final)[:REPEATED]


def record(folder: Path, subjects: Mapping[str, Subject], runs: int, budget: int | None, say: Say) -> int:
    """Make what is wanted, at most `budget` runs; how many this process made."""
    made, keys = 0, {name: noted(folder, about(subject)) for name, subject in subjects.items()}
    with (folder / "recorded.claims.lock").open("a") as claims:
        while todo := wanted(folder, list(subjects), runs):
            before = made
            for name, number, seed in todo:
                if made == budget:
                    return made
                with claimed(claims, claim_number(name, number, seed)) as mine:
                    if not mine or (name, number, seed) not in wanted(folder, list(subjects), runs):
                        continue
                    curve = subjects[name].train(setting.drawn(number), seed, lambda *_: False)
                    path = folder / f"recorded_{name}.csv"
                    with locked(path):
                        rows.append(path, {"number": number, **row(curve), "made": keys[name]})
                made += 1
                end = "diverged" if curve.diverged else f"{curve.final:.4f}"
                say(f"recorded {name} {number} seed {seed}: {end}, {curve.seconds:.1f} s")
            if made == before:
                time.sleep(WAIT_SECONDS)
    return made


def claim_number(name: str, number: int, seed: int) -> int:
    """One byte of the claims' file a run."""
    return (1000 * seed + number) * len(setting.SUBJECTS) + setting.SUBJECTS.index(name)


def about(subject: Subject) -> dict[str, Any]:
    """Everything that all runs of a subject share."""
    from flatdirs.training.device import device_name

    device = subject.device  # type: ignore[attr-defined]
    made = provenance()
    return {
        "subject": subject.name,
        **{key: value for key, value in made.items() if key not in ("host", "git")},
        "device": f"{device} ({device_name(device)})",
        "threads": 1,
        **subject.about(),
    }
