"""Train what a lattice lacks, and probe its task: any number of processes, each run once. No torch of its own.

A lattice is made in rounds: first the spread cells, then new cells beside the best ones and more seeds on the ridge. A round depends on
the results of the rounds before it and on nothing else on file; so all processes decide alike, and an interrupted lattice ends as any
other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import rows
from benchmarks.lattice.lattices import Cell, Lattice, Run
from benchmarks.rows import column
from flatdirs.objectives.base import Measurement
from flatdirs.objectives.image import ImageObjective

CURVE = ("train_loss", "loss", "accuracy")
CHANCE = Lattice.chance  # of the image tasks
PROBE_SEEDS = 20
PICKS = ("log_midpoint", "half_loss", "steepest", "min_lr", "max_lr")


def fill(
    folder: Path, lattice: Lattice, train: Callable[[Run], Measurement], about: Mapping[str, Any], budget: int | None
) -> None:
    """Make the runs that the lattice lacks, at most `budget` of them by this process."""

    def wanted(table: Sequence[Mapping[str, str]]) -> list[Run]:
        return runs_left(lattice, results(lattice, table))

    rows.fill(folder / f"{lattice.name}.csv", wanted, lambda run: row(lattice, run, train(run)), about, budget)


def row(lattice: Lattice, run: Run, found: Measurement) -> dict[str, Any]:
    """A run as the file has it: cell, hyperparameters, result, every epoch."""
    curves = {key: [math.nan if epoch[key] is None else epoch[key] for epoch in found.curve] for key in CURVE}
    return {
        **{f"log2_{column(axis)}": power for axis, power in zip(lattice.axes, run.cell, strict=True)},
        **{column(name): repr(value) for name, value in lattice.hyperparameters(run.cell).items()},
        **{"seed": run.seed, "accuracy": f"{found.accuracy if lattice.metric == 'loss' else found.value:.2f}"},
        **{"loss": f"{math.nan if found.loss is None else found.loss:.{5 if lattice.metric == 'loss' else 4}g}"},
        **{"diverged": int(found.state == "diverged"), "seconds": f"{found.seconds:.1f}"},
        **{f"{key}_curve": ";".join(f"{value:.4g}" for value in curve) for key, curve in curves.items()},
    }


def run_of(lattice: Lattice, row: Mapping[str, str]) -> Run:
    """The run of a row."""
    return Run(tuple(int(row[f"log2_{column(axis)}"]) for axis in lattice.axes), int(row["seed"]))


def results(lattice: Lattice, rows: Sequence[Mapping[str, str]]) -> dict[Run, float]:
    """Results by run, higher is better: accuracies in percent, or losses in nats with a minus; divergence counts as chance."""
    worst = worst_of(lattice)

    def result(row: Mapping[str, str]) -> float:
        if row["diverged"] == "1":
            return worst
        return max(-float(row["loss"]), worst) if lattice.metric == "loss" else float(row["accuracy"])

    return {run_of(lattice, row): result(row) for row in rows}


def worst_of(lattice: Lattice) -> float:
    """The result of a run that learned nothing, in the terms of `results`."""
    return -lattice.chance if lattice.metric == "loss" else lattice.chance


def runs_left(lattice: Lattice, found: Mapping[Run, float]) -> list[Run]:
    """The missing runs of the first unfinished round, in the order to make them; none when the lattice is complete."""
    done: dict[Run, float] = {}
    planned = [Run(cell, 0) for cell in lattice.order] + [Run(cell, 1) for cell in lattice.order[: lattice.repeated]]
    while planned:
        if missing := [run for run in planned if run not in found]:
            return missing
        done |= {run: found[run] for run in planned}
        planned = next_round(lattice, done)
    return []


def next_round(lattice: Lattice, done: Mapping[Run, float]) -> list[Run]:
    """New cells while there are too few, and the next seeds of the ridge.

    The ridge is every cell whose mean lies at most `near` points below the level (the mean of the ten best cells); it gets a second
    seed, and a third where it lies at most half as far. An untried cell is as promising as the mean of its two best neighbours,
    diagonal ones included; chance stands for a missing one.
    """
    cells: dict[Cell, list[float]] = {}
    for run in sorted(done):
        cells.setdefault(run.cell, []).append(done[run])
    means = {cell: fmean(values) for cell, values in cells.items()}
    beside: dict[Cell, list[float]] = {}
    for cell, mean in means.items():
        for other in lattice.around(cell):
            beside.setdefault(other, [worst_of(lattice)]).append(mean)
    hopes = {cell: fmean(sorted(values)[-2:]) for cell, values in beside.items() if cell not in means}
    promising = sorted(hopes, key=lambda cell: (-hopes[cell], cell))
    fresh = [Run(cell, 0) for cell in promising[: max(0, min(lattice.round, lattice.cells - len(means)))]]
    level = fmean(sorted(means.values())[-10:])
    for cell, mean in sorted(means.items()):
        seeds = 1 + sum(mean >= level - points for points in (lattice.near, lattice.near / 2))
        fresh += [run for run in map(Run, [cell] * seeds, range(seeds)) if run not in done]
    return fresh


def probe(folder: Path, lattice: Lattice, objective: ImageObjective, about: Mapping[str, Any]) -> None:
    """Step sampling with every seed that is not on file, as the start of a search has it: picks (empty for no answer), cost, points."""
    from flatdirs.training.run_config import ProbeConfig
    from flatdirs.tuning.probing import probe_task

    def wanted(table: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
        known = {(old["lattice"], old["seed"]) for old in table}
        return [one for one in ((lattice.name, str(seed)) for seed in range(PROBE_SEEDS)) if one not in known]

    def make(question: tuple[str, str]) -> dict[str, Any]:
        config = objective.config({"lr": 1.0, **(lattice.probe or {})}, int(question[1]))
        found = probe_task(config, ProbeConfig(), progress=False)
        picks = {pick: getattr(found.picks, pick).learning_rate if found.picks else None for pick in PICKS}
        points = [(0.0, found.initial_loss), *((point.learning_rate, point.loss) for point in found.points)]
        return {
            **dict(zip(("lattice", "seed"), question, strict=True)),
            **{pick: "" if rate is None else f"{rate:.6g}" for pick, rate in picks.items()},
            **{"cost_steps": f"{found.cost:.1f}", "run_steps": config.total_steps, "problem": found.problem or ""},
            **{"points": ";".join(f"{lr:.6g}:{loss:.6g}" for lr, loss in points)},
        }

    rows.fill(folder / "probes.csv", wanted, make, about)
