"""The grid of complete training runs, over rate, schedule and seed: what every pick is judged by.

Rates are powers of two, thirteen a subject and schedule, fixed before any was run; where the best of them turns out to
be the last on a side, two more are trained on that side. Runs come in an order that shows every subject's whole range
early. Each row is on disk before the next run; processes that share the list (`--worker 0/2`, `--worker 1/2`) append to
one file behind a lock, and none trains what is already there.
"""

from __future__ import annotations

import datetime
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import rows
from benchmarks.step_sampling.findings import EXPONENTS, LONGER, LONGER_EXPONENTS, SCHEDULES, Evidence
from benchmarks.step_sampling.subject import Run, Subject
from flatdirs.objectives.provenance import provenance
from flatdirs.training.device import device_name

BEYOND = 2  # rates added where the best is the last on a side
JUDGED_SEEDS = (0, 1)  # complete runs at a pick


@dataclass(frozen=True)
class Cell:
    """One run: `key` is what tells it from all others."""

    model: str
    schedule: str
    rate: float
    seed: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As the file has it."""
        return self.model, self.schedule, repr(self.rate), str(self.seed)


def cells(models: Sequence[str], seeds: Sequence[int], schedules: Sequence[str] = SCHEDULES) -> list[Cell]:
    """Seed by seed, every other rate of all models and schedules before the rates between."""
    return [
        Cell(model, schedule, 2.0**exponent, seed)
        for seed in seeds
        for offset in (0, 1)
        for schedule in schedules
        for model in models
        for exponent in range(EXPONENTS[model][0] + offset, EXPONENTS[model][1] + 1, 2)
    ]


def cells_beyond(folder: Path, models: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """More rates wherever a whole grid's best is at an end; none where a grid is still to be finished."""
    grids = {(model, schedule): Evidence(folder).grid(model, schedule) for model in models for schedule in SCHEDULES}
    return [
        Cell(model, schedule, grid.best * 2.0 ** (step if grid.best == grid.rates[-1] else -step), seed)
        for (model, schedule), grid in grids.items()
        if grid.best is not None and grid.best_at_an_end and set(seeds) <= set(grid.seeds)
        for seed in seeds
        for step in range(1, BEYOND + 1)
    ]


def cells_at_picks(folder: Path, models: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Constant rates picked with seed 0, each once: log_midpoint's first, with all `seeds`, the others' with two."""
    picks = {model: Evidence(folder).picks(model) for model in models}
    own = [(model, rule, seed) for seed in seeds for model in models for rule in picks[model] if rule == "log_midpoint"]
    others = [(model, rule, seed) for seed in JUDGED_SEEDS for model in models for rule in picks[model]]
    found = ((model, picks[model][rule].judged, seed) for model, rule, seed in own + others)
    return list(dict.fromkeys(Cell(model, "constant", rate, seed) for model, rate, seed in found if rate is not None))


def cells_longer(folder: Path) -> list[Cell]:
    """Longer runs at constant rates around the picks and the best of the grids, and at what log_midpoint picked."""
    low, high = LONGER_EXPONENTS
    found = []
    for model, name in LONGER.items():
        pick = Evidence(folder).picks(model)["log_midpoint"].judged
        rates = [2.0**exponent for exponent in range(low, high + 1)] + ([] if pick is None else [pick])
        found += [Cell(name, "constant", rate, 0) for rate in rates]
    return found


def measure(path: Path, subjects: Sequence[Subject], wanted: Sequence[Cell]) -> None:
    """Train what is not on file, in order, and write each run down."""
    by_name = {subject.name: subject for subject in subjects}
    for number, cell in enumerate(wanted, 1):
        if cell.key in measured(path):
            continue
        subject = by_name[cell.model]
        run = subject.train_fully(cell.rate, cell.schedule, cell.seed)
        with locked(path):
            if cell.key not in measured(path):
                rows.append(path, row(cell, run, subject))
        what = "diverged" if run.diverged else f"{run.accuracy:.2f} %"
        print(f"{number}/{len(wanted)} {' '.join(cell.key)}: {what} in {run.seconds:.1f} s", flush=True)


def measured(path: Path) -> set[tuple[str, str, str, str]]:
    """The cells on file."""
    return {(row["model"], row["schedule"], row["rate"], row["seed"]) for row in rows.read(path)}


def row(cell: Cell, run: Run, subject: Subject) -> dict[str, Any]:
    """One run and all it depends on."""
    model, schedule, rate, seed = cell.key
    return {
        "model": model,
        "schedule": schedule,
        "rate": rate,
        "seed": seed,
        "accuracy": f"{run.accuracy:.3f}",
        "loss": f"{run.loss:.5f}",
        "diverged": run.diverged,
        "steps": run.steps,
        "seconds": f"{run.seconds:.2f}",
        "data": subject.data,
        "device": f"{subject.device.type} ({device_name(subject.device)})",
        "precision": subject.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": provenance()["python"],
        "date": datetime.date.today().isoformat(),
    }


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time writes `path`; the lock is a file beside it and ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
