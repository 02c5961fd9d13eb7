"""Rows of a lattice's file ↔ results of runs. Neither torch nor figures.

A row has the powers of two of its cell, the hyperparameters these stand for, what the run came to as `tune` would see
it, every epoch (training loss, validation loss, accuracy), and under `made` the key of provenance.json that says with
what it was made. A diverged run is worth a guess, whatever its last epoch measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.lattice.lattices import Cell, Lattice, Run
from flatdirs.objectives.base import Measurement

CHANCE = 10.0  # percent; every task here has ten classes
CURVE = ("train_loss", "loss", "accuracy")


@dataclass(frozen=True)
class Result:
    """What one run came to: accuracy in percent, chance where it diverged, and its seconds."""

    accuracy: float
    diverged: bool
    seconds: float


def row(lattice: Lattice, run: Run, found: Measurement, made: str) -> dict[str, Any]:
    """One run as the file has it."""
    curve = {f"{key}_curve": ";".join(_short(epoch[key]) for epoch in found.curve) for key in CURVE}
    return {
        **{f"log2_{axis.name}": power for axis, power in zip(lattice.axes, run.cell, strict=True)},
        **{name: repr(value) for name, value in lattice.hyperparameters(run.cell).items()},
        "seed": run.seed,
        "accuracy": f"{found.value:.2f}",
        "loss": _short(found.loss),
        "diverged": int(found.state == "diverged"),
        "seconds": f"{found.seconds:.1f}",
        **curve,
        "made": made,
    }


def _short(value: float | None) -> str:
    """Four digits; nan for what was not finite."""
    return f"{math.nan if value is None else value:.4g}"


def run_of(lattice: Lattice, row: Mapping[str, str]) -> Run:
    """The run that a row is of."""
    return Run(tuple(int(row[f"log2_{axis.name}"]) for axis in lattice.axes), int(row["seed"]))


def results(lattice: Lattice, rows: Sequence[Mapping[str, str]]) -> dict[Run, Result]:
    """Every run on file, by what it is."""
    return {
        run_of(lattice, row): Result(
            CHANCE if row["diverged"] == "1" else float(row["accuracy"]), row["diverged"] == "1", float(row["seconds"])
        )
        for row in rows
    }


def by_cell(found: Mapping[Run, Result]) -> dict[Cell, list[float]]:
    """The accuracies of every cell, by seed."""
    cells: dict[Cell, list[float]] = {}
    for run in sorted(found):
        cells.setdefault(run.cell, []).append(found[run].accuracy)
    return cells


def level(means: Sequence[float]) -> float:
    """What the best cells reach: the mean of the ten best, for the best of hundreds of noisy runs is luck."""
    return statistics.fmean(sorted(means)[-10:])
