"""Runs to target in real training: every point is trained by flatdirs' own trainer, as the cells of a lattice are.

    python -m benchmarks.runs_to_target.real                                                     digits
    python -m benchmarks.runs_to_target.real lattice=cifar10_small data.path=cifar10.npz

A row of real.csv is a run, on disk before the next begins. The same command resumes, in several shells at once: a repetition replays its
rows, for methods are functions of their seed and the results. All points of a repetition have one training seed, as in `flatdirs.tune`,
replicates further ones; the point that a method returns in the end is trained again with fresh seeds.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.lattice.__main__ import objective_of
from benchmarks.lattice.running import CHANCE
from benchmarks.runs_to_target import conditions, simulation, surface
from benchmarks.runs_to_target.baselines import Hyperparameters, Unavailable
from benchmarks.runs_to_target.conditions import HERE, NONE, SETTINGS, Condition
from benchmarks.runs_to_target.surface import Sample
from flatdirs.errors import ConfigError, FlatdirsError
from flatdirs.objectives.base import Measurement
from flatdirs.space.grid import SAME

FIRST_SEED, REPLICATE, CONFIRMING = 100, 1000, 100_000  # training seeds: of repetition 0, added for replicates, fresh
KEYS: dict[str, Any] = {"lattice": "digits", "only": conditions.NAMES, "data.path": None, "device": "auto"}
KEYS |= {"draw": True, "folder": HERE}

Train = Callable[[Hyperparameters, int], Measurement]


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS, lists={"only": conditions.NAMES})
        lattice, folder = settings["lattice"], Path(settings["folder"])
        if not SETTINGS["real"].get(lattice):
            raise ConfigError(f"lattice={lattice} must be digits or cifar10_small; change lattice")
        objective = objective_of(conditions.named(lattice), settings)
        run(lattice, lambda point, seed: objective.measure(point, [seed], lambda *_: None), folder, settings["only"])
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if settings["draw"]:
        pages.write("runs_to_target", folder)
    return 0


def run(lattice: str, train: Train, folder: Path, only: Sequence[str]) -> None:
    """Everything that is lacking and that no other process is at; all methods of a repetition before the next one."""
    real, every = SETTINGS["real"], conditions.conditions(lattice)
    wanted = [one for one in every if one.method in real[lattice] and one.start in (NONE, real["start"])]
    with (folder / f"real.csv.{lattice}.claims.lock").open("a") as claims:
        for number, (seed, condition) in enumerate(itertools.product(range(real["seeds"]), wanted), 1):
            with rows.claimed(claims, number) as mine:
                if mine and condition.method in only:
                    try:
                        repetition(condition, seed, folder / "real.csv", train)
                    except Unavailable as reason:
                        print(f"{condition.method}: {reason}; skipped", flush=True)


def repetition(condition: Condition, seed: int, path: Path, train: Train) -> None:
    """One repetition, from its first run to the confirmation of its returned point."""
    about = {**condition._asdict(), "seed": str(seed), "key": conditions.key(condition, "real")}
    known = {(row["kind"], int(row["run"])): row for row in rows.read(path) if about.items() <= row.items()}
    begin = None if condition.start == NONE else conditions.start(condition.lattice, condition.start, seed)
    lattice = conditions.named(condition.lattice)
    budget, count = math.floor(SETTINGS["real"]["budget"] - (begin.cost if begin else 0.0) + 1e-9), itertools.count(1)

    def trained(kind: str, number: int, point: Hyperparameters, training_seed: int) -> Mapping[str, str]:
        """The row on file, or, where there is none or one of another point, that of a new run in its place."""
        if old := known.get((kind, number)):
            before = {name: float(old[f"h{i}"]) for i, name in enumerate(lattice.names)}
            pairs = zip(lattice.sides(before), lattice.sides(point), strict=True)
            if all(math.isclose(one, other, rel_tol=SAME, abs_tol=1e-9) for one, other in pairs):
                return old
        found, place = train(point, training_seed), {**about, "kind": kind, "run": str(number)}
        diverged, last = found.state == "diverged", found.curve[-1]["train_loss"] if found.curve else None
        row = {
            **{**place, **{f"h{i}": repr(float(point[name])) for i, name in enumerate(lattice.names)}},
            "accuracy": f"{CHANCE if diverged or found.value is None else found.value:.2f}",
            **{key: "" if x is None else f"{x:.5g}" for key, x in (("loss", found.loss), ("train_loss", last))},
            **{"diverged": str(int(diverged)), "seconds": f"{found.seconds:.1f}"},
        }
        with rows.locked(path):
            kept = [some for some in rows.read(path) if not place.items() <= some.items()]
            rows.write(path, list(row), [*kept, row])
        print(*condition, f"{seed}: {kind} {number}, {row['accuracy']} %", flush=True)
        return row

    def measure(point: Hyperparameters, replicate: int) -> Sample:
        row = trained("search", next(count), point, FIRST_SEED + seed + REPLICATE * replicate)
        return Sample(float(row["accuracy"]), float(row["loss"]) if row["loss"] else None, row["diverged"] == "1")

    runs = simulation.drive(condition, surface.named(lattice.name), begin, seed, measure)
    *_, returned = itertools.islice(runs, budget)
    for number in range(1, SETTINGS["real"]["confirmed"] + 1):
        trained("confirm", number, returned, CONFIRMING + 10 * seed + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
