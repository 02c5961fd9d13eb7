"""The runs that end lowest in each whole sweep, trained anew with seeds that no sweep used.

The lowest of 40 ends is lucky: its seed is among what was chosen. Fresh seeds tell what the hyperparameters are worth, and
are the same for all winners. A winner that two sweeps share is trained once. Any number of processes share the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks import rows
from benchmarks.edge_sweep.curves import curve_of, row
from benchmarks.edge_sweep.findings import Evidence
from benchmarks.edge_sweep.setting import FRESH_SEEDS, SEEN, SUBJECTS, Point
from benchmarks.edge_sweep.sweeping import Say, Train
from benchmarks.lattice.running import claimed, locked

Wanted = tuple[int, str, Point, int]  # number of its claim, subject, point, seed


def wanted(folder: Path, names: tuple[str, ...]) -> list[Wanted]:
    """What is not on file, by repetition."""
    evidence, found = Evidence(folder), []
    for name in names:
        have = {(curve.point, curve.seed) for curve in map(curve_of, rows.read(folder / f"confirmed_{name}.csv"))}
        for (seen, repetition), sweep in evidence.sweeps(name).items():
            if sweep.winner is None:
                continue
            place = (repetition * len(SEEN) + SEEN.index(seen)) * len(SUBJECTS) + SUBJECTS.index(name)
            for number, seed in enumerate(FRESH_SEEDS):
                if (sweep.winner.point, seed) not in have:
                    have.add((sweep.winner.point, seed))
                    found.append((place * len(FRESH_SEEDS) + number, name, sweep.winner.point, seed))
    return sorted(found, key=lambda one: one[0])


def confirm_all(
    folder: Path, trains: Mapping[str, Train], made: Mapping[str, str], budget: int | None, say: Say
) -> int:
    """Every run that is not on file, at most `budget` of them; how many this process made."""
    done = 0
    with (folder / "confirmed.claims.lock").open("a") as claims:
        for number, name, point, seed in wanted(folder, tuple(trains)):
            with claimed(claims, number) as mine:
                path = folder / f"confirmed_{name}.csv"
                known = {(curve.point, curve.seed) for curve in map(curve_of, rows.read(path))}
                if not mine or (point, seed) in known or done == budget:
                    continue
                curve = trains[name](point, seed, lambda *_: False)
                with locked(path):
                    rows.append(path, {**row(curve), "made": made[name]})
                done += 1
                say(f"confirmed {name} {point} seed {seed}: {curve.final:.4f}, {curve.seconds:.1f} s")
    return done
