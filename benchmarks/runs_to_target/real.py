"""Runs to target without a table: every point is trained, through flatdirs' objective as a lattice's cells are.

    python -m benchmarks.runs_to_target.real                                                     digits
    python -m benchmarks.runs_to_target.real lattice=cifar10_small data.path=cifar10.npz

A row of real.csv is a run, on disk before the next begins. A repetition goes on by replaying its rows: methods are
functions of their seed and the answers, so the recorded answers bring them back to where they stopped. All points of a
repetition have one training seed, as in `flatdirs.tune`, repeats of a point further ones; the point a method would
return in the end is trained again with fresh seeds. The same command in several shells shares the work.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.lattice.__main__ import objective_of
from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.lattice.results import CHANCE
from benchmarks.lattice.running import claimed, locked
from benchmarks.runs_to_target import conditions, methods, surface
from benchmarks.runs_to_target.conditions import HERE, NONE, Condition
from benchmarks.runs_to_target.surface import Sample, Surface
from flatdirs.errors import ConfigError, FlatdirsError
from flatdirs.objectives.base import Measurement

FILE = "real.csv"
FIRST_SEED, REPEAT, CONFIRMING = (
    100,
    1000,
    100_000,
)  # of training: repetition r has 100 + r, repeats a thousand more each
KEYS: dict[str, Any] = {"lattice": "digits", "only": None, "data.path": None, "device": "auto", "draw": True}

Train = Callable[[Mapping[str, float], int], Measurement]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """What one command is asked to do."""

    lattice: str
    train: Train
    folder: Path = HERE
    measured: Path = LATTICES
    only: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The runs of all lattices."""
        return self.folder / FILE

    @cached_property
    def ground(self) -> Surface:
        """The lattice's surface, for its chart and rules alone; no value is taken from it."""
        return surface.named(self.lattice, self.folder, self.measured)

    def wanted(self) -> Iterator[tuple[Condition, int]]:
        """Conditions and repetitions, all conditions of a repetition first, so that what is there is comparable."""
        for seed in range(conditions.settings()["real"]["seeds"]):
            for condition in real_conditions(self.lattice):
                if not self.only or condition.method in self.only:
                    yield condition, seed

    def begun(self, condition: Condition, seed: int) -> list[dict[str, str]]:
        """The rows of a repetition, in the order they were made."""
        key = self.key(condition)
        return [old for old in rows.read(self.path) if identity(old) == (*condition_parts(condition), str(seed), key)]

    def key(self, condition: Condition) -> str:
        """What a repetition's rows depend on: as for tables, without a surface."""
        return conditions.key(condition, "real", self.measured / "probes.csv")


def real_conditions(lattice: str) -> list[Condition]:
    """Every method of a lattice once: in each box, from the one start, without a start where it can be without."""
    found = conditions.settings()["real"]
    return [
        condition
        for condition in conditions.conditions(lattice)
        if condition.method in found.get(lattice, ()) and condition.start in (NONE, found["start"])
    ]


def run(job: Job, say: Callable[[str], None]) -> None:
    """Everything that is lacking and that no other process is at."""
    with job.path.with_name(f"{job.path.name}.{job.lattice}.claims.lock").open("a") as claims:
        for number, (condition, seed) in enumerate(job.wanted()):
            with claimed(claims, number + 1) as mine:
                if mine:
                    try:
                        repetition(job, condition, seed, say)
                    except methods.Unavailable as reason:
                        say(f"{condition.method}: {reason}, skipped")


def repetition(job: Job, condition: Condition, seed: int, say: Callable[[str], None]) -> None:
    """One repetition from where it stands to its end."""
    found = conditions.settings()["real"]
    begin = None
    if condition.start != NONE:
        begin = conditions.start(job.lattice, condition.start, seed, job.measured / "probes.csv")
    runs = math.floor(found["budget"] - (0.0 if begin is None else begin.cost) + 1e-9)
    known = {(row["kind"], int(row["run"])): row for row in job.begun(condition, seed)}
    method = methods.make(condition, job.ground, begin, seed)
    for number in range(1, runs + 1):
        point = method.ask()
        if point is None:
            break
        row = known.get(("search", number))
        if row is None or not same(row, point):
            training_seed = FIRST_SEED + seed + REPEAT * getattr(method, "repeat", 0)
            row = made(job, condition, seed, ("search", number), point, training_seed)
            say(f"{condition_text(condition)} {seed}: run {number}, {row['accuracy']} %")
        method.tell(replace(sample(row), relaxation=job.ground.relaxation(point)))
    if method.returned is not None:
        for number in range(1, found["confirmed"] + 1):
            row = known.get(("confirm", number))
            if row is None or not same(row, method.returned):
                made(job, condition, seed, ("confirm", number), method.returned, CONFIRMING + 10 * seed + number)


def made(
    job: Job, condition: Condition, seed: int, which: tuple[str, int], point: Mapping[str, float], training_seed: int
) -> dict[str, str]:
    """Train one run and write its row, in place of one that is there of another point."""
    found = job.train(point, training_seed)
    names = [axis.hyperparameter for axis in job.ground.lattice.axes]
    diverged = found.state == "diverged"
    row = {
        **dict(zip(("lattice", "method", "box", "start"), condition_parts(condition), strict=True)),
        **{"seed": str(seed), "key": job.key(condition), "kind": which[0], "run": str(which[1])},
        **{f"h{number}": repr(float(point[name])) for number, name in enumerate(names)},
        "accuracy": f"{CHANCE if diverged or found.value is None else found.value:.2f}",
        "loss": "" if found.loss is None else f"{found.loss:.5g}",
        "train_loss": _last_train_loss(found),
        "diverged": str(int(diverged)),
        "seconds": f"{found.seconds:.1f}",
    }
    with locked(job.path):
        place = (*identity(row), *which)
        kept = [old for old in rows.read(job.path) if (*identity(old), old["kind"], int(old["run"])) != place]
        rows.write(job.path, list(row), [*kept, row])
    return row


def same(row: Row, point: Mapping[str, float]) -> bool:
    """Whether a row is of this point; a method that asks otherwise now has its further rows made again."""
    numbers = (float(row[name]) for name in ("h0", "h1", "h2"))
    names = ("learning_rate", "momentum" if "momentum" in point else "beta1", "weight_decay")
    return all(
        math.isclose(one, point[name], rel_tol=1e-6, abs_tol=1e-9) for one, name in zip(numbers, names, strict=True)
    )


def sample(row: Row) -> Sample:
    """What a method is told of a row."""
    loss, train_loss = (float(row[name]) if row[name] else None for name in ("loss", "train_loss"))
    return Sample(float(row["accuracy"]), loss, train_loss, row["diverged"] == "1")


def identity(row: Row) -> tuple[str, ...]:
    """What says of which repetition a row is."""
    return tuple(row[name] for name in ("lattice", "method", "box", "start", "seed", "key"))


def condition_parts(condition: Condition) -> tuple[str, str, str, str]:
    """The columns of a condition."""
    return condition.lattice, condition.method, condition.box, condition.start


def condition_text(condition: Condition) -> str:
    """The same in a line of progress."""
    return " ".join(condition_parts(condition))


def _last_train_loss(found: Measurement) -> str:
    last = found.curve[-1]["train_loss"] if found.curve else None
    return "" if last is None else f"{last:.5g}"


def trainer(settings: Mapping[str, Any]) -> Train:
    """flatdirs' own trainer on the lattice's task."""
    objective = objective_of(conditions.named(settings["lattice"]), dict(settings))

    def train(point: Mapping[str, float], seed: int) -> Measurement:
        return objective.measure(point, [seed], lambda *_: None)

    return train


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS, lists={"only": conditions.names()})
        if not conditions.settings()["real"].get(settings["lattice"]):
            raise ConfigError(f"lattice={settings['lattice']} must be digits or cifar10_small; change lattice")
        job = Job(settings["lattice"], trainer(settings), only=tuple(settings["only"] or ()))
        run(job, lambda line: print(line, flush=True))
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if settings["draw"]:
        pages.write("runs_to_target")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
